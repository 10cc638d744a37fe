"""Smooth continuation of an image or field into the pixels where it is not known."""

from __future__ import annotations

import cv2
import numpy as np

from talkhead_core.types import FloatArray

__all__ = ["filled_smoothly"]


def filled_smoothly(values: np.ndarray, known: np.ndarray) -> FloatArray:
    """Unknown pixels filled from a pyramid of averages of the known ones (Gortler et al., The Lumigraph, SIGGRAPH 1996).

    Args:
        values: ``[H, W]`` or ``[H, W, C]``; what stands in unknown pixels is ignored.
        known: boolean ``[H, W]``.

    Returns:
        float32 of the shape of ``values``, equal to it where known; ``values`` themselves where nothing is known.
    """
    original = values.astype(np.float32)
    if known.all() or not known.any():
        return original
    flat = original.ndim == 2
    premultiplied = np.where(known[..., None], original[..., None] if flat else original, np.float32(0))
    levels = [(premultiplied, known.astype(np.float32))]
    while min(levels[-1][1].shape) > 1 and (levels[-1][1] == 0).any():
        levels.append(tuple(_halved(level) for level in levels[-1]))  # type: ignore[arg-type]
    estimate = _divided(*levels[-1])
    for colour, weight in reversed(levels[:-1]):
        raised = _as_three_axes(cv2.resize(estimate, (weight.shape[1], weight.shape[0]), interpolation=cv2.INTER_LINEAR))
        share = np.minimum(weight, 1.0)[..., None]
        estimate = share * _divided(colour, weight) + (1 - share) * raised
    estimate = estimate[..., 0] if flat else estimate
    return np.where(known if flat else known[..., None], original, estimate)


def _halved(level: np.ndarray) -> np.ndarray:
    half = cv2.pyrDown(level)
    return _as_three_axes(half) if level.ndim == 3 else half


def _as_three_axes(level: np.ndarray) -> np.ndarray:
    return level if level.ndim == 3 else level[..., None]


def _divided(colour: np.ndarray, weight: np.ndarray) -> np.ndarray:
    return colour / np.maximum(weight, 1e-6)[..., None]

"""The seam where the rendered head meets what is under it."""

from __future__ import annotations

import cv2
import numpy as np

from talkhead_core.types import Image, Label

__all__ = ["neck_line", "seam_levels"]

_PATCH_PX = 3  # on each side of the line


def neck_line(labels: np.ndarray) -> np.ndarray:
    """Head pixels that touch neck or torso, ``[H, W]`` bool.

    Args:
        labels: the reference's label frame, ``[H, W]`` uint8 (:class:`talkhead_core.types.Label`).
    """
    below = ((labels == Label.NECK) | (labels == Label.TORSO)).astype(np.uint8)
    touching = cv2.dilate(below, np.ones((3, 3), np.uint8)).astype(bool)
    return (labels == Label.HEAD) & touching


def seam_levels(reference: Image, rendered: Image, labels: np.ndarray) -> float:
    """The step across the neck line that the reference does not have, in 8-bit levels of luma.

    The error ``rendered - reference`` is averaged on either side of the line in small patches; the metric is the mean absolute
    difference of the two sides along the line. An edge that the reference has too, such as a collar, does not count; nor does
    blur, which errs alike on both sides.

    Args:
        reference: ``[H, W, 3]`` uint8.
        rendered: as ``reference``.
        labels: the reference's label frame, ``[H, W]`` uint8.

    Returns:
        NaN where head and neck do not touch.
    """
    line = neck_line(labels)
    if not line.any():
        return float("nan")
    error = _luma(rendered) - _luma(reference)
    head = (labels == Label.HEAD).astype(np.float32)
    below = ((labels == Label.NECK) | (labels == Label.TORSO)).astype(np.float32)
    above, above_weight = _patch_mean(error, head)
    under, under_weight = _patch_mean(error, below)
    usable = line & (above_weight > 0.1) & (under_weight > 0.1)
    return float(np.abs(above - under)[usable].mean()) if usable.any() else float("nan")


def _patch_mean(values: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    side = (2 * _PATCH_PX + 1, 2 * _PATCH_PX + 1)
    total = cv2.blur(values * weight, side)
    share = cv2.blur(weight, side)
    return total / np.maximum(share, 1e-6), share


def _luma(image: Image) -> np.ndarray:
    return np.asarray(image.astype(np.float32) @ np.array([0.299, 0.587, 0.114], dtype=np.float32))

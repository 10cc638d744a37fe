"""Peak signal-to-noise ratio over a region."""

from __future__ import annotations

import numpy as np

from talkhead_core.types import Image

__all__ = ["PSNR_CEILING_DB", "psnr_db", "squared_error"]

PSNR_CEILING_DB = 100.0
"""What identical pixels score, so that a mean over frames stays finite (a mean squared error of 1e-10)."""


def squared_error(reference: Image, rendered: Image) -> np.ndarray:
    """Mean over the channels of the squared difference, ``[H, W]`` float32, with pixel values in [0, 1]."""
    assert reference.shape == rendered.shape, f"{reference.shape} against {rendered.shape}"
    difference = reference.astype(np.float32) - rendered.astype(np.float32)
    return np.asarray(np.einsum("hwc,hwc->hw", difference, difference) / (255.0**2 * reference.shape[2]), dtype=np.float32)


def psnr_db(squared: np.ndarray, mask: np.ndarray | None = None) -> float:
    """``-10 log10 MSE`` in dB over the pixels of ``mask``.

    The score of a video is the mean of this over its frames, as the field computes it, not the PSNR of the mean error.

    Args:
        squared: what :func:`squared_error` returned.
        mask: ``[H, W]`` bool; None for the whole frame.

    Returns:
        At most :data:`PSNR_CEILING_DB`; NaN where the mask is empty.
    """
    values = squared if mask is None else squared[mask]
    if values.size == 0:
        return float("nan")
    error = float(values.mean(dtype=np.float64))
    return -10.0 * float(np.log10(max(error, 10.0 ** (-PSNR_CEILING_DB / 10.0))))

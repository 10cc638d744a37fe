"""Motion metrics: head jitter, blinks, flicker.

Landmarks are face-mesh points ``[frames, 468 or more, 2 or more]`` in pixels, NaN where no face was found.
"""

from __future__ import annotations

import numpy as np

from talkhead_core.metrics.lip_sync import LMD_SIZE_PX
from talkhead_core.types import FloatArray, Image

__all__ = ["blinks_per_minute", "eye_opening", "flicker_levels", "jitter_px512"]

# nose bridge and tip, eye corners, forehead, temples: skin that follows the skull, whatever the mouth and lids do
_RIGID = (1, 4, 5, 6, 9, 10, 33, 133, 168, 195, 197, 263, 362, 67, 297, 151, 127, 356)
_RIGHT_EYE = (33, 160, 158, 133, 153, 144)
_LEFT_EYE = (362, 385, 387, 263, 373, 380)
_CLOSED_SHARE = 0.6
_OPEN_AGAIN_SHARE = 0.75


def jitter_px512(points_px: FloatArray, size_px: int) -> FloatArray:
    """How much the head shakes, per frame ``[frames]``, in pixels at 512: length of the second difference of the mean rigid point.

    Smooth motion has a small second difference, a trembling pose a large one. NaN at the first and last frame and beside
    a frame without a face.
    """
    centre = points_px[:, list(_RIGID), :2].mean(axis=1, dtype=np.float64)
    jitter = np.full(len(centre), np.nan)
    if len(centre) >= 3:
        jitter[1:-1] = np.linalg.norm(centre[2:] - 2.0 * centre[1:-1] + centre[:-2], axis=-1)
    return jitter * (LMD_SIZE_PX / size_px)


def eye_opening(points_px: FloatArray) -> FloatArray:
    """Eye aspect ratio, mean of both eyes, ``[frames]`` (Soukupova and Cech, CVWW 2016, eq. 1)."""

    def ratio(eye: tuple[int, ...]) -> FloatArray:
        p = np.asarray(points_px[:, list(eye), :2], dtype=np.float64)
        upright = np.linalg.norm(p[:, 1] - p[:, 5], axis=-1) + np.linalg.norm(p[:, 2] - p[:, 4], axis=-1)
        with np.errstate(invalid="ignore", divide="ignore"):  # an eye of no width, at the very edge of a frame
            return np.asarray(upright / (2.0 * np.linalg.norm(p[:, 0] - p[:, 3], axis=-1)))

    return np.asarray((ratio(_RIGHT_EYE) + ratio(_LEFT_EYE)) / 2.0)


def blinks_per_minute(opening: FloatArray, fps: float) -> float | None:
    """Blinks a minute: the eyes fall under 60 % of their median opening and rise over 75 % again.

    Args:
        opening: what :func:`eye_opening` returned.
        fps: frames a second.

    Returns:
        None where no frame has a face.
    """
    present = opening[np.isfinite(opening)]
    if present.size == 0:
        return None
    typical = float(np.median(present))
    blinks, closed = 0, False
    for value in present:
        if not closed and value < _CLOSED_SHARE * typical:
            blinks, closed = blinks + 1, True
        elif closed and value > _OPEN_AGAIN_SHARE * typical:
            closed = False
    return blinks * 60.0 * fps / present.size


def flicker_levels(
    reference: Image, rendered: Image, previous_reference: Image, previous_rendered: Image, mask: np.ndarray | None = None
) -> float:
    """Change from the previous frame that the reference does not have: mean absolute value, in 8-bit levels.

    A still error does not flicker; one that comes and goes does.

    Args:
        reference: ``[H, W, 3]`` uint8.
        rendered: as ``reference``.
        previous_reference: the frame before.
        previous_rendered: the frame before.
        mask: ``[H, W]`` bool; None for the whole frame.
    """
    error = rendered.astype(np.int16) - reference
    previous = previous_rendered.astype(np.int16) - previous_reference
    change = np.abs(error - previous)
    values = change if mask is None else change[mask]
    return float(values.mean()) if values.size else float("nan")

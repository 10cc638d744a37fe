"""Lip metrics from landmarks of both videos: landmark distance and mouth opening.

Landmarks are face-mesh points ``[frames, 468 or more, 2 or more]`` in pixels, NaN where no face was found; such frames are
left out and counted by the caller, never filled in.
"""

from __future__ import annotations

import numpy as np

from talkhead_core.metrics.regions import LIPS
from talkhead_core.types import FloatArray

__all__ = [
    "LMD_SIZE_PX",
    "correlation",
    "landmark_distance_percent",
    "landmark_distance_px512",
    "mouth_opening",
    "mouth_opening_lag_frames",
    "spread_ratio",
]

LMD_SIZE_PX = 512
"""Distances are given in pixels of a frame of this side, so that sizes compare."""

_UPPER_INNER_LIP, _LOWER_INNER_LIP = 13, 14
_FOREHEAD, _CHIN = 10, 152
_OUTER_EYE_CORNERS = (33, 263)


def landmark_distance_px512(reference: FloatArray, rendered: FloatArray, size_px: int, *, centred: bool = True) -> FloatArray:
    """LMD per frame, ``[frames]``, in pixels at 512: mean Euclidean distance over the 40 lip points.

    Chen et al., "Lip movements generation at a glance", ECCV 2018, eq. 13; as the AD-NeRF family computes it, each set is
    centred on its own mean, which takes a shift of the whole mouth out.

    Args:
        reference: landmarks in pixels of a frame of ``size_px``.
        rendered: landmarks, as ``reference``.
        size_px: side of the frame the pixels belong to.
        centred: False keeps the shift.
    """
    first = np.asarray(reference, dtype=np.float64)[:, list(LIPS), :2]
    second = np.asarray(rendered, dtype=np.float64)[:, list(LIPS), :2]
    if centred:
        first = first - first.mean(axis=1, keepdims=True)
        second = second - second.mean(axis=1, keepdims=True)
    return np.asarray(np.linalg.norm(first - second, axis=-1).mean(axis=1) * (LMD_SIZE_PX / size_px))


def landmark_distance_percent(reference: FloatArray, rendered: FloatArray) -> FloatArray:
    """LMD per frame as above, centred, in per cent of the reference's distance between the outer eye corners, ``[frames]``.

    It does not depend on how large the face is in the frame (the normalisation of facial alignment: Sagonas et al., "300 faces
    in-the-wild challenge", ICCV workshops 2013).
    """
    left, right = (np.asarray(reference, dtype=np.float64)[:, corner, :2] for corner in _OUTER_EYE_CORNERS)
    return 100.0 * landmark_distance_px512(reference, rendered, LMD_SIZE_PX) / np.linalg.norm(left - right, axis=-1)


def mouth_opening(points_px: FloatArray) -> FloatArray:
    """Distance between the inner lips (13 to 14) over the height of the face (10 to 152), ``[frames]``."""

    def distance(first: int, second: int) -> FloatArray:
        return np.asarray(np.linalg.norm(_place(points_px, first) - _place(points_px, second), axis=-1))

    return distance(_UPPER_INNER_LIP, _LOWER_INNER_LIP) / distance(_FOREHEAD, _CHIN)


def _place(points_px: FloatArray, point: int) -> FloatArray:
    """``[frames, 2]`` float64 of one point: an hour's mesh as a whole would take a gigabyte."""
    return np.asarray(points_px[:, point, :2], dtype=np.float64)


def correlation(reference: FloatArray, rendered: FloatArray) -> FloatArray:
    """Pearson's r along the last axis over the entries where both are finite; NaN with fewer than 3 or without spread."""
    first, second, count = _paired(reference, rendered)
    first, second = _deviations(first, count), _deviations(second, count)
    with np.errstate(invalid="ignore", divide="ignore"):
        r = np.nansum(first * second, axis=-1) / np.sqrt(np.nansum(first**2, axis=-1) * np.nansum(second**2, axis=-1))
    return np.asarray(np.where((count >= 3) & np.isfinite(r), r, np.nan))


def spread_ratio(reference: FloatArray, rendered: FloatArray) -> FloatArray:
    """Standard deviation of ``rendered`` over that of ``reference`` along the last axis, where both are finite."""
    first, second, count = _paired(reference, rendered)
    variances = [np.nansum(_deviations(values, count) ** 2, axis=-1) for values in (first, second)]
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = np.sqrt(variances[1] / variances[0])
    return np.asarray(np.where((count >= 3) & np.isfinite(ratio), ratio, np.nan))


def mouth_opening_lag_frames(reference: FloatArray, rendered: FloatArray, limit_frames: int = 10) -> int | None:
    """By how many frames the rendered mouth comes late (positive) or early: the lag of the highest correlation.

    Returns:
        None where no lag within ``limit_frames`` correlates by 0.2 or more, so that a lag would mean nothing.
    """
    best_lag, best = None, 0.2
    for lag in sorted(range(-limit_frames, limit_frames + 1), key=abs):
        if len(reference) - abs(lag) < 10:
            continue
        first = reference[max(0, -lag) : len(reference) - max(0, lag)]
        second = rendered[max(0, lag) : len(rendered) - max(0, -lag)]
        r = float(correlation(first, second))
        if r > best:
            best_lag, best = lag, r
    return best_lag


def _paired(reference: FloatArray, rendered: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    both = np.isfinite(reference) & np.isfinite(rendered)
    return np.where(both, reference, np.nan), np.where(both, rendered, np.nan), np.asarray(both.sum(axis=-1))


def _deviations(values: FloatArray, count: FloatArray) -> FloatArray:
    mean = np.nansum(values, axis=-1) / np.where(count, count, 1)
    return np.asarray(values - np.asarray(mean)[..., None])

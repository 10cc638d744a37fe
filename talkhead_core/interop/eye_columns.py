"""What the AD-NeRF family knows of eyes and brows: OpenFace's AU45 column, and blendshapes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from scipy.signal import savgol_filter

from talkhead_core.artifacts import write_text
from talkhead_core.types import FloatArray

__all__ = ["blendshape_rows", "eye_closure", "write_action_units"]

_CLOSED_SHARE = 0.4
"""A closed eye's lid distance, share of the open one's: landmarks of upper and lower lid never meet."""

_FULL_INTENSITY = 2.0
"""The family clips AU45_r at 2 and divides by it, so that a closed eye is 1."""

_SMOOTHING_FRAMES, _SMOOTHING_ORDER = 5, 3


def eye_closure(eye_opening: FloatArray) -> FloatArray:
    """How far the eyes are closed ``[N]``, 0 open to 1 closed, from the aspect ratios of both eyes ``[N, 2]``."""
    level = eye_opening.mean(axis=1)
    open_level = float(np.nanpercentile(level, 90))
    return np.nan_to_num(np.clip((open_level - level) / ((1 - _CLOSED_SHARE) * open_level), 0.0, 1.0))


def write_action_units(path: Path, eye_opening: FloatArray, success: np.ndarray) -> None:
    """Write an ``au.csv`` whose only action unit is AU45 (blink), estimated from the eyelids.

    Args:
        path: the file.
        eye_opening: ``[N, 2]`` aspect ratios.
        success: ``[N]`` bool.
    """
    count = len(eye_opening)
    columns = {
        "frame": np.arange(1, count + 1),
        " face_id": np.zeros(count, int),
        " timestamp": np.arange(count) / 25,
        " confidence": np.where(success, 0.98, 0.0),
        " success": success.astype(int),
        " AU45_r": np.round(_FULL_INTENSITY * eye_closure(eye_opening), 4),
    }
    write_text(path, pd.DataFrame(columns).to_csv(index=False))


def blendshape_rows(scores: FloatArray) -> FloatArray:
    """MediaPipe's scores ``[N, 52]`` as SyncTalk's ``bs.npy``: without the neutral one, a zero column last, smoothed over 5 frames.

    Frames without a face (NaN rows) are interpolated, so that every row is the frame of its own number.
    """
    table = pd.DataFrame(scores[:, 1:]).interpolate(limit_direction="both").fillna(0.0).to_numpy()
    if len(table) >= _SMOOTHING_FRAMES:
        table = savgol_filter(table, _SMOOTHING_FRAMES, _SMOOTHING_ORDER, axis=0)
    return np.concatenate([table, np.zeros((len(table), 1))], axis=1)

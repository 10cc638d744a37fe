"""Controls for two videos of which nothing else is known: lips that cannot be right, to tell what the figures of the pair are worth."""

from __future__ import annotations

import numpy as np
import pandas as pd

from talkhead_core.metrics.landmark_scores import landmark_columns
from talkhead_core.metrics.protocol import PAIR_STATIC_MOUTH, PAIR_WRONG_TIME
from talkhead_core.metrics.regions import LIPS
from talkhead_core.types import FloatArray

__all__ = ["lip_controls"]

_LIP_COLUMNS = ("lmd_px512", "lmd_percent", "mouth_opening", "mouth_opening_reference")


def lip_controls(frame_ids: np.ndarray, reference_px: FloatArray, rendered_px: FloatArray, size_px: int) -> pd.DataFrame:
    """One row a control and frame: ``protocol``, ``frame_id`` and the lip columns of :func:`landmark_columns`.

    Args:
        frame_ids: ``[frames]`` of the reference.
        reference_px: landmarks ``[frames, P, 2 or 3]`` in pixels, NaN rows without a face.
        rendered_px: as ``reference_px``.
        size_px: side of the frame that the pixels belong to.
    """
    half = len(rendered_px) // 2
    controls = {PAIR_WRONG_TIME.name: np.roll(rendered_px, -half, axis=0), PAIR_STATIC_MOUTH.name: _with_still_lips(rendered_px)}
    parts = []
    for name, points in controls.items():
        columns = landmark_columns(reference_px, points, size_px)
        parts.append(pd.DataFrame({"protocol": name, "frame_id": frame_ids} | {column: columns[column] for column in _LIP_COLUMNS}))
    return pd.concat(parts, ignore_index=True)


def _with_still_lips(points_px: FloatArray) -> FloatArray:
    """The lips keep their place in each frame and have their mean shape in all of them."""
    held, lips = np.array(points_px, dtype=np.float64), list(LIPS)
    seen = held[np.isfinite(held[:, lips, :2]).all(axis=(1, 2))][:, lips]
    if len(seen):
        shape = (seen - seen.mean(axis=1, keepdims=True)).mean(axis=0)
        held[:, lips] = held[:, lips].mean(axis=1, keepdims=True) + shape
    return held

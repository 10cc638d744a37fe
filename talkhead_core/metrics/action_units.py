"""AUE, the action unit error of the field: OpenFace's intensities of two videos, compared frame by frame.

The action units come from OpenFace alone (``FeatureExtraction -aus``), whose CSV a user brings; nothing stands in for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from talkhead_core.errors import InputError
from talkhead_core.media.openface_csv import ACTION_UNITS

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["LOWER_FACE_UNITS", "action_unit_error"]

LOWER_FACE_UNITS = (10, 12, 14, 15, 17, 20, 23, 25, 26)


def action_unit_error(reference: pd.DataFrame, rendered: pd.DataFrame) -> dict[str, float]:
    """Sum over units of the mean squared difference: ``aue`` of all 17, ``aue_lower`` and ``aue_upper`` of the parts of the face.

    Args:
        reference: what :func:`talkhead_core.media.openface_csv.read_action_units` gave, row by row the frames of ``rendered``.
        rendered: the same.

    Raises:
        InputError: no frame has a face in both.
    """
    frames = min(len(reference), len(rendered))
    with np.errstate(invalid="ignore"):  # infinite values are no figures either
        squared = (reference.iloc[:frames].to_numpy() - rendered.iloc[:frames].to_numpy()) ** 2
    both = np.isfinite(squared).all(axis=1)
    if not both.any():
        raise InputError("the two tables of action units share no frame with a face; were they made from these videos?")
    error = dict(zip(ACTION_UNITS, squared[both].mean(axis=0), strict=True))
    lower = float(sum(error[unit] for unit in LOWER_FACE_UNITS))
    whole = float(sum(error.values()))
    return {"aue": whole, "aue_lower": lower, "aue_upper": whole - lower, "aue_frames": int(both.sum())}

"""AUE, the action unit error of the field: OpenFace's intensities of two videos, compared frame by frame.

The action units come from OpenFace alone (``FeatureExtraction -aus``), whose CSV a user brings; nothing stands in for it.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from talkhead_core.errors import InputError

__all__ = ["ACTION_UNITS", "LOWER_FACE_UNITS", "action_unit_error", "read_action_units"]

ACTION_UNITS = (1, 2, 4, 5, 6, 7, 9, 10, 12, 14, 15, 17, 20, 23, 25, 26, 45)
"""The 17 whose intensity OpenFace gives."""

LOWER_FACE_UNITS = (10, 12, 14, 15, 17, 20, 23, 25, 26)

_MOST_FRAMES = 10_000_000  # four days; a damaged number must not ask for all the memory there is


def read_action_units(path: Path) -> pd.DataFrame:
    """Intensities, one column a unit (``AU01`` to ``AU45``), one row a frame from 0; NaN where OpenFace found no face.

    Raises:
        InputError: the file is none of OpenFace's, or lacks a unit.
    """
    try:
        table = pd.read_csv(path, skipinitialspace=True)
    except (OSError, ValueError) as error:  # among the latter: no CSV, nothing in it, not UTF-8
        raise InputError(f"{path}: cannot be read as OpenFace's CSV ({' '.join(str(error).split())})") from error
    table.columns = table.columns.str.strip()
    missing = [f"AU{unit:02}_r" for unit in ACTION_UNITS if f"AU{unit:02}_r" not in table]
    if missing or "frame" not in table:
        lacking = ", ".join(missing or ["frame"])
        raise InputError(f"{path}: lacks {lacking}; run OpenFace's FeatureExtraction with -aus on the video")
    used = [name for name in ("frame", *(f"AU{unit:02}_r" for unit in ACTION_UNITS)) if not pd.api.types.is_numeric_dtype(table[name])]
    numbers = table["frame"].to_numpy(np.float64, na_value=np.nan) if not used else np.array([])
    if used or not len(numbers) or not ((numbers >= 0) & (numbers < _MOST_FRAMES) & (numbers == np.floor(numbers))).all():
        raise InputError(f"{path}: {', '.join(used) or 'frame'} does not hold the numbers that OpenFace writes; run it again")
    # one row a frame, also where OpenFace names several faces or none
    table = table.sort_values("confidence", ascending=False, kind="stable") if "confidence" in table else table
    table = table.drop_duplicates("frame").set_index("frame").sort_index()
    units = table[[f"AU{unit:02}_r" for unit in ACTION_UNITS]].rename(columns=lambda name: name.removesuffix("_r"))
    if "success" in table:
        units = units.where(table["success"] == 1)
    first = int(units.index.min())
    return units.reindex(range(first, int(units.index.max()) + 1)).reset_index(drop=True)


def action_unit_error(reference: pd.DataFrame, rendered: pd.DataFrame) -> dict[str, float]:
    """Sum over units of the mean squared difference: ``aue`` of all 17, ``aue_lower`` and ``aue_upper`` of the parts of the face.

    Args:
        reference: what :func:`read_action_units` gave, row by row the frames of ``rendered``.
        rendered: the same.

    Raises:
        InputError: no frame has a face in both.
    """
    frames = min(len(reference), len(rendered))
    squared = (reference.iloc[:frames].to_numpy() - rendered.iloc[:frames].to_numpy()) ** 2
    both = np.isfinite(squared).all(axis=1)
    if not both.any():
        raise InputError("the two tables of action units share no frame with a face; were they made from these videos?")
    error = dict(zip(ACTION_UNITS, squared[both].mean(axis=0), strict=True))
    lower = float(sum(error[unit] for unit in LOWER_FACE_UNITS))
    whole = float(sum(error.values()))
    return {"aue": whole, "aue_lower": lower, "aue_upper": whole - lower, "aue_frames": int(both.sum())}

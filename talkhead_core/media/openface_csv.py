"""What OpenFace says of a video, frame by frame (``FeatureExtraction -f NAME.mp4 -aus``), in the CSV that a user brings."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from talkhead_core.errors import InputError
from talkhead_core.media.attachments import attached_file

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["ACTION_UNITS", "OPENFACE_FILE", "action_units_of", "attached_openface", "openface_rows", "read_action_units"]

OPENFACE_FILE = "openface.csv"
"""The name under which a Matroska video carries it."""

ACTION_UNITS = (1, 2, 4, 5, 6, 7, 9, 10, 12, 14, 15, 17, 20, 23, 25, 26, 45)
"""The 17 whose intensity OpenFace gives."""

_MOST_FRAMES = 10_000_000  # four days; a damaged number must not ask for all the memory there is


def read_action_units(path: Path) -> pd.DataFrame:
    """As :func:`action_units_of`, from a file."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read as OpenFace's CSV ({error})") from error
    return action_units_of(content, str(path))


def action_units_of(content: bytes, where: str) -> pd.DataFrame:
    """Intensities, one column a unit (``AU01`` to ``AU45``), one row a frame from 0; NaN where OpenFace found no face.

    Raises:
        InputError: the content is none of OpenFace's, or lacks a unit.
    """
    table = _one_row_a_frame(content, where)
    units = table[[f"AU{unit:02}_r" for unit in ACTION_UNITS]].rename(columns=lambda name: name.removesuffix("_r"))
    if "success" in table:
        units = units.where(table["success"] == 1)
    first = int(units.index.min())
    return units.reindex(range(first, int(units.index.max()) + 1)).reset_index(drop=True)


def openface_rows(content: bytes, frames: np.ndarray, where: str) -> str:
    """The CSV again, its rows those of ``frames [N]`` of the video (from 0), numbered and timed anew at 25 a second.

    Names keep their leading spaces, as the field's loaders want them; a frame that OpenFace does not name has success 0.

    Raises:
        InputError: the content is none of OpenFace's, or lacks a unit.
    """
    table = _one_row_a_frame(content, where)
    chosen = table.reindex(frames + int(table.index.min())).fillna(0)
    chosen.insert(0, "frame", np.arange(1, len(frames) + 1))
    if "timestamp" in chosen:
        chosen["timestamp"] = np.arange(len(frames)) / 25
    return chosen.rename(columns=lambda name: name if name == "frame" else f" {name}").to_csv(index=False)


def attached_openface(video: str | Path) -> bytes | None:
    """The CSV that a video carries; None where it carries none.

    Raises:
        FootageError: not a video.
    """
    return attached_file(video, OPENFACE_FILE)


def _one_row_a_frame(content: bytes, where: str) -> pd.DataFrame:
    """The table by frame as OpenFace numbers them; of several faces in one, the surest."""
    import pandas as pd  # half a second that whoever has no such file does not spend

    try:
        table = pd.read_csv(io.BytesIO(content), skipinitialspace=True)
    except ValueError as error:  # no CSV, nothing in it, not UTF-8
        raise InputError(f"{where}: cannot be read as OpenFace's CSV ({' '.join(str(error).split())})") from error
    table.columns = table.columns.str.strip()
    missing = [f"AU{unit:02}_r" for unit in ACTION_UNITS if f"AU{unit:02}_r" not in table]
    if missing or "frame" not in table:
        lacking = ", ".join(missing or ["frame"])
        raise InputError(f"{where}: lacks {lacking}; run OpenFace's FeatureExtraction with -aus on the video")
    if table.empty:
        raise InputError(f"{where}: names no frame; run OpenFace's FeatureExtraction with -aus on the video")
    used = [name for name in ("frame", *(f"AU{unit:02}_r" for unit in ACTION_UNITS)) if not pd.api.types.is_numeric_dtype(table[name])]
    numbers = table["frame"].to_numpy(np.float64, na_value=np.nan) if not used else np.array([])
    if used or not ((numbers >= 0) & (numbers < _MOST_FRAMES) & (numbers == np.floor(numbers))).all():
        raise InputError(f"{where}: {', '.join(used) or 'frame'} does not hold the numbers that OpenFace writes; run it again")
    table = table.sort_values("confidence", ascending=False, kind="stable") if "confidence" in table else table
    return table.drop_duplicates("frame").set_index("frame").sort_index()

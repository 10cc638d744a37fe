"""The series behind the page's plots as plain tables, one file a plot, which ``dvc plots`` draws and compares between runs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.spatial.transform import Rotation

from talkhead_core.report.speaker_artifacts import SpeakerArtifacts

__all__ = ["PLOT_FILES", "head_angles_deg", "plot_series"]

PLOT_FILES = (
    "training_loss.csv",
    "training_psnr.csv",
    "psnr_face.csv",
    "psnr_mouth.csv",
    "lip_distance.csv",
    "mouth_opening.csv",
    "pose.csv",
)
_MOST_ROWS = 2000
_PLACES = 5


def plot_series(artifacts: SpeakerArtifacts) -> dict[str, pd.DataFrame]:
    """File name -> a table with the column ``series`` and what it is plotted over; without rows where a stage has not run.

    Training is plotted against minutes from the first stage's beginning, everything else against the frame id.
    """
    return {
        "training_loss.csv": _training(artifacts, "loss"),
        "training_psnr.csv": _training(artifacts, "psnr"),
        "psnr_face.csv": _per_frame(artifacts, "psnr_face"),
        "psnr_mouth.csv": _per_frame(artifacts, "psnr_mouth"),
        "lip_distance.csv": _per_frame(artifacts, "lmd_px512"),
        "mouth_opening.csv": _mouth_opening(artifacts),
        "pose.csv": _pose(artifacts),
    }


def head_angles_deg(rotation: np.ndarray) -> np.ndarray:
    """Yaw (about y, up), pitch (about x) and roll (about z) of rotations ``[N, 3, 3]`` from head to camera, ``[N, 3]``."""
    return np.asarray(Rotation.from_matrix(rotation).as_euler("YXZ", degrees=True))


def _training(artifacts: SpeakerArtifacts, column: str) -> pd.DataFrame:
    parts, minutes = [], 0.0
    for stage, table in artifacts.histories.items():
        if column in table:
            rows = table[table[column].notna()]
            parts.append(
                pd.DataFrame({"minutes": minutes + rows["seconds"] / 60.0, column: rows[column], "series": stage, "step": rows["step"]})
            )
        minutes += float(table["seconds"].max()) / 60.0
    return _stacked(parts, ["minutes", column, "series", "step"])


def _per_frame(artifacts: SpeakerArtifacts, column: str) -> pd.DataFrame:
    names = ["frame_id", column, "series"]
    table = artifacts.per_frame
    if table is None or column not in table:
        return _stacked([], names)
    rows = table[table[column].notna()].rename(columns={"protocol": "series"})
    return _stacked([rows[names]], names)


def _mouth_opening(artifacts: SpeakerArtifacts) -> pd.DataFrame:
    names = ["frame_id", "mouth_opening", "series"]
    table = artifacts.per_frame
    if table is None or "mouth_opening" not in table:
        return _stacked([], names)
    recorded = table.drop_duplicates("frame_id").assign(mouth_opening=lambda rows: rows["mouth_opening_reference"], series="recording")
    rendered = table.rename(columns={"protocol": "series"})
    both = pd.concat([recorded[names], rendered[names]])
    return _stacked([both[both["mouth_opening"].notna()]], names)


def _pose(artifacts: SpeakerArtifacts) -> pd.DataFrame:
    names = ["frame_id", "degrees", "series"]
    if artifacts.track is None or "rotation" not in artifacts.track:
        return _stacked([], names)
    angles = head_angles_deg(artifacts.track["rotation"])
    frame_ids = artifacts.track["frame_id"]
    parts = [
        pd.DataFrame({"frame_id": frame_ids, "degrees": angles[:, i], "series": name}) for i, name in enumerate(("yaw", "pitch", "roll"))
    ]
    return _stacked(parts, names)


def _stacked(parts: Sequence[pd.DataFrame], names: Sequence[str]) -> pd.DataFrame:
    """One table; a series of more rows than a plot can show is thinned evenly."""
    thinned = [rows.iloc[:: max(1, -(-len(rows) // _MOST_ROWS))] for part in parts for _, rows in part.groupby("series", sort=False)]
    table = pd.concat(thinned, ignore_index=True) if thinned else pd.DataFrame(columns=list(names))
    return table[list(names)].round(_PLACES)

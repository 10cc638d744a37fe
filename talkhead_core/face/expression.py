"""What eyes and brows do: measured on the tracked mesh, a landmarker's blendshapes or OpenFace's action units; gated and smoothed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from talkhead_core.face.action_units import UPPER_FACE_UNITS
from talkhead_core.face.blendshapes import UPPER_FACE_BLENDSHAPES, upper_face_coefficients
from talkhead_core.face.mesh_topology import LEFT_BROW, LEFT_EYE_LIDS, RIGHT_BROW, RIGHT_EYE_LIDS
from talkhead_core.face.pose_smoothing import fill_rows
from talkhead_core.parameters import require

__all__ = ["EXPRESSION_NAMES", "ExpressionConfig", "blinks", "expression", "eye_opening", "measured_expression", "smoothed"]

EXPRESSION_NAMES = ("eye_opening_left", "eye_opening_right", "brow_raise_left", "brow_raise_right")
"""The columns of ``expression``; left is the person's left."""

_SMOOTHING_ORDER = 3

_LEFT_CORNERS, _RIGHT_CORNERS = (263, 362), (33, 133)


@dataclass(frozen=True, kw_only=True)
class ExpressionConfig:
    """What conditions the upper face.

    Args:
        source: ``landmarks``: four measures of the tracked mesh (``EXPRESSION_NAMES``); ``blendshapes``: SyncTalk's seven
            coefficients, which need the landmarker ``face_landmarker``; ``action_units``: OpenFace's eight of the upper face, which
            the recording must carry.
        smoothing_frames: odd; a cubic is fitted to so many frames around each (Savitzky and Golay 1964; SyncTalk: 5), which
            leaves a blink's depth; 1 leaves the values alone.
        min_confidence: frames whose landmarks can be believed less are interpolated from their neighbours.
    """

    source: Literal["landmarks", "blendshapes", "action_units"] = "landmarks"
    smoothing_frames: int = 1
    min_confidence: float = 0.2

    def __post_init__(self) -> None:
        odd = self.smoothing_frames % 2 == 1 and self.smoothing_frames >= 1
        require(odd and self.smoothing_frames != 3, f"smoothing_frames must be 1, 5, 7 or another odd number, not {self.smoothing_frames}")
        require(0 <= self.min_confidence < 1, f"min_confidence must be in [0, 1), not {self.min_confidence}")

    @property
    def names(self) -> tuple[str, ...]:
        """The columns."""
        return {"landmarks": EXPRESSION_NAMES, "blendshapes": UPPER_FACE_BLENDSHAPES, "action_units": UPPER_FACE_UNITS}[self.source]


def measured_expression(
    config: ExpressionConfig, landmarks: dict[str, np.ndarray], mesh_cm: np.ndarray, good: np.ndarray, shot: np.ndarray
) -> np.ndarray:
    """The columns ``[N, E]`` float32 that ``config`` names, for every frame.

    Args:
        config: which, and how they are cleaned.
        landmarks: the arrays of ``landmarks.safetensors``; with ``action_units [N, 8]`` where those are wanted.
        mesh_cm: ``[N, 468, 3]``, head frame.
        good: ``[N]`` bool, the frames that were tracked.
        shot: ``[N]``; nothing crosses a cut.

    Raises:
        InputError: blendshapes are asked for and the landmarker gave none.
    """
    if config.source == "landmarks":
        values = expression(mesh_cm)
    else:
        values = upper_face_coefficients(landmarks) if config.source == "blendshapes" else landmarks["action_units"]
    believed = good & (landmarks["confidence"] >= config.min_confidence) & np.isfinite(values).all(axis=1)
    if believed.any():
        values = fill_rows(values, believed, shot)
    return smoothed(np.nan_to_num(values), shot, config.smoothing_frames).astype(np.float32)


def smoothed(values: np.ndarray, shot: np.ndarray, frames: int) -> np.ndarray:
    """Each column of ``values [N, E]`` smoothed within each shot, inside the range it had there."""
    result = values.copy()
    for index in np.unique(shot):
        rows = np.flatnonzero(shot == index)
        if frames > _SMOOTHING_ORDER and len(rows) >= frames:
            from scipy.signal import savgol_filter  # seldom wanted, and slow to load

            part = values[rows]
            result[rows] = np.clip(savgol_filter(part, frames, _SMOOTHING_ORDER, axis=0), part.min(axis=0), part.max(axis=0))
    return result


def expression(mesh_cm: np.ndarray) -> np.ndarray:
    """Expression features of meshes in the head frame.

    Args:
        mesh_cm: ``[N, 468, 3]``.

    Returns:
        ``[N, 4]`` float32 in the order of ``EXPRESSION_NAMES``: the eye aspect ratio (lid distance over corner
        distance, Soukupova and Cech 2016, eq. 1; about 0.3 open, below 0.15 closed), and the height of the brow above
        its eye's corners in cm.
    """
    brows = [_height(mesh_cm, LEFT_BROW, _LEFT_CORNERS), _height(mesh_cm, RIGHT_BROW, _RIGHT_CORNERS)]
    return np.concatenate([eye_opening(mesh_cm), np.stack(brows, axis=1)], axis=1).astype(np.float32)


def eye_opening(mesh_cm: np.ndarray) -> np.ndarray:
    """Aspect ratio of the left and the right eye, ``[N, 2]``, of meshes ``[N, 468, 3]``, as in :func:`expression`."""
    left, right = _aspect_ratio(mesh_cm, LEFT_EYE_LIDS, _LEFT_CORNERS), _aspect_ratio(mesh_cm, RIGHT_EYE_LIDS, _RIGHT_CORNERS)
    return np.stack([left, right], axis=1)


def blinks(eye_opening: np.ndarray, *, closed_fraction: float = 0.6, longest_frames: int = 15) -> list[tuple[int, int]]:
    """Half-open ranges of frames in which both eyes are closed.

    Args:
        eye_opening: ``[N, 2]`` aspect ratios.
        closed_fraction: an eye is closed below this fraction of its open value (the 90th percentile).
        longest_frames: longer closures are looking down or sleep, not blinks.
    """
    level = eye_opening.mean(1)
    closed = level < closed_fraction * np.percentile(level, 90)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], closed.astype(int), [0]])))
    return [(int(a), int(b)) for a, b in edges.reshape(-1, 2) if b - a <= longest_frames]


def _aspect_ratio(mesh: np.ndarray, lids: tuple[tuple[int, int], ...], corners: tuple[int, int]) -> np.ndarray:
    upper, lower = np.array(lids).T
    opening = np.linalg.norm(mesh[:, upper] - mesh[:, lower], axis=-1).mean(1)
    return opening / np.linalg.norm(mesh[:, corners[0]] - mesh[:, corners[1]], axis=-1)


def _height(mesh: np.ndarray, brow: tuple[int, ...], corners: tuple[int, int]) -> np.ndarray:
    return mesh[:, list(brow), 1].mean(1) - mesh[:, list(corners), 1].mean(1)

"""Eye opening and brow raise from the tracked mesh, in the head frame."""

from __future__ import annotations

import numpy as np

from talkhead_core.face.mesh_topology import LEFT_BROW, LEFT_EYE_LIDS, RIGHT_BROW, RIGHT_EYE_LIDS

__all__ = ["EXPRESSION_NAMES", "blinks", "expression"]

EXPRESSION_NAMES = ("eye_opening_left", "eye_opening_right", "brow_raise_left", "brow_raise_right")
"""The columns of ``expression``; left is the person's left."""

_LEFT_CORNERS, _RIGHT_CORNERS = (263, 362), (33, 133)


def expression(mesh_cm: np.ndarray) -> np.ndarray:
    """Expression features of meshes in the head frame.

    Args:
        mesh_cm: ``[N, 468, 3]``.

    Returns:
        ``[N, 4]`` float32 in the order of ``EXPRESSION_NAMES``: the eye aspect ratio (lid distance over corner
        distance, Soukupova and Cech 2016, eq. 1; about 0.3 open, below 0.15 closed), and the height of the brow above
        its eye's corners in cm.
    """
    columns = [
        _aspect_ratio(mesh_cm, LEFT_EYE_LIDS, _LEFT_CORNERS),
        _aspect_ratio(mesh_cm, RIGHT_EYE_LIDS, _RIGHT_CORNERS),
        _height(mesh_cm, LEFT_BROW, _LEFT_CORNERS),
        _height(mesh_cm, RIGHT_BROW, _RIGHT_CORNERS),
    ]
    return np.stack(columns, axis=1).astype(np.float32)


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

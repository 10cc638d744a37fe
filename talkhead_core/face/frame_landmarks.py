"""The landmarks of one frame, and those of a clip as arrays keyed by frame id."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from talkhead_core.types import Image

__all__ = ["FrameLandmarks", "Landmarker", "Shots", "gather", "shot_of_frames"]

Shots = Sequence[Sequence[int]]
"""Half-open frame ranges ``[first, last)`` without a cut, in order."""


@dataclass(frozen=True)
class FrameLandmarks:
    """What a landmarker found in one frame.

    Args:
        frame_id: the frame.
        points: ``[P, 3]`` float32: pixels of the clip (pixel centres at .5), z in pixels, smaller is nearer; NaN without a face.
        detected: whether there is a face.
        confidence: in [0, 1]; 0 without a face.
        blendshapes: ``[52]`` scores in [0, 1] (``blendshapes.BLENDSHAPE_NAMES``) of the landmarkers that give them.
        matrix: ``[4, 4]``, their canonical face to the camera, rotation, scale and translation in cm.
    """

    frame_id: int
    points: np.ndarray
    detected: bool
    confidence: float
    blendshapes: np.ndarray | None = None
    matrix: np.ndarray | None = None

    @classmethod
    def missing(cls, frame_id: int, count: int) -> FrameLandmarks:
        """The row of a frame in which no face was found."""
        return cls(frame_id, np.full((count, 3), np.nan, np.float32), False, 0.0)


class Landmarker(Protocol):
    """Finds the landmarks of the largest face of every frame.

    Attributes:
        point_count: landmarks per frame.
    """

    point_count: int

    def detect(self, frames: Iterable[Image], shots: Shots) -> Iterator[FrameLandmarks]:
        """Yield one row per frame, in order; ids count from 0. Nothing is carried from one shot into the next."""
        ...


def gather(rows: Iterable[FrameLandmarks]) -> dict[str, np.ndarray]:
    """The arrays of ``landmarks.safetensors``: ``frame_id``, ``points``, ``detected``, ``confidence``, and where the landmarker gives
    them ``blendshapes [N, 52]`` and ``face_matrix [N, 4, 4]``, NaN without a face."""
    found = list(rows)
    arrays = {
        "frame_id": np.array([row.frame_id for row in found], np.int64),
        "points": np.stack([row.points for row in found]).astype(np.float32),
        "detected": np.array([row.detected for row in found], bool),
        "confidence": np.array([row.confidence for row in found], np.float32),
    }
    for name, values in (("blendshapes", [row.blendshapes for row in found]), ("face_matrix", [row.matrix for row in found])):
        given = next((value for value in values if value is not None), None)
        if given is not None:
            missing = np.full(given.shape, np.nan, np.float32)
            arrays[name] = np.stack([missing if value is None else value for value in values]).astype(np.float32)
    return arrays


def shot_of_frames(shots: Shots, frames: int) -> np.ndarray:
    """The index of each frame's shot ``[frames]`` int32; frames outside every range belong to the nearest earlier shot."""
    result = np.zeros(frames, np.int32)
    for index, (first, _) in enumerate(shots):
        result[first:] = index
    return result

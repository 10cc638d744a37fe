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
    """

    frame_id: int
    points: np.ndarray
    detected: bool
    confidence: float

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
    """The arrays of ``landmarks.safetensors``: ``frame_id``, ``points``, ``detected``, ``confidence``."""
    found = list(rows)
    return {
        "frame_id": np.array([row.frame_id for row in found], np.int64),
        "points": np.stack([row.points for row in found]).astype(np.float32),
        "detected": np.array([row.detected for row in found], bool),
        "confidence": np.array([row.confidence for row in found], np.float32),
    }


def shot_of_frames(shots: Shots, frames: int) -> np.ndarray:
    """The index of each frame's shot ``[frames]`` int32; frames outside every range belong to the nearest earlier shot."""
    result = np.zeros(frames, np.int32)
    for index, (first, _) in enumerate(shots):
        result[first:] = index
    return result

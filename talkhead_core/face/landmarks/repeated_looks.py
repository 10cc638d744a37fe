"""Each frame looked at several times: a landmarker's answer trembles with where in the frame the face lies.

A frame's points are the mean over a few fixed similarities of the picture (moved, turned and scaled by little), mapped back. The same
mouth in two surroundings then measures more nearly alike; docs/evaluation.md has figures.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from itertools import islice

import cv2
import numpy as np

from talkhead_core.face.frame_landmarks import FrameLandmarks, Landmarker, Shots
from talkhead_core.face.landmarks.consistency import ShapeConsistency
from talkhead_core.types import FloatArray, Image

__all__ = ["RepeatedLooks"]

_GOLDEN_ANGLE = 2.399963
"""Radians; its multiples never fall together, so that any number of looks differ."""

_LARGEST_SCALE, _LARGEST_DEGREES, _LARGEST_SHIFT = 0.05, 8.0, 0.02
_DENSE_MESH = 468


class RepeatedLooks:
    """A landmarker whose points are the mean over several looks at every frame, each frame's by itself.

    Args:
        landmarker: one that does not follow faces from frame to frame.
        looks: at each frame; the first is at the frame as it is.
    """

    def __init__(self, landmarker: Landmarker, looks: int) -> None:
        self._landmarker, self._looks = landmarker, looks
        self.point_count = landmarker.point_count

    def detect(self, frames: Iterable[Image], shots: Shots) -> Iterator[FrameLandmarks]:
        """Yield one row per frame, in order; confidence is that of the mean, blendshapes are the mean, a matrix is the first look's."""
        sizes: list[tuple[int, int]] = []

        def views() -> Iterator[Image]:
            for frame in frames:
                height, width = frame.shape[:2]
                sizes.append((height, width))
                yield frame
                for look in range(1, self._looks):
                    matrix = _similarity(look, height, width)
                    view = cv2.warpAffine(frame, matrix, (width, height), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
                    yield np.asarray(view, dtype=np.uint8)

        consistency = ShapeConsistency()
        rows = iter(self._landmarker.detect(views(), [(int(first) * self._looks, int(end) * self._looks) for first, end in shots]))
        frame_id = 0
        while looked := list(islice(rows, self._looks)):
            yield self._mean(frame_id, looked, *sizes.pop(0), consistency)
            frame_id += 1

    def _mean(self, frame_id: int, looked: list[FrameLandmarks], height: int, width: int, consistency: ShapeConsistency) -> FrameLandmarks:
        found = [(look, row) for look, row in enumerate(looked) if row.detected]
        if not found:
            return FrameLandmarks.missing(frame_id, self.point_count)
        points = np.mean([_mapped_back(row.points, look, height, width) for look, row in found], axis=0).astype(np.float32)
        mesh = self.point_count >= _DENSE_MESH
        confidence = consistency.confidence(points) if mesh else float(np.mean([row.confidence for _, row in found]))
        scores = [row.blendshapes for _, row in found if row.blendshapes is not None]
        blendshapes = np.mean(scores, axis=0).astype(np.float32) if scores else None
        return FrameLandmarks(frame_id, points, True, confidence, blendshapes=blendshapes, matrix=found[0][1].matrix)


def _mapped_back(points: FloatArray, look: int, height: int, width: int) -> FloatArray:
    if look == 0:
        return points
    back = cv2.invertAffineTransform(_similarity(look, height, width))
    return np.concatenate([points[:, :2] @ back[:, :2].T + back[:, 2], points[:, 2:] / _scale(look)], axis=1)


def _scale(look: int) -> float:
    return 1.0 + _LARGEST_SCALE * math.cos(_GOLDEN_ANGLE * look)


def _similarity(look: int, height: int, width: int) -> FloatArray:
    """The look's affine map ``[2, 3]``."""
    angle, short = _GOLDEN_ANGLE * look, min(height, width)
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), _LARGEST_DEGREES * math.sin(angle), _scale(look))
    shift = _LARGEST_SHIFT * short * np.array([math.cos(2 * angle + 1), math.sin(2 * angle + 1)])
    return np.concatenate([matrix[:, :2], (matrix[:, 2] + shift)[:, None]], axis=1)

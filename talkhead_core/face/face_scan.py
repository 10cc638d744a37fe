"""Where faces are in a frame, quickly and at any size: for choosing the crop and for refusing what cannot work."""

from __future__ import annotations

from dataclasses import dataclass
from types import TracebackType
from typing import Any

import numpy as np

from talkhead_core.types import Image

__all__ = ["FaceBox", "FaceDetector"]

_SAME_FACE_OVERLAP = 0.3  # intersection over union
_TILE_SHARE = 0.6  # a tile's side over the frame's shorter side


@dataclass(frozen=True, kw_only=True)
class FaceBox:
    """A face, hairline to chin and cheek to cheek, in pixels of the frame."""

    x: float
    y: float
    width: float
    height: float
    score: float

    @property
    def centre(self) -> tuple[float, float]:
        """``(u, v)``, px."""
        return self.x + self.width / 2, self.y + self.height / 2

    def scaled(self, factor: float) -> FaceBox:
        """The same face in a frame ``factor`` times as large."""
        return FaceBox(x=self.x * factor, y=self.y * factor, width=self.width * factor, height=self.height * factor, score=self.score)

    def overlap(self, other: FaceBox) -> float:
        """Intersection over union."""
        wide = min(self.x + self.width, other.x + other.width) - max(self.x, other.x)
        high = min(self.y + self.height, other.y + other.height) - max(self.y, other.y)
        shared = max(wide, 0.0) * max(high, 0.0)
        return shared / (self.width * self.height + other.width * other.height - shared)


class FaceDetector:
    """BlazeFace, full range, whose weights come inside the mediapipe wheel; about 3 ms a frame.

    Args:
        min_confidence: detections below this are dropped.
    """

    def __init__(self, min_confidence: float = 0.5) -> None:
        from mediapipe.python.solutions.face_detection import FaceDetection

        self._detection: Any = FaceDetection(model_selection=1, min_detection_confidence=min_confidence)

    def find(self, frame: Image, *, thorough: bool = False) -> list[FaceBox]:
        """All faces in an RGB frame, the largest first.

        Args:
            frame: ``[H, W, 3]`` uint8 RGB.
            thorough: look through overlapping tiles too, which finds faces a twentieth of the frame high.
        """
        boxes = self._inside(frame, 0, 0)
        if thorough or not boxes:
            height, width = frame.shape[:2]
            side = max(64, round(min(height, width) * _TILE_SHARE))
            for top in _tile_starts(height, side):
                for left in _tile_starts(width, side):
                    boxes += self._inside(frame[top : top + side, left : left + side], left, top)
        return _distinct(boxes)

    def close(self) -> None:
        """Free the model."""
        self._detection.close()

    def __enter__(self) -> FaceDetector:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _inside(self, picture: Image, left: int, top: int) -> list[FaceBox]:
        height, width = picture.shape[:2]
        result = self._detection.process(np.ascontiguousarray(picture))
        boxes = []
        for found in result.detections or []:
            box = found.location_data.relative_bounding_box
            face_height = box.height * height
            boxes.append(
                FaceBox(
                    x=left + box.xmin * width,
                    y=top + box.ymin * height,
                    width=box.width * width,
                    height=face_height,
                    score=float(found.score[0]),
                )
            )
        return boxes


def _tile_starts(length: int, side: int) -> list[int]:
    count = int(np.ceil(max(length - side, 0) / (side / 2))) + 1
    return [round(start) for start in np.linspace(0, max(length - side, 0), count)]


def _distinct(boxes: list[FaceBox]) -> list[FaceBox]:
    kept: list[FaceBox] = []
    for box in sorted(boxes, key=lambda box: -box.score):
        if all(box.overlap(other) < _SAME_FACE_OVERLAP and not _holds(other, box) for other in kept):
            kept.append(box)
    return sorted(kept, key=lambda box: -box.height)


def _holds(outer: FaceBox, inner: FaceBox) -> bool:
    u, v = inner.centre
    return outer.x < u < outer.x + outer.width and outer.y < v < outer.y + outer.height

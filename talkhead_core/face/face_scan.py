"""Where faces are in a frame, quickly and at any size: for choosing the crop and for refusing what cannot work."""

from __future__ import annotations

from dataclasses import dataclass
from types import TracebackType
from typing import Any

import cv2
import numpy as np

from talkhead_core.media.mediapipe_solutions import mediapipe_package
from talkhead_core.types import Image

__all__ = ["FaceBox", "FaceDetector"]

_SAME_FACE_OVERLAP = 0.3  # intersection over union
_MESH_REACH = 0.85  # of the face's height, to each side of its centre
_MESH_PX = 192
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
    """BlazeFace, full range, each find confirmed by the face mesh; weights inside the mediapipe wheel; about 6 ms a frame.

    BlazeFace alone sees faces in noise, folds of cloth and hands; the mesh finds none there.

    Args:
        min_confidence: detections below this are dropped.
    """

    def __init__(self, min_confidence: float = 0.5) -> None:
        solutions = mediapipe_package().solutions
        self._detection: Any = solutions.face_detection.FaceDetection(model_selection=1, min_detection_confidence=min_confidence)
        self._mesh: Any = solutions.face_mesh.FaceMesh(static_image_mode=True, max_num_faces=1, refine_landmarks=False)

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
        return [box for box in _distinct(boxes) if self._has_mesh(frame, box)]

    def close(self) -> None:
        """Free the models."""
        self._detection.close()
        self._mesh.close()

    def __enter__(self) -> FaceDetector:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _has_mesh(self, frame: Image, box: FaceBox) -> bool:
        (u, v), reach = box.centre, _MESH_REACH * box.height
        left, top = max(0, round(u - reach)), max(0, round(v - reach))
        around = frame[top : max(round(v + reach), top + 2), left : max(round(u + reach), left + 2)]
        if min(around.shape[:2]) < 2:
            return False
        scale = _MESH_PX / max(around.shape[:2])
        size = (max(2, round(around.shape[1] * scale)), max(2, round(around.shape[0] * scale)))
        small = np.asarray(cv2.resize(around, size, interpolation=cv2.INTER_AREA), np.uint8)
        return self._mesh.process(small).multi_face_landmarks is not None

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

"""The face mesh that MediaPipe's wheel carries: 478 refined points, no download, deterministic."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from talkhead_core.face.frame_landmarks import FrameLandmarks, Shots
from talkhead_core.face.landmarks.consistency import ShapeConsistency
from talkhead_core.face.landmarks.selection import LandmarksConfig
from talkhead_core.face.mesh_topology import REFINED_POINTS
from talkhead_core.media.mediapipe_solutions import mediapipe_package
from talkhead_core.types import Image

__all__ = ["MediaPipeFaceMesh", "to_clip_pixels"]


class MediaPipeFaceMesh:
    """Video mode, restarted at each shot, or every frame by itself; the two disagree by about 3 px, so a stage uses one throughout."""

    point_count = REFINED_POINTS

    def __init__(self, config: LandmarksConfig) -> None:
        self._config = config

    def detect(self, frames: Iterable[Image], shots: Shots) -> Iterator[FrameLandmarks]:
        """Yield one row per frame, in order."""
        starts = {int(first) for first, _ in shots}
        consistency = ShapeConsistency()
        mesh = self._fresh()
        try:
            for frame_id, frame in enumerate(frames):
                if frame_id and frame_id in starts:
                    mesh.close()
                    mesh = self._fresh()
                faces = mesh.process(np.ascontiguousarray(frame)).multi_face_landmarks
                if not faces:
                    yield FrameLandmarks.missing(frame_id, REFINED_POINTS)
                    continue
                points = to_clip_pixels(faces[0].landmark, frame.shape[1], frame.shape[0])
                yield FrameLandmarks(frame_id, points, True, consistency.confidence(points))
        finally:
            mesh.close()

    def _fresh(self) -> Any:
        return mediapipe_package().solutions.face_mesh.FaceMesh(
            static_image_mode=not self._config.follow,
            max_num_faces=1,
            refine_landmarks=True,
            min_detection_confidence=self._config.min_detection_confidence,
            min_tracking_confidence=self._config.min_tracking_confidence,
        )


def to_clip_pixels(landmarks: Iterable[Any], width: int, height: int) -> np.ndarray:
    """MediaPipe's normalised landmarks to ``[P, 3]`` float32 clip pixels; z has the scale of x.

    MediaPipe counts from the centre of the first pixel (a mirrored image gives mirrored points about ``(width - 1) / 2``).
    """
    normalised = np.array([(point.x, point.y, point.z) for point in landmarks])
    return (normalised * (width, height, width) + (0.5, 0.5, 0.0)).astype(np.float32)

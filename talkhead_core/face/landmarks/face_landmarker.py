"""MediaPipe's FaceLandmarker task: 478 points, 52 blendshapes and the face's matrix from a ``.task`` file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import mediapipe as mp
import numpy as np

from talkhead_core.errors import NotAvailableError
from talkhead_core.face.blendshapes import BLENDSHAPE_NAMES
from talkhead_core.face.frame_landmarks import FrameLandmarks, Shots
from talkhead_core.face.landmarks.consistency import ShapeConsistency
from talkhead_core.face.landmarks.mediapipe_face_mesh import to_clip_pixels
from talkhead_core.face.landmarks.selection import LandmarksConfig
from talkhead_core.face.mesh_topology import REFINED_POINTS
from talkhead_core.types import Image

__all__ = ["FaceLandmarkerTask"]

_FRAME_MS = 40  # the task smooths over time, from its first timestamp on


class FaceLandmarkerTask:
    """Video mode, restarted at each shot, or every frame by itself.

    Raises:
        NotAvailableError: the ``.task`` file is missing or is none.
    """

    point_count = REFINED_POINTS

    def __init__(self, config: LandmarksConfig) -> None:
        if config.weights is None or not Path(config.weights).is_file():
            raise NotAvailableError(
                f"landmarker 'face_landmarker' needs face_landmarker.task ({config.weights or 'no path is set'}); "
                "run 'talkhead models pull face_landmarker'"
            )
        self._config = config
        self._model = Path(config.weights).read_bytes()
        self._fresh().close()

    def detect(self, frames: Iterable[Image], shots: Shots) -> Iterator[FrameLandmarks]:
        """Yield one row per frame, in order."""
        starts = {int(first) for first, _ in shots}
        consistency = ShapeConsistency()
        task, shot_start = self._fresh(), 0
        try:
            for frame_id, frame in enumerate(frames):
                if frame_id and frame_id in starts:
                    task.close()
                    task, shot_start = self._fresh(), frame_id
                image = mp.Image(image_format=mp.ImageFormat.SRGB, data=np.ascontiguousarray(frame))
                found = task.detect_for_video(image, (frame_id - shot_start) * _FRAME_MS) if self._config.follow else task.detect(image)
                if not found.face_landmarks:
                    yield FrameLandmarks.missing(frame_id, REFINED_POINTS)
                    continue
                points = to_clip_pixels(found.face_landmarks[0], frame.shape[1], frame.shape[0])
                scores = {category.category_name: category.score for category in found.face_blendshapes[0]}
                yield FrameLandmarks(
                    frame_id,
                    points,
                    True,
                    consistency.confidence(points),
                    blendshapes=np.array([scores[name] for name in BLENDSHAPE_NAMES], np.float32),
                    matrix=np.asarray(found.facial_transformation_matrixes[0], np.float32),
                )
        finally:
            task.close()

    def _fresh(self) -> Any:
        vision = mp.tasks.vision
        options = vision.FaceLandmarkerOptions(
            base_options=mp.tasks.BaseOptions(model_asset_buffer=self._model),
            running_mode=vision.RunningMode.VIDEO if self._config.follow else vision.RunningMode.IMAGE,
            num_faces=1,
            output_face_blendshapes=True,
            output_facial_transformation_matrixes=True,
            min_face_detection_confidence=self._config.min_detection_confidence,
            min_tracking_confidence=self._config.min_tracking_confidence,
        )
        try:
            return vision.FaceLandmarker.create_from_options(options)
        except (RuntimeError, ValueError) as error:
            reason = str(error).splitlines()[0]
            raise NotAvailableError(f"{self._config.weights} is not a FaceLandmarker task file ({reason})") from error

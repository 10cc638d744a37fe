"""A face's mouth, eyes and pose over time, cheaply: enough to judge footage by, not to track a head by."""

from __future__ import annotations

from dataclasses import dataclass
from types import TracebackType
from typing import Any

import numpy as np

from talkhead_core.media.mediapipe_solutions import mediapipe_package
from talkhead_core.types import FloatArray, Image

__all__ = ["FaceMotion", "FaceMotionMeter", "face_measures"]

_FOREHEAD, _CHIN = 10, 152
_RIGHT_EYE_OUTER, _LEFT_EYE_OUTER = 33, 263
_INNER_LIPS = ((13, 14), (82, 87), (312, 317))  # upper, lower
_EYES = (((159, 145), (158, 153), (33, 133)), ((386, 374), (385, 380), (263, 362)))  # two lid pairs and the corners


@dataclass(frozen=True, kw_only=True, eq=False)
class FaceMotion:
    """Rows for the frames that were looked at; NaN where no face was found.

    Args:
        frame: ``[M]`` source frame numbers.
        mouth_opening: ``[M]`` gap of the inner lips over the outer eye distance.
        eye_opening: ``[M]`` mean eye aspect ratio (lid gap over eye width).
        pose_deg: ``[M, 3]`` yaw (positive: towards the image's right), pitch (positive: up), roll (positive: clockwise).
    """

    frame: np.ndarray
    mouth_opening: FloatArray
    eye_opening: FloatArray
    pose_deg: FloatArray


class FaceMotionMeter:
    """The face mesh in video mode on a small square around the face; about 1.5 ms a frame."""

    def __init__(self) -> None:
        self._mesh: Any = _new_mesh()

    def measure(self, picture: Image) -> FloatArray | None:
        """``[5]`` as :func:`face_measures`, or None without a face, from an RGB picture of the face and some margin."""
        faces = self._mesh.process(picture).multi_face_landmarks
        if not faces:
            return None
        height, width = picture.shape[:2]
        points = np.array([(point.x * width, point.y * height, point.z * width) for point in faces[0].landmark])
        return face_measures(points)

    def restart(self) -> None:
        """Forget the last frame's face: the picture's framing has changed."""
        self._mesh.close()
        self._mesh = _new_mesh()

    def __enter__(self) -> FaceMotionMeter:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._mesh.close()


def face_measures(points: FloatArray) -> FloatArray:
    """Mouth opening, eye opening, yaw, pitch, roll (degrees) from MediaPipe's mesh ``[468+, 3]`` in px."""
    eyes_apart = float(np.linalg.norm(points[_LEFT_EYE_OUTER] - points[_RIGHT_EYE_OUTER]))
    gap = np.mean([np.linalg.norm(points[upper] - points[lower]) for upper, lower in _INNER_LIPS])
    eyes = []
    for first, second, corners in _EYES:
        lids = sum(np.linalg.norm(points[upper] - points[lower]) for upper, lower in (first, second)) / 2
        eyes.append(lids / np.linalg.norm(points[corners[0]] - points[corners[1]]))
    across = (points[_LEFT_EYE_OUTER] - points[_RIGHT_EYE_OUTER]) / eyes_apart
    down = points[_CHIN] - points[_FOREHEAD]
    outward = np.cross(down, across)  # out of the face, towards the camera: z is negative
    outward /= np.linalg.norm(outward)
    yaw = np.degrees(np.arctan2(outward[0], -outward[2]))
    pitch = np.degrees(np.arcsin(np.clip(-outward[1], -1, 1)))
    roll = np.degrees(np.arctan2(across[1], across[0]))
    return np.array([gap / eyes_apart, np.mean(eyes), yaw, pitch, roll])


def _new_mesh() -> Any:
    return mediapipe_package().solutions.face_mesh.FaceMesh(static_image_mode=False, max_num_faces=1, refine_landmarks=True)

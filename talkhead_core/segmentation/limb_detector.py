"""Hands and arms of single images, by MediaPipe's models, whose weights come inside its wheel."""

from __future__ import annotations

from typing import Any

import cv2
import mediapipe
import numpy as np

from talkhead_core.segmentation.limbs import NO_LIMBS, Limbs
from talkhead_core.types import FloatArray, Image

__all__ = ["LimbDetector"]

_MAX_HANDS = 2
_MIN_CONFIDENCE = 0.5
# MediaPipe's pose points: shoulders, elbows, wrists, root of little and index finger, hips; left, then right.
_SHOULDERS, _ELBOWS, _WRISTS, _HIPS = (11, 12), (13, 14), (15, 16), (23, 24)
_KNUCKLES = ((17, 19), (18, 20))
_ARM_INTERVAL = 2  # detections a look at the arms, which are slower than hands


class LimbDetector:
    """Up to two hands and two arms in one image of a clip after another.

    The pose model, which finds the arms, runs only while there are hands.
    """

    def __init__(self) -> None:
        self._hands = mediapipe.solutions.hands.Hands(
            static_image_mode=False,
            max_num_hands=_MAX_HANDS,
            model_complexity=0,
            min_detection_confidence=_MIN_CONFIDENCE,
            min_tracking_confidence=_MIN_CONFIDENCE,
        )
        self._pose: Any = None
        self._arms = NO_LIMBS.arms
        self._since_arms = _ARM_INTERVAL

    def __call__(self, image: Image) -> Limbs:
        """Limbs of an RGB image ``[H, W, 3]``."""
        height, width = image.shape[:2]
        found = self._hands.process(np.ascontiguousarray(image)).multi_hand_landmarks or []
        if not found:
            self._since_arms = _ARM_INTERVAL
            return NO_LIMBS
        points = [[(point.x * width, point.y * height) for point in hand.landmark] for hand in found]
        self._since_arms += 1
        if self._since_arms >= _ARM_INTERVAL:
            self._arms, self._since_arms = self._arms_in_front(image), 0
        return Limbs(hands=np.asarray(points, np.float32).reshape(-1, 21, 2), arms=self._arms)

    def _arms_in_front(self, image: Image) -> FloatArray:
        if self._pose is None:
            self._pose = mediapipe.solutions.pose.Pose(model_complexity=1, smooth_landmarks=False)
        landmarks = self._pose.process(np.ascontiguousarray(image)).pose_landmarks
        arms = NO_LIMBS.arms.copy()
        if landmarks is None:
            return arms
        size = np.array([image.shape[1], image.shape[0]], np.float32)
        points = np.array([(point.x, point.y) for point in landmarks.landmark], np.float32) * size
        visible = np.array([point.visibility for point in landmarks.landmark])
        torso = points[[_SHOULDERS[0], _SHOULDERS[1], _HIPS[1], _HIPS[0]]]
        for side in range(2):
            arm = np.stack([points[_ELBOWS[side]], points[_WRISTS[side]], points[list(_KNUCKLES[side])].mean(axis=0)])
            seen = visible[_WRISTS[side]] > _MIN_CONFIDENCE and ((arm[1] >= 0) & (arm[1] < size)).all()
            if seen and _reaches(arm, torso):
                arms[side] = arm
        return arms


def _reaches(arm: FloatArray, torso: FloatArray) -> bool:
    """Whether wrist or knuckles lie in front of the torso (grown by an eighth of its width)."""
    near = 0.125 * float(np.linalg.norm(torso[0] - torso[1]))
    outline = torso.reshape(-1, 1, 2)
    return any(cv2.pointPolygonTest(outline, (float(x), float(y)), True) > -near for x, y in arm[1:])

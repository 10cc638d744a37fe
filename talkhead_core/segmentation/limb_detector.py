"""Hands and arms of single images, by MediaPipe's models, whose weights come inside its wheel."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from talkhead_core.media.mediapipe_solutions import mediapipe_package
from talkhead_core.segmentation.limbs import NO_LIMBS, Limbs, hand_length_px
from talkhead_core.types import FloatArray, Image

__all__ = ["LimbDetector"]

_MAX_HANDS = 2
_MIN_CONFIDENCE = 0.5
# MediaPipe's pose points: shoulders, elbows, wrists, root of little and index finger, hips; left, then right.
_SHOULDERS, _ELBOWS, _WRISTS, _HIPS = (11, 12), (13, 14), (15, 16), (23, 24)
_KNUCKLES = ((17, 19), (18, 20))
_ARM_INTERVAL = 2  # detections from one look at the arms, which takes longer, to the next
_MAX_MISSES = 8  # detections without hands for which the arms alone are believed


class LimbDetector:
    """Up to two hands and two arms in one image of a clip after another.

    The pose model, which finds the arms, runs only while there are hands.
    """

    def __init__(self) -> None:
        self._hands = mediapipe_package().solutions.hands.Hands(
            static_image_mode=False,
            max_num_hands=_MAX_HANDS,
            model_complexity=0,
            min_detection_confidence=_MIN_CONFIDENCE,
            min_tracking_confidence=_MIN_CONFIDENCE,
        )
        self._pose: Any = None
        self._last = NO_LIMBS
        self._until_arms = 0
        self._misses = _MAX_MISSES

    def __call__(self, image: Image) -> Limbs:
        """Limbs of an RGB image ``[H, W, 3]``."""
        height, width = image.shape[:2]
        found = self._hands.process(np.ascontiguousarray(image)).multi_hand_landmarks or []
        hands = np.asarray([[(point.x * width, point.y * height) for point in hand.landmark] for hand in found], np.float32)
        self._misses = 0 if len(hands) else self._misses + 1
        if self._misses > _MAX_MISSES:
            self._last = NO_LIMBS
            return NO_LIMBS
        self._until_arms -= 1
        arms = self._last.arms
        if self._until_arms <= 0 or self._misses:
            arms, self._until_arms = self._arms_in_front(image), _ARM_INTERVAL
        hands = hands.reshape(-1, 21, 2) if len(hands) else _at_wrists(self._last, arms)
        self._last = Limbs(hands=hands, arms=arms)
        return self._last

    def _arms_in_front(self, image: Image) -> FloatArray:
        if self._pose is None:
            self._pose = mediapipe_package().solutions.pose.Pose(model_complexity=1, smooth_landmarks=False)
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
            # An elbow outside the image is a guess, and an arm drawn to it may lie anywhere.
            inside = ((arm[:2] >= 0) & (arm[:2] < size)).all()
            sure = min(visible[_WRISTS[side]], visible[_ELBOWS[side]]) > _MIN_CONFIDENCE
            if inside and sure and _reaches(arm, torso):
                arms[side] = arm
        return arms


def _at_wrists(last: Limbs, arms: FloatArray) -> FloatArray:
    """The hands seen last ``[n, 21, 2]``, moved with the wrists of the arms they hang on; hands without an arm are gone."""
    kept = []
    for hand in last.hands:
        distance = np.linalg.norm(last.arms[:, 1] - hand[0], axis=1)
        distance[~np.isfinite(distance) | ~np.isfinite(arms).all(axis=(1, 2))] = np.inf
        side = int(np.argmin(distance))
        if distance[side] < hand_length_px(hand):
            kept.append(hand + arms[side, 1] - last.arms[side, 1])
    return np.asarray(kept, np.float32).reshape(-1, 21, 2)


def _reaches(arm: FloatArray, torso: FloatArray) -> bool:
    """Whether wrist or knuckles lie in front of the torso (grown by an eighth of its width)."""
    near = 0.125 * float(np.linalg.norm(torso[0] - torso[1]))
    outline = torso.reshape(-1, 1, 2)
    return any(cv2.pointPolygonTest(outline, (float(x), float(y)), True) > -near for x, y in arm[1:])

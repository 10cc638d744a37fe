"""Pixels of hands and forearms."""

from __future__ import annotations

import cv2
import numpy as np

from talkhead_core.media.mask_morphology import joined_to
from talkhead_core.segmentation.limbs import Limbs, hand_length_px
from talkhead_core.types import FloatArray

__all__ = ["hand_region"]

# MediaPipe's hand points, wrist first, then thumb to little finger from root to tip.
_FINGERS = ((1, 2, 3, 4), (5, 6, 7, 8), (9, 10, 11, 12), (13, 14, 15, 16), (17, 18, 19, 20))
_PALM = (0, 1, 5, 9, 13, 17)

# Shares of the hand's length.
_FLESH = 0.09  # from the bones to the outline
_WRIST_RADIUS = 0.16
_FOREARM_RADIUS = 0.34
_ARM_REACH = 2.2  # wrist to elbow, generously
_FINGERS_BEYOND_KNUCKLES = 0.45


def hand_region(limbs: Limbs, skin: np.ndarray, allowed: np.ndarray) -> np.ndarray:
    """Boolean ``[H, W]``: hands, drawn along their bones, and the arms they hang on up to the elbow, bare or sleeved.

    Args:
        limbs: hands and arms.
        skin: boolean ``[H, W]``, pixels of skin colour.
        allowed: boolean ``[H, W]``, where an arm may be: the person without head and neck.
    """
    hands, arms = np.zeros(skin.shape, np.uint8), np.zeros(skin.shape, np.uint8)
    bare = np.zeros(skin.shape, bool)
    for hand in limbs.hands:
        drawn = np.zeros(skin.shape, np.uint8)
        length = hand_length_px(hand)
        _draw_hand(drawn, hand, length)
        hands |= drawn
        bare |= _bare_arm(drawn.astype(bool), hand, length, skin & allowed)
    for arm in limbs.arms:
        if np.isfinite(arm).all():
            _draw_arm(arms, arm)
    return hands.astype(bool) | bare | (arms.astype(bool) & allowed)


def _draw_hand(mask: np.ndarray, hand: FloatArray, length: float) -> None:
    points = np.round(hand - 0.5).astype(np.int32)
    thickness = max(1, round(2 * _FLESH * length))
    cv2.fillPoly(mask, [points[list(_PALM)]], (1,))
    cv2.polylines(mask, [points[list(_PALM)]], True, (1,), thickness)
    cv2.polylines(mask, [points[list(finger)] for finger in _FINGERS], False, (1,), thickness)
    cv2.circle(mask, _pixel(hand[0]), max(1, round(_WRIST_RADIUS * length)), (1,), -1)


def _bare_arm(drawn: np.ndarray, hand: FloatArray, length: float, skin: np.ndarray) -> np.ndarray:
    """Skin that touches the hand, no farther from the wrist than a forearm is long."""
    reach = np.zeros(skin.shape, np.uint8)
    cv2.circle(reach, _pixel(hand[0]), max(1, round(_ARM_REACH * length)), (1,), -1)
    return joined_to((skin & reach.astype(bool)) | drawn, drawn)


def _draw_arm(mask: np.ndarray, arm: FloatArray) -> None:
    """Forearm and palm as a thick line, the fingers as a disc; a hand is three quarters of a forearm long."""
    elbow, wrist, knuckles = arm
    length = max(0.75 * float(np.linalg.norm(wrist - elbow)), 2.0 * float(np.linalg.norm(knuckles - wrist)))
    thickness = max(1, round(2 * _FOREARM_RADIUS * length))
    cv2.line(mask, _pixel(elbow), _pixel(wrist), (1,), thickness)
    cv2.line(mask, _pixel(wrist), _pixel(knuckles), (1,), thickness)
    direction = (knuckles - wrist) / max(float(np.linalg.norm(knuckles - wrist)), 1e-6)
    tip = knuckles + 0.5 * _FINGERS_BEYOND_KNUCKLES * length * direction
    cv2.circle(mask, _pixel(tip), thickness // 2, (1,), -1)


def _pixel(point: FloatArray) -> tuple[int, int]:
    column, row = np.floor(point)
    return int(column), int(row)

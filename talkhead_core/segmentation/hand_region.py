"""Pixels of hands and forearms."""

from __future__ import annotations

import cv2
import numpy as np

from talkhead_core.segmentation.limbs import Limbs, hand_length_px
from talkhead_core.types import FloatArray

__all__ = ["hand_region"]

# Shares of the hand's length.
_FLESH = 0.16  # from the joints to the outline
_FOREARM_RADIUS = 0.34
_ARM_REACH = 2.2  # wrist to elbow, generously
_FINGERS_BEYOND_KNUCKLES = 0.45


def hand_region(limbs: Limbs, skin: np.ndarray, allowed: np.ndarray) -> np.ndarray:
    """Boolean ``[H, W]``: hulls of the hands, and the arms they hang on up to the elbow, bare or sleeved.

    Args:
        limbs: hands and arms.
        skin: boolean ``[H, W]``, pixels of skin colour.
        allowed: boolean ``[H, W]``, where an arm may be: the person without head and neck.
    """
    hulls, arms = np.zeros(skin.shape, np.uint8), np.zeros(skin.shape, np.uint8)
    bare = np.zeros(skin.shape, bool)
    for hand in limbs.hands:
        hull = np.zeros(skin.shape, np.uint8)
        length = hand_length_px(hand)
        cv2.fillConvexPoly(hull, cv2.convexHull(np.round(hand - 0.5).astype(np.int32)), 1)
        hulls |= _grown(hull, _FLESH * length)
        bare |= _bare_arm(hull, hand, length, skin & allowed)
    for arm in limbs.arms:
        if np.isfinite(arm).all():
            _draw_arm(arms, arm)
    return hulls.astype(bool) | bare | (arms.astype(bool) & allowed)


def _grown(mask: np.ndarray, radius_px: float) -> np.ndarray:
    size = 2 * max(1, round(radius_px)) + 1
    return cv2.dilate(mask, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size)))


def _bare_arm(hull: np.ndarray, hand: FloatArray, length: float, skin: np.ndarray) -> np.ndarray:
    """Skin components that touch the hull, no farther from the wrist than a forearm is long."""
    reach = np.zeros(skin.shape, np.uint8)
    cv2.circle(reach, [round(float(v)) for v in hand[0]], max(1, round(_ARM_REACH * length)), 1, -1)
    candidates = ((skin & reach.astype(bool)) | hull.astype(bool)).astype(np.uint8)
    _, components = cv2.connectedComponents(candidates)
    touching = np.unique(components[hull.astype(bool)])
    return np.isin(components, touching[touching > 0])


def _draw_arm(mask: np.ndarray, arm: FloatArray) -> None:
    """Forearm and palm as a thick line, the fingers as a disc; a hand is three quarters of a forearm long."""
    elbow, wrist, knuckles = arm
    length = max(0.75 * float(np.linalg.norm(wrist - elbow)), 2.0 * float(np.linalg.norm(knuckles - wrist)))
    thickness = max(1, round(2 * _FOREARM_RADIUS * length))
    points = [tuple(round(float(v)) for v in point) for point in (elbow, wrist, knuckles)]
    cv2.line(mask, points[0], points[1], 1, thickness)
    cv2.line(mask, points[1], points[2], 1, thickness)
    direction = (knuckles - wrist) / max(float(np.linalg.norm(knuckles - wrist)), 1e-6)
    tip = knuckles + 0.5 * _FINGERS_BEYOND_KNUCKLES * length * direction
    cv2.circle(mask, [round(float(v)) for v in tip], thickness // 2, 1, -1)

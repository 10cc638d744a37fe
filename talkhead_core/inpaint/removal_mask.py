"""What to remove from a frame: hands, arms and passing objects, with a margin."""

from __future__ import annotations

import cv2
import numpy as np

from talkhead_core.types import Label

__all__ = ["removal_mask"]

_SMALLEST = 2e-4  # components below this share of the frame are noise


def removal_mask(labels: np.ndarray, transient: np.ndarray, margin: float, threshold: float = 0.5) -> np.ndarray:
    """Boolean ``[H, W]``: hands united with the transient parts of the torso, closed and grown.

    Args:
        labels: ``[H, W]`` of :class:`talkhead_core.types.Label`.
        transient: 255 M_i, ``[H, W]`` uint8.
        margin: how far the mask grows, as a share of the longer side (motion blur, shadows at the edge).
        threshold: M_i beyond which a pixel is transient.
    """
    hands = labels == Label.HANDS
    found = (hands | ((transient > 255 * threshold) & (labels == Label.TORSO))).astype(np.uint8)
    if not found.any():
        return found.astype(bool)
    radius = max(1, round(margin * max(labels.shape)))
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    found = cv2.morphologyEx(found, cv2.MORPH_CLOSE, kernel)
    number, components, statistics, _ = cv2.connectedComponentsWithStats(found)
    large = np.flatnonzero(statistics[:, cv2.CC_STAT_AREA] >= _SMALLEST * labels.size)
    found = np.isin(components, large[large > 0]).astype(np.uint8)
    protected = (labels == Label.HEAD) | (labels == Label.NECK)
    return cv2.dilate(found, kernel).astype(bool) & ~protected

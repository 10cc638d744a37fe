"""What to remove from a frame: hands, arms and passing objects, with a margin."""

from __future__ import annotations

import cv2
import numpy as np

from talkhead_core.media.mask_morphology import closed, grown
from talkhead_core.types import Label

__all__ = ["removal_mask"]

_SMALLEST = 1.5e-3  # components below this share of the frame are noise: a tenth of a small hand
_SMALLEST_AT_BORDER = 3e-4  # but fingertips come in over the border


def removal_mask(labels: np.ndarray, transient: np.ndarray, margin: float, threshold: float = 0.5) -> np.ndarray:
    """Boolean ``[H, W]``: hands united with the transient parts of the torso, closed and grown.

    Args:
        labels: ``[H, W]`` of :class:`talkhead_core.types.Label`.
        transient: 255 M_i, ``[H, W]`` uint8.
        margin: how far the mask grows, as a share of the longer side (motion blur, shadows at the edge).
        threshold: M_i beyond which a pixel is transient.
    """
    found = (labels == Label.HANDS) | ((transient > np.uint8(255 * threshold)) & (labels == Label.TORSO))
    if not found.any():
        return found
    height, width = found.shape
    # Half size: the margin is several pixels wide, and this runs on every frame.
    small = cv2.resize(found.astype(np.uint8), ((width + 1) // 2, (height + 1) // 2), interpolation=cv2.INTER_AREA)
    radius = margin * max(labels.shape) / 2
    joined = _without_specks(closed(small > 0, radius))
    result = cv2.resize(grown(joined, radius).astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST).astype(bool)
    return result & (labels != Label.HEAD) & (labels != Label.NECK)


def _without_specks(mask: np.ndarray) -> np.ndarray:
    _, components, statistics, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=4)
    least = np.full(len(statistics), _SMALLEST)
    least[np.unique(np.concatenate([components[0], components[-1], components[:, 0], components[:, -1]]))] = _SMALLEST_AT_BORDER
    keep = statistics[:, cv2.CC_STAT_AREA] >= least * mask.size
    keep[0] = False
    return keep[components]

"""Growing, shrinking and filling of masks, at a cost that does not depend on the radius."""

from __future__ import annotations

import cv2
import numpy as np

__all__ = ["bounding_box", "closed", "grown", "joined_to", "shrunk", "without_holes"]


def grown(mask: np.ndarray, radius_px: float) -> np.ndarray:
    """Boolean ``[H, W]``: pixels within ``radius_px`` of ``mask`` ``[H, W]``."""
    if radius_px <= 0 or not mask.any():
        return mask.astype(bool)
    return cv2.distanceTransform((~mask.astype(bool)).astype(np.uint8), cv2.DIST_L2, 5) <= radius_px


def shrunk(mask: np.ndarray, radius_px: float) -> np.ndarray:
    """Boolean ``[H, W]``: pixels of ``mask`` farther than ``radius_px`` from what is not; beyond the image counts as mask."""
    if radius_px <= 0 or mask.all():
        return mask.astype(bool)
    return cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, 5) > radius_px


def closed(mask: np.ndarray, radius_px: float) -> np.ndarray:
    """``mask`` ``[H, W]`` with the gaps filled that a disc of ``radius_px`` does not fit in."""
    return shrunk(grown(mask, radius_px), radius_px) | mask.astype(bool)


def without_holes(mask: np.ndarray) -> np.ndarray:
    """``mask`` ``[H, W]`` with everything that it encloses."""
    outlines, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    result = np.zeros(mask.shape, np.uint8)
    cv2.drawContours(result, outlines, -1, (1,), cv2.FILLED)
    return result.astype(bool)


def joined_to(mask: np.ndarray, seed: np.ndarray) -> np.ndarray:
    """The parts of ``mask`` ``[H, W]`` that hang together with a pixel of ``seed`` ``[H, W]``."""
    _, components = cv2.connectedComponents(mask.astype(np.uint8), connectivity=4)
    joined = np.zeros(int(components.max()) + 1, bool)
    joined[components[seed]] = True
    joined[0] = False
    return joined[components]


def bounding_box(mask: np.ndarray, border_px: int = 0) -> tuple[slice, slice] | None:
    """Rows and columns that hold all of ``mask`` ``[H, W]`` and a border; None where it is empty."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return None
    return (
        slice(max(0, int(rows[0]) - border_px), min(mask.shape[0], int(rows[-1]) + 1 + border_px)),
        slice(max(0, int(columns[0]) - border_px), min(mask.shape[1], int(columns[-1]) + 1 + border_px)),
    )

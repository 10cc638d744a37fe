"""Which pixels a score is over. Every region comes from the reference frame, never from the rendered one.

Landmark indices are those of the 468-point MediaPipe face mesh.
"""

from __future__ import annotations

import cv2
import numpy as np

from talkhead_core.types import FloatArray, Label

__all__ = [
    "FACE_OVAL",
    "LIPS",
    "MOUTH_BOX_SCALE",
    "REGION_DEFINITIONS",
    "face_mask",
    "mouth_box",
    "mouth_mask",
    "torso_mask",
]

FACE_OVAL = (
    10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377,
    152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109,
)  # fmt: skip

LIPS = (
    61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 185, 40, 39, 37, 0, 267, 269, 270, 409,
    78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308, 191, 80, 81, 82, 13, 312, 311, 310, 415,
)  # fmt: skip
"""The 40 points of the outer and inner lip contour."""

MOUTH_BOX_SCALE = 1.0
"""Side of the mouth square over the lips' width. A square, because the lips' own bounding box shrinks to a line as they close."""

REGION_DEFINITIONS = {
    "full": "every pixel of the frame",
    "head": "region.mkv >= 128: where the head protocol shows the rendered head",
    "face": "convex hull of the 36 face-oval landmarks of the reference frame",
    "mouth": f"square on the middle of the reference frame's 40 lip landmarks, its side their width times {MOUTH_BOX_SCALE:g}",
    "torso": "labels torso and neck of the reference frame",
    "outside_transient": "pixels outside the transient mask M_i of the reference frame",
}


def face_mask(points_px: FloatArray, height: int, width: int) -> np.ndarray:
    """The filled convex hull of the face oval, ``[H, W]`` bool.

    Args:
        points_px: ``[468 or more, 2 or more]`` landmarks in pixels of this frame; NaN where no face was found.
        height: pixels.
        width: pixels.
    """
    oval = np.asarray(points_px)[list(FACE_OVAL), :2]
    mask = np.zeros((height, width), dtype=np.uint8)
    if np.isfinite(oval).all():
        # pixel centres lie at .5 in our convention and at integers in OpenCV's
        hull = cv2.convexHull(np.round(oval - 0.5).astype(np.int32))
        cv2.fillConvexPoly(mask, hull, (1,))
    return mask.astype(bool)


def mouth_box(points_px: FloatArray, height: int, width: int) -> tuple[int, int, int, int] | None:
    """``(left, top, right, bottom)`` in pixels, half open, cut to the frame; None without a face or outside the frame."""
    lips = np.asarray(points_px)[list(LIPS), :2]
    if not np.isfinite(lips).all():
        return None
    low, high = lips.min(axis=0), lips.max(axis=0)
    centre, half = (low + high) / 2.0, (high[0] - low[0]) / 2.0 * MOUTH_BOX_SCALE
    left, top = np.floor(centre - half).astype(int)
    right, bottom = np.ceil(centre + half).astype(int)
    left, top, right, bottom = max(left, 0), max(top, 0), min(right, width), min(bottom, height)
    return (int(left), int(top), int(right), int(bottom)) if left < right and top < bottom else None


def mouth_mask(points_px: FloatArray, height: int, width: int) -> np.ndarray:
    """The pixels of :func:`mouth_box`, ``[H, W]`` bool; empty without a face."""
    mask = np.zeros((height, width), dtype=bool)
    box = mouth_box(points_px, height, width)
    if box is not None:
        left, top, right, bottom = box
        mask[top:bottom, left:right] = True
    return mask


def torso_mask(labels: np.ndarray) -> np.ndarray:
    """Torso and neck of a label frame ``[H, W]`` uint8 (:class:`talkhead_core.types.Label`), ``[H, W]`` bool."""
    return (labels == Label.TORSO) | (labels == Label.NECK)

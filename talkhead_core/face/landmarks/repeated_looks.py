"""Landmarks of single frames, each looked at several times: a landmarker's answer trembles with where in the frame the face lies.

A frame's points are the mean over a few fixed similarities of the picture (moved, turned and scaled by little), mapped back. The same
mouth in two surroundings then measures more nearly alike; docs/evaluation.md has figures.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator

import cv2
import numpy as np

from talkhead_core.face.landmarks.selection import LandmarksConfig, build_landmarker
from talkhead_core.parameters import require
from talkhead_core.types import FloatArray, Image

__all__ = ["look_repeatedly"]

_GOLDEN_ANGLE = 2.399963
"""Radians; its multiples never fall together, so that any number of looks differ."""

_LARGEST_SCALE, _LARGEST_DEGREES, _LARGEST_SHIFT = 0.05, 8.0, 0.02


def look_repeatedly(frames: Iterator[Image], landmarker: LandmarksConfig, looks: int) -> FloatArray:
    """Landmarks ``[frames, P, 3]`` in pixels; NaN rows where no look found a face.

    Args:
        frames: RGB ``[H, W, 3]`` uint8, all of one size.
        landmarker: which, and how; it must not follow faces from frame to frame.
        looks: at each frame; the first is at the frame as it is.
    """
    require(looks >= 1, f"looks must be at least 1, not {looks}")
    require(not landmarker.follow, "frames that are looked at repeatedly are not followed from one to the next")
    height = width = 0

    def views() -> Iterator[Image]:
        nonlocal height, width
        for frame in frames:
            height, width = frame.shape[:2]
            yield frame
            for look in range(1, looks):
                yield _view(frame, _similarity(look, height, width))

    rows = [row.points for row in build_landmarker(landmarker).detect(views(), [[0, sys.maxsize]])]
    points = np.stack(rows).reshape(-1, looks, *rows[0].shape).astype(np.float64)
    for look in range(1, looks):
        back = cv2.invertAffineTransform(_similarity(look, height, width))
        points[:, look, :, :2] = points[:, look, :, :2] @ back[:, :2].T + back[:, 2]
        points[:, look, :, 2] /= _scale(look)
    found = np.isfinite(points).all(axis=(2, 3))
    total = np.where(found[..., None, None], points, 0.0).sum(axis=1)
    with np.errstate(invalid="ignore"):  # 0 / 0 where no look found a face
        return np.asarray(total / found.sum(axis=1)[:, None, None], dtype=np.float32)


def _scale(look: int) -> float:
    return 1.0 + _LARGEST_SCALE * math.cos(_GOLDEN_ANGLE * look)


def _similarity(look: int, height: int, width: int) -> FloatArray:
    """The look's affine map ``[2, 3]``."""
    angle, short = _GOLDEN_ANGLE * look, min(height, width)
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), _LARGEST_DEGREES * math.sin(angle), _scale(look))
    shift = _LARGEST_SHIFT * short * np.array([math.cos(2 * angle + 1), math.sin(2 * angle + 1)])
    return np.concatenate([matrix[:, :2], (matrix[:, 2] + shift)[:, None]], axis=1)


def _view(frame: Image, similarity: FloatArray) -> Image:
    height, width = frame.shape[:2]
    view = cv2.warpAffine(frame, similarity, (width, height), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(view, dtype=np.uint8)

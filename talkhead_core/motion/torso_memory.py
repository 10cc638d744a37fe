"""A memory of the torso's looks, by which an object in front of it is told from the torso itself."""

from __future__ import annotations

import cv2
import numpy as np

from talkhead_core.types import FloatArray, Image

__all__ = ["TorsoMemory"]

_RATE = 0.1  # of forgetting, a frame
_TOLERANCE = 12.0  # grey levels of blurred colour that breathing and shading change
_NEARBY = np.ones((5, 5), np.uint8)
_UNLIKE = np.clip(np.arange(256) / _TOLERANCE - 0.5, 0, 1).astype(np.float32)


class TorsoMemory:
    """What the torso looks like at each pixel, from the frames in which nothing was masked there; it sways with the torso.

    Args:
        shape: height and width of the frames.
    """

    def __init__(self, shape: tuple[int, int]) -> None:
        self._colour = np.zeros((*shape, 3), np.float32)
        self._known = np.zeros(shape, np.uint8)
        self._offset = np.zeros(2)

    def follow(self, motion: FloatArray) -> None:
        """The torso moved by ``motion`` ``[2]`` pixels since the last frame."""
        self._offset += motion

    def learn(self, image: Image, visible: np.ndarray) -> None:
        """Take in the ``visible`` pixels ``[h, w]`` of one frame."""
        blurred = _shifted(cv2.blur(image, (3, 3)), -self._offset)
        visible = _shifted(visible.astype(np.uint8), -self._offset)
        new = (visible > self._known).astype(bool)
        self._colour[new] = blurred[new]
        cv2.accumulateWeighted(blurred, self._colour, _RATE, mask=visible & self._known)
        self._known |= visible

    def difference(self, image: Image) -> tuple[FloatArray, np.ndarray]:
        """How unlike the torso each pixel is, and where that is known, both ``[h, w]``.

        0 where a pixel looks like the torso did, 1 where it does not, or where nothing is known.
        """
        blurred = cv2.blur(image, (3, 3))
        colour = _shifted(cv2.convertScaleAbs(self._colour), self._offset)  # whole levels: the tolerance is many
        known = _shifted(self._known, self._offset)
        # Outside the range of the colours nearby: a torso that sways by two pixels still looks like itself.
        low, high = cv2.erode(colour, _NEARBY), cv2.dilate(colour, _NEARBY)
        outside = cv2.max(cv2.subtract(low, blurred), cv2.subtract(blurred, high))
        red, green, blue = cv2.split(outside)
        unlike = cv2.LUT(cv2.max(cv2.max(red, green), blue), _UNLIKE)
        unlike[known == 0] = 1
        return np.asarray(unlike, np.float32), known.astype(bool)


def _shifted(values: np.ndarray, offset: FloatArray) -> np.ndarray:
    columns, rows = (round(float(v)) for v in offset)
    if not columns and not rows:
        return values
    motion = np.array([[1, 0, columns], [0, 1, rows]], np.float32)
    return np.asarray(cv2.warpAffine(values, motion, (values.shape[1], values.shape[0]), flags=cv2.INTER_NEAREST))

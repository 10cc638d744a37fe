"""Optical flow without weights, from OpenCV."""

from __future__ import annotations

import cv2
import numpy as np

from talkhead_core.types import FloatArray, Image

__all__ = ["DisFlow", "FarnebackFlow"]

# The coarsest level must hold a few patches, or OpenCV aborts the process.
_MIN_SIDE_PX = 32


class DisFlow:
    """Dense inverse search, medium preset (Kroeger et al., Fast Optical Flow using Dense Inverse Search, ECCV 2016)."""

    def __init__(self, weights: str | None = None) -> None:
        del weights  # it has none
        self._flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)

    def __call__(self, first: Image, second: Image) -> FloatArray:
        """RGB ``[H, W, 3]`` twice to displacement ``[H, W, 2]`` float32 in pixels."""
        height, width = first.shape[:2]
        one, two = _padded_gray(first), _padded_gray(second)
        return self._flow.calc(one, two, None)[:height, :width]  # type: ignore[call-overload]


class FarnebackFlow:
    """Polynomial expansion (Farnebäck, Two-Frame Motion Estimation Based on Polynomial Expansion, SCIA 2003)."""

    def __init__(self, weights: str | None = None) -> None:
        del weights  # it has none

    def __call__(self, first: Image, second: Image) -> FloatArray:
        """RGB ``[H, W, 3]`` twice to displacement ``[H, W, 2]`` float32 in pixels."""
        height, width = first.shape[:2]
        start = np.zeros((max(height, _MIN_SIDE_PX), max(width, _MIN_SIDE_PX), 2), np.float32)
        one, two = _padded_gray(first), _padded_gray(second)
        flow = cv2.calcOpticalFlowFarneback(one, two, start, 0.5, 5, 21, 5, 7, 1.5, 0)
        return np.asarray(flow, np.float32)[:height, :width]


def _padded_gray(image: Image) -> np.ndarray:
    gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    down, right = max(0, _MIN_SIDE_PX - gray.shape[0]), max(0, _MIN_SIDE_PX - gray.shape[1])
    return cv2.copyMakeBorder(gray, 0, down, 0, right, cv2.BORDER_REPLICATE) if down or right else gray

"""The speaker's skin colour, learnt from the face of the same clip."""

from __future__ import annotations

import cv2
import numpy as np

from talkhead_core.types import FloatArray, Image

__all__ = ["SkinColour"]

_MIN_SPREAD = 0.012  # of chromaticity: make-up and compression make a face more even than a neck


class SkinColour:
    """A Gaussian over chromaticity (red and green shares of a colour), averaged over time.

    Chromaticity, because the neck lies in the chin's shadow.

    Args:
        memory: weight of the past at each update.
        reach: Mahalanobis distance within which a pixel counts as skin.
        min_brightness: pixels darker than this share of the face have no trustworthy chromaticity.
    """

    def __init__(self, *, memory: float = 0.95, reach: float = 3.3, min_brightness: float = 0.18) -> None:
        self._memory, self._reach, self._min_brightness = memory, reach, min_brightness
        self._state: FloatArray | None = None  # mean red, mean green, spread of red, spread of green, brightness

    def update(self, image: Image, points: FloatArray, radius_px: float) -> None:
        """Learn from squares around ``points`` ``[n, 2]`` in pixels."""
        radius = max(1, round(radius_px))
        patches = [
            image[max(0, y - radius) : max(0, y + radius), max(0, x - radius) : max(0, x + radius)].reshape(-1, 3)
            for x, y in np.round(points).astype(int)
        ]
        colours = np.concatenate(patches).astype(np.float64)
        if not len(colours):
            return
        brightness = colours.sum(axis=1)
        shares = colours[:, :2] / np.maximum(brightness, 1)[:, None]
        centre = np.median(shares, axis=0)
        spread = np.maximum(1.4826 * np.median(np.abs(shares - centre), axis=0), _MIN_SPREAD)
        state = np.concatenate([centre, spread, [np.median(brightness)]])
        self._state = state if self._state is None else self._memory * self._state + (1 - self._memory) * state

    def mask(self, image: Image) -> np.ndarray:
        """Boolean ``[H, W]``: pixels of the learnt colour. All false before the first update."""
        if self._state is None:
            return np.zeros(image.shape[:2], bool)
        red, green, red_spread, green_spread, face = self._state
        height, width = image.shape[:2]
        small = cv2.resize(image, ((width + 1) // 2, (height + 1) // 2), interpolation=cv2.INTER_AREA).astype(np.float32)
        brightness = np.maximum(small @ np.ones(3, np.float32), 1)
        distance = ((small[..., 0] / brightness - red) / red_spread) ** 2 + ((small[..., 1] / brightness - green) / green_spread) ** 2
        skin = (distance <= self._reach**2) & (brightness >= self._min_brightness * face)
        clean = cv2.morphologyEx(skin.astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
        return cv2.resize(clean, (width, height), interpolation=cv2.INTER_NEAREST).astype(bool)

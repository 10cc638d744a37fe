"""The speaker's skin colour, learnt from the face of the same frame."""

from __future__ import annotations

import cv2
import numpy as np

from talkhead_core.types import FloatArray, Image

__all__ = ["SkinColour"]


class SkinColour:
    """A Gaussian over chroma (Cr, Cb), averaged over time so that one odd frame does not change the mask.

    Luma is left out apart from a floor: the neck lies in the chin's shadow.

    Args:
        memory: weight of the past at each update.
        reach: Mahalanobis distance within which a pixel counts as skin.
        min_luma: pixels darker than this share of the face's luma have no trustworthy chroma.
    """

    def __init__(self, *, memory: float = 0.95, reach: float = 3.0, min_luma: float = 0.25) -> None:
        self._memory, self._reach, self._min_luma = memory, reach, min_luma
        self._mean: FloatArray | None = None
        self._covariance: FloatArray | None = None
        self._luma = 0.0

    def update(self, image: Image, points: FloatArray, radius_px: float) -> None:
        """Learn from discs around ``points`` ``[n, 2]`` in pixels."""
        radius = max(1, round(radius_px))
        height, width = image.shape[:2]
        patches = []
        for x, y in np.round(points).astype(int):
            patch = image[max(0, y - radius) : max(0, y + radius), max(0, x - radius) : max(0, x + radius)]
            if patch.size:
                patches.append(patch.reshape(-1, 3))
        if not patches:
            return
        colour = cv2.cvtColor(np.concatenate(patches)[None], cv2.COLOR_RGB2YCrCb)[0].astype(np.float64)
        mean = np.median(colour[:, 1:], axis=0)
        spread = 1.4826 * np.median(np.abs(colour[:, 1:] - mean), axis=0)
        covariance = np.diag(np.maximum(spread, 4.0) ** 2)
        luma = float(np.median(colour[:, 0]))
        if self._mean is None or self._covariance is None:
            self._mean, self._covariance, self._luma = mean, covariance, luma
            return
        keep = self._memory
        self._mean = keep * self._mean + (1 - keep) * mean
        self._covariance = keep * self._covariance + (1 - keep) * covariance
        self._luma = keep * self._luma + (1 - keep) * luma

    def mask(self, image: Image) -> np.ndarray:
        """Boolean ``[H, W]``: pixels of the learnt colour. All false before the first update."""
        if self._mean is None or self._covariance is None:
            return np.zeros(image.shape[:2], bool)
        height, width = image.shape[:2]
        small = cv2.resize(image, ((width + 1) // 2, (height + 1) // 2), interpolation=cv2.INTER_AREA)
        colour = cv2.cvtColor(small, cv2.COLOR_RGB2YCrCb)
        tables = self._squared_distance_tables()
        distance = cv2.add(cv2.LUT(colour[..., 1], tables[0]), cv2.LUT(colour[..., 2], tables[1]))
        skin = (distance <= self._reach**2) & (colour[..., 0] >= self._min_luma * self._luma)
        clean = cv2.morphologyEx(skin.astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
        return cv2.resize(clean, (width, height), interpolation=cv2.INTER_NEAREST).astype(bool)

    def _squared_distance_tables(self) -> list[np.ndarray]:
        assert self._mean is not None and self._covariance is not None
        values = np.arange(256, dtype=np.float32)
        return [((values - m) ** 2 / v).astype(np.float32) for m, v in zip(self._mean, np.diag(self._covariance), strict=True)]

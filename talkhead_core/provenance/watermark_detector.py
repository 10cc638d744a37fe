"""Finding the mark again, without the original, after encoding, scaling and cropping.

Each frame is brought to the pattern's grid, which undoes any scaling. What the picture itself holds is suppressed twice: by
dividing by the local variance, so that smooth places, which hide little, count most, and by whitening the mean of all frames.
Cropping moves and stretches the pattern; the peak of the cross-correlation is searched over both.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
import scipy.fft

from talkhead_core.provenance.watermark import DEFAULT_KEY, GRID, band_pass, detail_of, grid_brightness, key_pattern
from talkhead_core.types import FloatArray, Image

__all__ = ["THRESHOLD", "WatermarkDetector", "WatermarkVerdict", "watermark_in"]

THRESHOLD = 6.5
"""Scores from here on count as marked. Of the unmarked pictures of ``benchmarks/watermark.py`` fewer than one in a thousand gets there."""

_KEPT = (1.0, 0.975, 0.95, 0.925, 0.9, 0.875, 0.85)  # how much of the width, and of the height, a crop may have left
_SURFACE = 320  # the pattern, stretched for the smallest crop, fits in without wrapping round
_SLACK = 2  # cells of play beyond the shifts that a crop allows
_LEAST_VARIANCE = 1.0
_SPECTRUM_CYCLES = 6.0


@dataclass(frozen=True, kw_only=True)
class WatermarkVerdict:
    """What was found.

    Args:
        score: height of the highest peak, in standard deviations of the surface it stands on.
        frames: how many frames were looked at.
        kept: share of the width and of the height that a crop left, at that peak.
    """

    score: float
    frames: int
    kept: tuple[float, float]

    @property
    def found(self) -> bool:
        """Whether the score is one that unmarked pictures do not reach."""
        return self.score >= THRESHOLD


class WatermarkDetector:
    """Collects frames of one video; memory does not grow with their number."""

    def __init__(self) -> None:
        self._sum, self._frames = np.zeros((GRID, GRID)), 0

    def add(self, frame: Image) -> None:
        """Look at a frame, RGB ``[H, W, 3]`` uint8."""
        detail, spread = detail_of(grid_brightness(frame))
        self._sum += detail / (spread * spread + _LEAST_VARIANCE)
        self._frames += 1

    def verdict(self, key: str = DEFAULT_KEY) -> WatermarkVerdict:
        """Search all frames so far for the mark of ``key``."""
        score, kept = 0.0, (1.0, 1.0)
        if self._frames and self._sum.any():
            spectrum = self._spectrum()
            score, kept = max(_peak(pattern, spectrum) for pattern in _stretched(key))
        return WatermarkVerdict(score=score, frames=self._frames, kept=kept)

    def _spectrum(self) -> FloatArray:
        """The whitened mean of all frames, conjugate, ready to be multiplied."""
        transform = np.fft.fft2(self._sum / self._frames)
        magnitude = np.fft.fftshift(np.abs(transform)).astype(np.float32)
        smooth = np.fft.ifftshift(cv2.GaussianBlur(magnitude, (0, 0), _SPECTRUM_CYCLES))
        white = np.fft.ifft2(transform / np.maximum(smooth, 1e-9) * band_pass()).real
        padded = np.zeros((_SURFACE, _SURFACE), np.float32)
        padded[:GRID, :GRID] = white / max(float(white.std()), 1e-9)
        return np.conj(scipy.fft.rfft2(padded))


def watermark_in(frames: Iterable[Image], key: str = DEFAULT_KEY) -> WatermarkVerdict:
    """Whether the mark of ``key`` is in a video, given as RGB frames ``[H, W, 3]`` uint8."""
    detector = WatermarkDetector()
    for frame in frames:
        detector.add(frame)
    return detector.verdict(key)


@dataclass(frozen=True, kw_only=True)
class _Stretched:
    spectrum: FloatArray
    shifts: tuple[int, int]
    kept: tuple[float, float]


@lru_cache(maxsize=2)
def _stretched(key: str) -> tuple[_Stretched, ...]:
    """The pattern as it looks after each crop that is searched for."""
    pattern, found = key_pattern(key), []
    for kept_width in _KEPT:
        for kept_height in _KEPT:
            width, height = round(GRID / kept_width), round(GRID / kept_height)
            stretched = cv2.resize(pattern, (width, height), interpolation=cv2.INTER_CUBIC)
            padded = np.zeros((_SURFACE, _SURFACE), np.float32)
            padded[:height, :width] = stretched / stretched.std()
            shifts = (height - GRID + 2 * _SLACK + 1, width - GRID + 2 * _SLACK + 1)
            found.append(_Stretched(spectrum=scipy.fft.rfft2(padded), shifts=shifts, kept=(kept_width, kept_height)))
    return tuple(found)


def _peak(pattern: _Stretched, spectrum: FloatArray) -> tuple[float, tuple[float, float]]:
    surface = scipy.fft.irfft2(pattern.spectrum * spectrum, s=(_SURFACE, _SURFACE))
    rows, columns = pattern.shifts
    allowed = np.roll(surface, (_SLACK, _SLACK), axis=(0, 1))[:rows, :columns]
    return float(allowed.max() / max(float(surface.std()), 1e-9)), pattern.kept

"""The invisible mark: a key's pattern, stretched over the picture and added to its brightness.

Spread-spectrum watermarking (Cox, Kilian, Leighton, Shamoon: "Secure spread spectrum watermarking for multimedia", 1997) in
coordinates of the frame, not of the pixel, so that scaling moves nothing. The pattern lives at ``BAND`` cycles across the
picture: coarse enough for H.264 and for half the size, fine enough that a face holds little of it. It is the same in every
frame, because what changes between frames is what encoders throw away first.

It says "talkhead made this", no more, and is read by anybody who has the key, which is public by default. Whoever has the key
can also take it out again: it is a label for the honest and the careless, not a lock.
"""

from __future__ import annotations

import hashlib

import cv2
import numpy as np

from talkhead_core.parameters import require
from talkhead_core.types import FloatArray, Image

__all__ = ["BAND", "DEFAULT_KEY", "GRID", "Watermark", "key_pattern"]

GRID = 256
"""Cells of the pattern along each side."""

BAND = (12.0, 40.0)
"""Cycles across the picture between which the pattern lives."""

DEFAULT_KEY = "talkhead"

_MEAN_SQUARE = 1.4  # levels of 255, squared; 46.7 dB by itself, 0.25 dB less for a render that is at 34.4 dB
_STEEPNESS = 1.5  # of the soft limiter that makes two nearly equal levels of a bell-shaped pattern
_ROLL_OFF = 8


class Watermark:
    """Marks the frames of one size.

    Args:
        width: of the frames, px.
        height: of the frames, px.
        key: whose mark it is.
    """

    def __init__(self, width: int, height: int, key: str = DEFAULT_KEY) -> None:
        require(bool(key), "the watermark's key must not be empty")
        shrinks = width < GRID or height < GRID
        pattern = cv2.resize(key_pattern(key), (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)
        levels = np.repeat(_whole_levels(np.asarray(pattern, np.float32))[..., None], 3, axis=2)
        # Saturating bytes: a tenth of a millisecond a frame, and frames are bytes anyway.
        self._lighter, self._darker = np.clip(levels, 0, None).astype(np.uint8), np.clip(-levels, 0, None).astype(np.uint8)

    def marked(self, frame: Image) -> Image:
        """``frame``, RGB ``[height, width, 3]`` uint8, with the mark in it."""
        return np.asarray(cv2.subtract(cv2.add(frame, self._lighter), self._darker), dtype=np.uint8)


def _whole_levels(pattern: FloatArray) -> FloatArray:
    """The pattern in whole levels, as strong as the mark may be after rounding."""
    weak, strong = 0.0, 8.0
    for _ in range(24):
        middle = (weak + strong) / 2
        weak, strong = (middle, strong) if np.mean(np.rint(middle * pattern) ** 2) <= _MEAN_SQUARE else (weak, middle)
    return np.asarray(np.rint(weak * pattern))


def key_pattern(key: str) -> FloatArray:
    """The pattern of ``key``: ``[GRID, GRID]`` float32 in [-1, 1], the same on every machine."""
    bits = np.unpackbits(np.frombuffer(hashlib.shake_256(key.encode()).digest(GRID * GRID // 8), np.uint8))
    noise = bits.reshape(GRID, GRID).astype(np.float64) * 2 - 1
    limited = np.fft.ifft2(np.fft.fft2(noise) * band_pass()).real
    return np.tanh(_STEEPNESS * limited / limited.std()).astype(np.float32)


def band_pass() -> FloatArray:
    """The gain of the pattern's band at each frequency of a ``[GRID, GRID]`` Fourier transform."""
    cycles = np.fft.fftfreq(GRID) * GRID
    radius = np.maximum(np.hypot(cycles[:, None], cycles[None]), 1e-9)
    low, high = BAND
    return np.asarray(1 / (1 + (low / radius) ** _ROLL_OFF) / (1 + (radius / high) ** _ROLL_OFF))

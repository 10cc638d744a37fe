"""The invisible mark: a key's pattern, stretched over the picture and added to its brightness.

Spread-spectrum watermarking (Cox, Kilian, Leighton, Shamoon: "Secure spread spectrum watermarking for multimedia", 1997) in
coordinates of the frame, not of the pixel, so that scaling moves nothing. The pattern lives at ``BAND`` cycles across the
picture: fine enough that a face holds little of it, and so coarse that in a picture of 128 pixels, too, it is the first
coefficients of a block, the last that an encoder gives up. It is the same in every frame, because what changes between frames is
what encoders throw away first.

It says "talkhead made this", no more, and is read by anybody who has the key, which is public by default. Whoever has the key
can also take it out again: it is a label for the honest and the careless, not a lock.
"""

from __future__ import annotations

import hashlib

import cv2
import numpy as np

from talkhead_core.parameters import require
from talkhead_core.types import FloatArray, Image

__all__ = ["BAND", "DEFAULT_KEY", "GRID", "Watermark", "band_pass", "detail_of", "grid_brightness", "key_pattern"]

GRID = 256
"""Cells of the pattern along each side."""

BAND = (8.0, 26.0)
"""Cycles across the picture between which the pattern lives."""

DEFAULT_KEY = "talkhead"

_MEAN_SQUARE = 1.0  # levels of 255, squared, over red, green and blue; 48.1 dB by itself, 0.3 dB less for a render that is at 36.6 dB
_MOST_LEVELS = 2.0  # of 255, of brightness: more would be seen where nothing hides it
_STEEPNESS = 1.5  # of the soft limiter that makes two nearly equal levels of a bell-shaped pattern
_ROLL_OFF = 8
_DETAIL_CELLS, _NEIGHBOURHOOD_CELLS = 4.0, 5.0
_LEAST_DETAIL = 1.0  # levels
_FRAMES_BETWEEN, _NEW_SHARE = 12, 0.25  # how often and how fast the strengths follow the picture; what changes fast does not survive
_LUMA = np.array([0.2126, 0.7152, 0.0722], np.float32)
_TINT = np.array([0.6, 1.26, 0.6], np.float32)
"""The change of red, green and blue that moves brightness by one level, mostly green: half again as much brightness for its squared error
as a grey one. In the direction that is best by that count, (0.38, 1.27, 0.13), a smooth blue background shows it as a tint."""


class Watermark:
    """Marks the frames of one video, in order.

    Where the picture is smooth the mark is stronger, where it is busy weaker, with the same energy in all: busy places hide the mark
    from the detector more than they hide it from the eye, and encoders spend their bits on smooth ones.

    Args:
        width: of the frames, px.
        height: of the frames, px.
        key: whose mark it is.
    """

    def __init__(self, width: int, height: int, key: str = DEFAULT_KEY) -> None:
        require(bool(key), "the watermark's key must not be empty")
        self._size = (width, height)
        self._pattern = key_pattern(key)
        self._detail: FloatArray | None = None
        self._frames = 0

    def marked(self, frame: Image) -> Image:
        """The next frame, RGB ``[height, width, 3]`` uint8, with the mark in it."""
        if self._frames % _FRAMES_BETWEEN == 0:
            self._follow(frame)
        self._frames += 1
        return np.asarray(cv2.subtract(cv2.add(frame, self._lighter), self._darker), dtype=np.uint8)

    def _follow(self, frame: Image) -> None:
        """Spread the mark over the picture as it is now."""
        _, spread = detail_of(grid_brightness(frame))
        self._detail = spread if self._detail is None else (1 - _NEW_SHARE) * self._detail + _NEW_SHARE * spread
        wanted = _of_strength(self._pattern / (self._detail + _LEAST_DETAIL))
        shrinks = self._size[0] < GRID or self._size[1] < GRID
        interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
        scaled = np.asarray(cv2.resize(wanted.astype(np.float32), self._size, interpolation=interpolation), np.float32)
        levels = _whole_levels(scaled)
        # Saturating bytes: a tenth of a millisecond a frame, and frames are bytes anyway.
        self._lighter, self._darker = np.clip(levels, 0, None).astype(np.uint8), np.clip(-levels, 0, None).astype(np.uint8)


def grid_brightness(frame: Image) -> FloatArray:
    """The luma of an RGB frame, brought to ``[GRID, GRID]``."""
    luma = np.asarray(frame.astype(np.float32) @ _LUMA)
    shrinks = luma.shape[0] > GRID or luma.shape[1] > GRID
    return np.asarray(cv2.resize(luma, (GRID, GRID), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC))


def detail_of(brightness: FloatArray) -> tuple[FloatArray, FloatArray]:
    """What is finer than the pattern's coarsest waves, and how much of it there is around each cell."""
    detail = brightness - cv2.GaussianBlur(brightness, (0, 0), _DETAIL_CELLS)
    return detail, np.asarray(cv2.GaussianBlur(np.abs(detail), (0, 0), _NEIGHBOURHOOD_CELLS))


def _whole_levels(brighter: FloatArray) -> FloatArray:
    """Whole levels of red, green and blue ``[height, width, 3]`` for a change of brightness ``[height, width]``."""
    return np.asarray(np.rint(np.clip(brighter, -_MOST_LEVELS, _MOST_LEVELS)[..., None] * _TINT))


def _of_strength(pattern: FloatArray) -> FloatArray:
    """The pattern scaled so that, in whole levels, it is as strong as the mark may be."""
    weak, strong = 0.0, 8.0 / max(float(np.abs(pattern).mean()), 1e-9)
    for _ in range(24):
        middle = (weak + strong) / 2
        weak, strong = (middle, strong) if np.mean(_whole_levels(middle * pattern) ** 2) <= _MEAN_SQUARE else (weak, middle)
    return weak * pattern


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

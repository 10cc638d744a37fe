"""The background without the person: one clean plate a clip, from frames that show each part of it."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from talkhead_core.media.push_pull import filled_smoothly
from talkhead_core.types import Image

__all__ = ["BackgroundPlate", "PlateCoverage"]


@dataclass(frozen=True, kw_only=True)
class PlateCoverage:
    """Shares of the plate's pixels.

    Args:
        seen: seen in the shot that gave the plate.
        other_shots: seen in another shot only, colour-matched.
        filled: never seen, filled smoothly from around.
    """

    seen: float
    other_shots: float
    filled: float


class _Samples:
    """Up to ``size`` background colours a pixel, a uniform sample of all that were offered (reservoir sampling)."""

    def __init__(self, shape: tuple[int, int], size: int, seed: int) -> None:
        self.count = np.zeros(shape, np.int32)
        self.frames = 0
        self._slots = np.zeros((size, *shape, 3), np.uint8)
        self._random = np.random.default_rng(seed)

    def add(self, image: Image, background: np.ndarray) -> None:
        self.frames += 1
        size = len(self._slots)
        # One draw a frame for all pixels keeps whole patches of one frame together, and is quick.
        draw = float(self._random.random())
        slot = np.where(self.count < size, self.count, (draw * (self.count + 1)).astype(np.int32))
        slot[~background] = size
        for index in range(size):
            here = slot == index
            if here.any():
                self._slots[index][here] = image[here]
        self.count[background] += 1

    def median(self) -> tuple[Image, np.ndarray]:
        """Median colour ``[H, W, 3]`` and where there is one ``[H, W]``."""
        size, height, width, _ = self._slots.shape
        plate = np.zeros((height, width, 3), np.uint8)
        held = np.minimum(self.count, size)
        for number in np.unique(held[held > 0]):
            here = held == number
            plate[here] = np.median(self._slots[:number, here], axis=0).astype(np.uint8)
        return plate, held > 0


class BackgroundPlate:
    """Gathers a plate from labelled frames in constant memory.

    Each shot has its own statistics; the longest shot gives the plate and the others fill what it never shows.

    Args:
        height: pixels.
        width: pixels.
        margin_px: how far from the person a pixel must be to count as background (motion blur, loose hair).
        samples: colours kept a pixel.
        stride: use every n-th frame.
    """

    def __init__(self, height: int, width: int, *, margin_px: float, samples: int = 15, stride: int = 8) -> None:
        self._shape = (height, width)
        self._margin_px, self._size, self._stride = margin_px, samples, stride
        self._current: _Samples | None = None
        self._shots: list[tuple[int, Image, np.ndarray]] = []
        self._index = 0

    def cut(self) -> None:
        """A new shot begins with the next frame."""
        if self._current is not None and self._current.frames:
            self._shots.append((self._current.frames, *self._current.median()))
        self._current = None
        self._index = 0

    def add(self, image: Image, background: np.ndarray) -> None:
        """Offer one frame: RGB ``[H, W, 3]`` and where it shows background, boolean ``[H, W]``."""
        index, self._index = self._index, self._index + 1
        if index % self._stride:
            return
        if self._current is None:
            self._current = _Samples(self._shape, self._size, seed=len(self._shots))
        size = 2 * max(1, round(self._margin_px)) + 1
        kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size))
        self._current.add(image, ~cv2.dilate((~background).astype(np.uint8), kernel).astype(bool))

    def finish(self) -> tuple[Image, PlateCoverage]:
        """The plate ``[H, W, 3]`` RGB and how it came about."""
        self.cut()
        shots = sorted(self._shots, key=lambda shot: -shot[0])
        if not shots:
            return np.zeros((*self._shape, 3), np.uint8), PlateCoverage(seen=0.0, other_shots=0.0, filled=1.0)
        _, plate, known = shots[0]
        plate, known, seen = plate.copy(), known.copy(), float(known.mean())
        for _, other, other_known in shots[1:]:
            new = other_known & ~known
            plate[new] = _colour_matched(other, plate, other_known & known)[new]
            known |= new
        coverage = PlateCoverage(seen=seen, other_shots=float(known.mean()) - seen, filled=float((~known).mean()))
        return np.round(filled_smoothly(plate, known)).astype(np.uint8), coverage


def _colour_matched(image: Image, reference: Image, common: np.ndarray) -> Image:
    """``image`` shifted so that its median over ``common`` is that of ``reference``, channel by channel."""
    if not common.any():
        return image
    difference = reference[common].astype(np.float32) - image[common]
    return np.clip(image + np.median(difference, axis=0), 0, 255).astype(np.uint8)

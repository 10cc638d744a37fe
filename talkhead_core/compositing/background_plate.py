"""The background without the person: one clean plate a clip, from frames that show each part of it."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from talkhead_core.media.push_pull import filled_smoothly
from talkhead_core.types import Image

__all__ = ["BackgroundPlate", "PlateCoverage"]

_CLOSE = 0.45  # of the margin: the least distance from the person at which a pixel is used at all
_MAX_SHOTS = 8  # the longest shots are kept


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
        self._slots = np.zeros((size, *shape, 3), np.uint8)
        self._random = np.random.default_rng(seed)

    def add(self, image: Image, background: np.ndarray) -> None:
        size = len(self._slots)
        # One draw a frame for all pixels keeps whole patches of one frame together, and is quick.
        draw = float(self._random.random())
        slot = np.where(self.count < size, self.count, (draw * (self.count + 1)).astype(np.int32)).ravel()
        pixels = np.flatnonzero(background.ravel() & (slot < size))
        self._slots.reshape(size, -1, 3)[slot[pixels], pixels] = image.reshape(-1, 3)[pixels]
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


class _Shot:
    """What one shot shows of the background, well clear of the person and, as a second choice, close to it."""

    def __init__(self, shape: tuple[int, int], samples: int, seed: int) -> None:
        self.frames = 0
        self._clear = _Samples(shape, samples, seed)
        self._close = _Samples(shape, max(1, samples // 2), seed)

    def add(self, image: Image, distance_px: np.ndarray, margin_px: float) -> None:
        self.frames += 1
        clear = distance_px > margin_px
        self._clear.add(image, clear)
        # Only where nothing better is known: loose hair and motion blur reach a little beyond the mask.
        self._close.add(image, (distance_px > _CLOSE * margin_px) & ~clear & (self._clear.count == 0))

    def plate(self) -> tuple[Image, np.ndarray]:
        image, known = self._clear.median()
        close, close_known = self._close.median()
        image[~known] = close[~known]
        return image, known | close_known


class BackgroundPlate:
    """Gathers a plate from labelled frames in constant memory.

    Each shot has its own statistics; the longest shot gives the plate and the others fill what it never shows.

    Args:
        height: pixels.
        width: pixels.
        margin_px: how far from the person a pixel must be to count as background without doubt.
        samples: colours kept a pixel.
        stride: use every n-th frame.
    """

    def __init__(self, height: int, width: int, *, margin_px: float, samples: int = 15, stride: int = 10) -> None:
        self._shape = (height, width)
        self._margin_px, self._size, self._stride = margin_px, samples, stride
        self._current: _Shot | None = None
        self._shots: list[tuple[int, Image, np.ndarray]] = []
        self._index = 0

    def cut(self) -> None:
        """A new shot begins with the next frame."""
        if self._current is not None:
            self._shots.append((self._current.frames, *self._current.plate()))
            self._shots = _longest_first(self._shots)[:_MAX_SHOTS]
        self._current = None
        self._index = 0

    def add(self, image: Image, background: np.ndarray) -> None:
        """Offer one frame: RGB ``[H, W, 3]`` and where it shows background, boolean ``[H, W]``."""
        index, self._index = self._index, self._index + 1
        if index % self._stride:
            return
        if self._current is None:
            self._current = _Shot(self._shape, self._size, seed=len(self._shots))
        if background.all():
            distance = np.full(self._shape, np.inf)
        else:
            distance = cv2.distanceTransform(background.astype(np.uint8), cv2.DIST_L2, 5)
        self._current.add(image, distance, self._margin_px)

    def finish(self) -> tuple[Image, PlateCoverage]:
        """The plate ``[H, W, 3]`` RGB and how it came about."""
        self.cut()
        shots = self._shots
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


def _longest_first(shots: list[tuple[int, Image, np.ndarray]]) -> list[tuple[int, Image, np.ndarray]]:
    return sorted(shots, key=lambda shot: -shot[0])


def _colour_matched(image: Image, reference: Image, common: np.ndarray) -> Image:
    """``image`` shifted so that its median over ``common`` is that of ``reference``, channel by channel."""
    if not common.any():
        return image
    difference = reference[common].astype(np.float32) - image[common]
    return np.clip(image + np.median(difference, axis=0), 0, 255).astype(np.uint8)

"""Cuts, also jump cuts between two takes of the same framing."""

from __future__ import annotations

import cv2
import numpy as np

from talkhead_core.types import FloatArray

__all__ = ["LUMA_THUMBNAIL_PX", "ShotDetector"]

LUMA_THUMBNAIL_PX = 128
"""Shorter side of the pictures that :class:`ShotDetector` looks at."""

_BLOCK_PX = 8
_NEIGHBOURS = 4
_NOISE_LEVELS = 0.5
_CHANGE_RATIO = 1.5
_CUT_SHARE = 0.4  # of the blocks; cuts of talking-head footage lie above 0.5, gestures below 0.25


class ShotDetector:
    """Finds cuts in a stream of small luma pictures.

    A gesture changes some blocks of the picture more than they changed just before and after; a cut changes most of
    them at once, even where it joins two takes of the same scene. Only one number per block and frame is kept.
    """

    def __init__(self) -> None:
        self._previous: FloatArray | None = None
        self._changes: list[FloatArray] = []

    def add(self, luma: np.ndarray) -> None:
        """Take the next frame's luma, ``[h, w]`` uint8, its shorter side about ``LUMA_THUMBNAIL_PX``."""
        height, width = (length - length % _BLOCK_PX for length in luma.shape)
        picture = luma[:height, :width].astype(np.float32)
        if self._previous is not None:
            change = np.abs(picture - self._previous)
            blocks = cv2.resize(change, (width // _BLOCK_PX, height // _BLOCK_PX), interpolation=cv2.INTER_AREA)
            self._changes.append(np.asarray(blocks, np.float32).ravel())
        self._previous = picture

    def changes(self) -> FloatArray:
        """Mean luma change of each frame against the one before, ``[frames]``, levels; the first is 0."""
        return np.asarray([0.0] + [float(change.mean()) for change in self._changes])

    def shots(self) -> list[tuple[int, int]]:
        """Half-open frame ranges without a cut, in order; together they hold every frame."""
        starts = [0, *self._cuts(), len(self._changes) + 1]
        return [(start, end) for start, end in zip(starts, starts[1:], strict=False) if end > start]

    def _cuts(self) -> list[int]:
        if not self._changes:
            return []
        changes = np.asarray(self._changes)
        cuts = []
        for index in range(len(changes)):
            before = changes[max(0, index - _NEIGHBOURS) : index]
            after = changes[index + 1 : index + 1 + _NEIGHBOURS]
            usual = np.concatenate([before, after]).max(axis=0, initial=0.0) + _NOISE_LEVELS
            if np.mean(changes[index] > _CHANGE_RATIO * usual) > _CUT_SHARE:
                cuts.append(index + 1)
        return cuts

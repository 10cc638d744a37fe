"""Several speech features side by side: the channels of each, at the rate of the fastest."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

import numpy as np

from talkhead_core.audio.features.speech_features import SpeechFeatures, stacked
from talkhead_core.parameters import require
from talkhead_core.types import FloatArray

__all__ = ["JoinedFeatures", "slower_window"]


class JoinedFeatures:
    """Columns of the slower features are repeated, so that each lies where the fastest one's columns do.

    Args:
        parts: the features, each with a window of the same length in time.

    Raises:
        ParameterError: their windows are not of the same length.
    """

    def __init__(self, parts: tuple[SpeechFeatures, ...]) -> None:
        self._parts = parts
        self.columns_per_second = max(part.columns_per_second for part in parts)
        self.window = max(part.window for part in parts)
        self.channel_groups = tuple(part.channels for part in parts)
        self.channels = sum(self.channel_groups)
        for part in parts:
            fits = part.window * self.columns_per_second == self.window * part.columns_per_second
            require(fits, f"windows of {part.window} columns at {part.columns_per_second} a second and of {self.window} do not join")

    def blocks(self, audio: FloatArray, fps: Fraction, frames: int, first_frame: int = 0) -> Iterator[FloatArray]:
        """See ``SpeechFeatures.blocks``."""
        for found in zip(*(part.blocks(audio, fps, frames, first_frame) for part in self._parts), strict=True):
            yield np.concatenate([np.repeat(each, self.window // each.shape[1], axis=1) for each in found], axis=2)

    def extract(self, audio: FloatArray, fps: Fraction, frames: int, first_frame: int = 0) -> FloatArray:
        """See ``SpeechFeatures.extract``."""
        return stacked(self.blocks(audio, fps, frames, first_frame), frames, self.window, self.channels)


def slower_window(window: int, columns_per_second: int, fastest: int, name: str) -> int:
    """Columns of a slower feature in a window of ``window`` columns of the fastest.

    Raises:
        ParameterError: they are not whole columns.
    """
    whole = fastest % columns_per_second == 0 and window * columns_per_second % fastest == 0
    require(
        whole,
        f"a window of {window} columns at {fastest} a second holds no whole number of the {columns_per_second} a second of {name}; "
        f"make window a multiple of {fastest // columns_per_second or 1}, or join features whose rates divide",
    )
    return window * columns_per_second // fastest

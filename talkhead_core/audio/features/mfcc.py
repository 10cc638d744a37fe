"""Mel-frequency cepstral coefficients with their first and second differences: 39 channels, 100 columns a second."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

import numpy as np
import scipy.fft

from talkhead_core.audio.features.log_mel import LogMel
from talkhead_core.audio.features.speech_features import stacked
from talkhead_core.types import FloatArray

__all__ = ["Mfcc"]

_CEPSTRA = 13
_CONTEXT = 2
"""Columns on either side that a difference is taken over (the regression window of the field, +-2)."""


class Mfcc:
    """13 cepstral coefficients of the log-mel spectrum (Davis & Mermelstein 1980), their deltas and delta-deltas."""

    channels = 3 * _CEPSTRA
    columns_per_second = LogMel.columns_per_second

    def __init__(self, *, window: int, weights: str | None = None) -> None:
        self.window = window
        # two rounds of differences need columns beyond the window, so that its edges are no special case
        self._mel = LogMel(window=window + 4 * _CONTEXT)

    def blocks(self, audio: FloatArray, fps: Fraction, frames: int, first_frame: int = 0) -> Iterator[FloatArray]:
        """See ``SpeechFeatures.blocks``."""
        for mel in self._mel.blocks(audio, fps, frames, first_frame):
            cepstra = scipy.fft.dct(mel, type=2, norm="ortho", axis=2)[:, :, :_CEPSTRA]
            slope = _difference(cepstra)
            curve = _difference(slope)
            parts = [cepstra[:, 2 * _CONTEXT : -2 * _CONTEXT], slope[:, _CONTEXT:-_CONTEXT], curve]
            yield np.concatenate(parts, axis=2).astype(np.float32)

    def extract(self, audio: FloatArray, fps: Fraction, frames: int, first_frame: int = 0) -> FloatArray:
        """See ``SpeechFeatures.extract``."""
        return stacked(self.blocks(audio, fps, frames, first_frame), frames, self.window, self.channels)


def _difference(track: FloatArray) -> FloatArray:
    """Regression slope over +-2 columns: ``[n, columns, c]`` to ``[n, columns - 4, c]``."""
    columns = track.shape[1] - 2 * _CONTEXT
    slope = sum(
        n * (track[:, _CONTEXT + n : _CONTEXT + n + columns] - track[:, _CONTEXT - n : _CONTEXT - n + columns])
        for n in range(1, _CONTEXT + 1)
    )
    return np.asarray(slope / (2 * sum(n * n for n in range(1, _CONTEXT + 1))))

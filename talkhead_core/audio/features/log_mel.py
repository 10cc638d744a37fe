"""Log-mel energies: 80 bands, 100 columns a second."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from functools import cache

import numpy as np
import scipy.fft

from talkhead_core.audio.features.frame_windows import frame_windows
from talkhead_core.audio.features.speech_features import stacked
from talkhead_core.audio.hann_window import hann_window
from talkhead_core.audio.mel_filters import mel_filters
from talkhead_core.media.audio_file import SPEECH_SAMPLE_RATE_HZ
from talkhead_core.types import FloatArray

__all__ = ["LogMel", "log_mel_columns"]

_FFT = 512
_WINDOW = 400
_HOP = 160
_LOWEST_HZ = 55.0
_HIGHEST_HZ = 7600.0
_MEL_BANDS = 80
_FLOOR = 1e-5
"""Added to each band's mean power. With speech at -26 dBFS (see ``loudness``) it lies about 50 dB under the vowels: below
room noise, so that what a silence sounds like depends little on the microphone, and above the rounding of 16 bits."""


class LogMel:
    """Natural logarithm of mel-band power, 80 bands from 55 to 7600 Hz, 25 ms Hann window, 100 columns a second."""

    channels = _MEL_BANDS
    columns_per_second = SPEECH_SAMPLE_RATE_HZ // _HOP

    def __init__(self, *, window: int, weights: str | None = None) -> None:
        self.window = window

    def blocks(self, audio: FloatArray, fps: Fraction, frames: int, first_frame: int = 0) -> Iterator[FloatArray]:
        """See ``SpeechFeatures.blocks``."""
        return frame_windows(
            audio,
            fps,
            frames,
            log_mel_columns,
            window=self.window,
            hop=_HOP,
            segment=_WINDOW,
            sample_rate_hz=SPEECH_SAMPLE_RATE_HZ,
            first_frame=first_frame,
        )

    def extract(self, audio: FloatArray, fps: Fraction, frames: int, first_frame: int = 0) -> FloatArray:
        """See ``SpeechFeatures.extract``."""
        return stacked(self.blocks(audio, fps, frames, first_frame), frames, self.window, self.channels)


@cache
def _filters() -> FloatArray:
    """Slaney-style triangular filters ``[80, 257]``; each sums to one, so that a band holds mean power."""
    filters = mel_filters(rate_hz=SPEECH_SAMPLE_RATE_HZ, fft=_FFT, bands=_MEL_BANDS, lowest_hz=_LOWEST_HZ, highest_hz=_HIGHEST_HZ)
    return np.asarray(filters / np.maximum(filters.sum(axis=1, keepdims=True), 1e-8), dtype=np.float32)


@cache
def _hann() -> FloatArray:
    window = hann_window(_WINDOW)
    return np.asarray(window / np.sqrt(np.sum(window**2)), dtype=np.float32)


def log_mel_columns(segments: FloatArray) -> FloatArray:
    """Segments ``[columns, 400]`` of 16 kHz audio to log-mel power ``[columns, 80]`` float32."""
    spectrum = scipy.fft.rfft(segments * _hann(), n=_FFT, axis=1)
    power = spectrum.real**2 + spectrum.imag**2
    return np.asarray(np.log(power @ _filters().T + _FLOOR), dtype=np.float32)

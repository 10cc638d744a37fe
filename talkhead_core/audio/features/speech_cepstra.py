"""Mel-frequency cepstra as the package ``python_speech_features`` computes them, which DeepSpeech was trained on."""

from __future__ import annotations

from functools import cache

import numpy as np
import scipy.fft

from talkhead_core.media.audio_file import SPEECH_SAMPLE_RATE_HZ
from talkhead_core.types import FloatArray

__all__ = ["speech_cepstra"]

_FFT, _FILTERS, _LIFTER, _EMPHASIS = 512, 26, 22, 0.97
_FULL_SCALE = 32768.0
"""The package is fed 16-bit numbers, and the logarithm of their energy is a cepstrum."""


def speech_cepstra(segments: FloatArray) -> FloatArray:
    """26 cepstra of each 25 ms.

    Args:
        segments: ``[columns, 401]`` samples at 16 kHz in [-1, 1]; the first is the one before the column, for the pre-emphasis.

    Returns:
        ``[columns, 26]`` float32: the first is the logarithm of the energy, the others are liftered by 22.
    """
    samples = segments.astype(np.float64) * _FULL_SCALE
    emphasised = samples[:, 1:] - _EMPHASIS * samples[:, :-1]
    power = np.abs(scipy.fft.rfft(emphasised, n=_FFT, axis=1)) ** 2 / _FFT
    smallest = np.finfo(float).eps
    energy = power.sum(axis=1)
    bands = power @ _filters().T
    cepstra = scipy.fft.dct(np.log(np.where(bands == 0, smallest, bands)), type=2, axis=1, norm="ortho")
    cepstra *= 1 + _LIFTER / 2 * np.sin(np.pi * np.arange(_FILTERS) / _LIFTER)
    cepstra[:, 0] = np.log(np.where(energy == 0, smallest, energy))
    return cepstra.astype(np.float32)


@cache
def _filters() -> FloatArray:
    """Triangles ``[26, 257]`` between points evenly spaced in mel (HTK's), from 0 to 8000 Hz, at whole bins."""
    highest_mel = 2595 * np.log10(1 + SPEECH_SAMPLE_RATE_HZ / 2 / 700)
    points_hz = 700 * (10 ** (np.linspace(0, highest_mel, _FILTERS + 2) / 2595) - 1)
    edges = np.floor((_FFT + 1) * points_hz / SPEECH_SAMPLE_RATE_HZ)
    bins = np.arange(_FFT // 2 + 1)
    left, middle, right = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    rising = np.where((bins >= left) & (bins < middle), (bins - left) / np.maximum(middle - left, 1), 0.0)
    falling = np.where((bins >= middle) & (bins < right), (right - bins) / np.maximum(right - middle, 1), 0.0)
    return rising + falling

"""Mel-cepstral distortion (Kubichek 1993) of signals that are already in step."""

from __future__ import annotations

from functools import cache

import librosa
import numpy as np

from talkhead_core.metrics.speech.speech_pair import checked_pair
from talkhead_core.types import FloatArray

__all__ = ["mel_cepstra", "mel_cepstral_distortion_db"]

_ORDER = 13
_BANDS = 40
_SEGMENT_S = 0.032
_HOP_S = 0.008
_FLOOR = 1e-10


def mel_cepstral_distortion_db(reference: FloatArray, enhanced: FloatArray, rate: int) -> float:
    """MCD in dB, 0 for equal spectral envelopes whatever their loudness, lower is better.

    ``10 / ln 10 * sqrt(2 sum_d (c_d - c'_d)^2)`` over the coefficients 1 to 13, averaged over columns; without time warping,
    because an enhanced signal keeps its timing.

    Args:
        reference: clean speech, mono ``[samples]``, in step with ``enhanced``.
        enhanced: the speech to judge.
        rate: samples a second.

    Raises:
        InputError: see ``checked_pair``.
    """
    clean, other = checked_pair(reference, enhanced, rate, rates=(), least_s=0.06, metric="MCD")
    difference = mel_cepstra(clean, rate)[:, 1:] - mel_cepstra(other, rate)[:, 1:]
    return float(10 / np.log(10) * np.mean(np.sqrt(2 * np.sum(difference**2, axis=1))))


def mel_cepstra(signal: FloatArray, rate: int) -> FloatArray:
    """``[columns, 14]`` such that ``ln |H| = sum_d c_d cos(d w)`` over the mel-warped frequency ``w``."""
    length, hop = round(_SEGMENT_S * rate), round(_HOP_S * rate)
    segments = np.lib.stride_tricks.sliding_window_view(signal, length)[::hop] * np.hanning(length)
    power = np.abs(np.fft.rfft(segments, axis=1)) ** 2
    log_amplitude = 0.5 * np.log(power @ _filters(rate, length).T + _FLOOR)
    angles = np.pi * np.outer(np.arange(_ORDER + 1), np.arange(_BANDS) + 0.5) / _BANDS
    cepstra = 2 / _BANDS * log_amplitude @ np.cos(angles).T
    cepstra[:, 0] /= 2
    return np.asarray(cepstra)


@cache
def _filters(rate: int, length: int) -> FloatArray:
    filters = librosa.filters.mel(sr=rate, n_fft=length, n_mels=_BANDS, norm=None, dtype=np.float64)
    return np.asarray(filters / np.maximum(filters.sum(axis=1, keepdims=True), 1e-12))

"""Triangular filters on the mel scale of Slaney's Auditory Toolbox (1998): linear below 1 kHz, logarithmic above.

The values of ``librosa.filters.mel``, whose package takes as long to load as a clip's speech takes to describe.
"""

from __future__ import annotations

import numpy as np

from talkhead_core.types import FloatArray

__all__ = ["mel_filters"]

_HZ_PER_MEL = 200 / 3
_BREAK_HZ, _BREAK_MEL = 1000.0, 15.0
_LOG_STEP = np.log(6.4) / 27  # of the frequency, a mel


def mel_filters(*, rate_hz: int, fft: int, bands: int, lowest_hz: float, highest_hz: float, equal_area: bool = False) -> FloatArray:
    """Weights ``[bands, fft / 2 + 1]`` float32 of the bins of a power or magnitude spectrum.

    Args:
        rate_hz: the audio's sample rate.
        fft: points of the transform.
        bands: how many triangles, evenly spaced in mel.
        lowest_hz: where the first rises from zero.
        highest_hz: where the last is back at zero.
        equal_area: scale every triangle to the same area over frequency; else each peaks at one.
    """
    edges = _to_hz(np.linspace(_to_mel(lowest_hz), _to_mel(highest_hz), bands + 2))
    bins = np.fft.rfftfreq(fft, 1 / rate_hz)
    rising = (bins - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    falling = (edges[2:, None] - bins) / (edges[2:] - edges[1:-1])[:, None]
    filters = np.maximum(0.0, np.minimum(rising, falling))
    if equal_area:
        filters *= (2 / (edges[2:] - edges[:-2]))[:, None]
    return filters.astype(np.float32)


def _to_mel(hz: float) -> float:
    return hz / _HZ_PER_MEL if hz < _BREAK_HZ else _BREAK_MEL + float(np.log(hz / _BREAK_HZ)) / _LOG_STEP


def _to_hz(mel: FloatArray) -> FloatArray:
    return np.where(mel < _BREAK_MEL, mel * _HZ_PER_MEL, _BREAK_HZ * np.exp(_LOG_STEP * (mel - _BREAK_MEL)))

"""Weighted spectral slope distance (Klatt 1982): how differently two spectra rise and fall from band to band."""

from __future__ import annotations

from functools import cache

import numpy as np

from talkhead_core.metrics.speech.segments import lowest_mean, tapered_segments
from talkhead_core.metrics.speech.speech_pair import checked_pair
from talkhead_core.types import FloatArray

__all__ = ["weighted_spectral_slope"]

# 25 critical bands: centres and widths in Hz (Klatt 1982; Loizou, Speech Enhancement, 2nd ed., table 11.1)
_CENTRES_HZ = (
    *(50.0, 120.0, 190.0, 260.0, 330.0, 400.0, 470.0, 540.0, 617.372, 703.378, 798.717, 904.128, 1020.38, 1148.30),
    *(1288.72, 1442.54, 1610.70, 1794.16, 1993.93, 2211.08, 2446.71, 2701.97, 2978.04, 3276.17, 3597.63),
)
_WIDTHS_HZ = (
    *(70.0, 70.0, 70.0, 70.0, 70.0, 70.0, 70.0, 77.3724, 86.0056, 95.3398, 105.411, 116.256, 127.914, 140.423),
    *(153.823, 168.154, 183.457, 199.776, 217.153, 235.631, 255.255, 276.072, 298.126, 321.465, 346.136),
)
_GLOBAL_PEAK_DB = 20.0
_LOCAL_PEAK_DB = 1.0
_LEAST_ENERGY = 1e-10
_FILTER_FLOOR = float(np.exp(-30 / (2 * 2.303)))
"""Filters end where they are 30 dB under their peak: 2 * 2.303 nepers of amplitude are 20 dB of power."""


def weighted_spectral_slope(reference: FloatArray, enhanced: FloatArray, rate: int) -> float:
    """WSS distance, 0 for equal spectra, lower is better (Hu and Loizou 2008, eq. 4); the lowest 95 % of the segments averaged.

    Args:
        reference: clean speech, mono ``[samples]``, in step with ``enhanced``.
        enhanced: the speech to judge.
        rate: samples a second, at least 8000.

    Raises:
        InputError: see ``checked_pair``.
    """
    clean, other = checked_pair(reference, enhanced, rate, rates=(), least_s=0.06, metric="WSS")
    bands = [_band_energy_db(tapered_segments(signal, rate), rate) for signal in (clean, other)]
    slopes = [np.diff(energy, axis=1) for energy in bands]
    weight = (_slope_weights(bands[0], slopes[0]) + _slope_weights(bands[1], slopes[1])) / 2
    distance = np.sum(weight * (slopes[0] - slopes[1]) ** 2, axis=1) / np.sum(weight, axis=1)
    return lowest_mean(distance)


@cache
def _filters(rate: int, bins: int) -> FloatArray:
    """Gaussian band filters ``[25, bins]`` over the power spectrum up to half the rate."""
    centres = np.floor(np.array(_CENTRES_HZ) / (rate / 2) * bins)[:, None]
    widths = (np.array(_WIDTHS_HZ) / (rate / 2) * bins)[:, None]
    shapes = np.exp(-11 * ((np.arange(bins)[None, :] - centres) / widths) ** 2) * (min(_WIDTHS_HZ) / np.array(_WIDTHS_HZ))[:, None]
    return np.asarray(np.where(shapes > _FILTER_FLOOR, shapes, 0.0))


def _band_energy_db(segments: FloatArray, rate: int) -> FloatArray:
    """``[segments, 25]``."""
    size = 2 ** int(np.ceil(np.log2(2 * segments.shape[1])))
    power = np.abs(np.fft.rfft(segments, size, axis=1)[:, : size // 2]) ** 2
    return np.asarray(10 * np.log10(np.maximum(power @ _filters(rate, size // 2).T, _LEAST_ENERGY)))


def _slope_weights(energy_db: FloatArray, slope_db: FloatArray) -> FloatArray:
    """How much each slope counts, ``[segments, 24]``: most on peaks, near the loudest band and near the nearest peak."""
    loudest = energy_db.max(axis=1, keepdims=True)
    here = energy_db[:, :-1]
    by_loudest = _GLOBAL_PEAK_DB / (_GLOBAL_PEAK_DB + loudest - here)
    by_nearest = _LOCAL_PEAK_DB / (_LOCAL_PEAK_DB + _nearest_peak_db(energy_db, slope_db) - here)
    return np.asarray(by_loudest * by_nearest)


def _nearest_peak_db(energy_db: FloatArray, slope_db: FloatArray) -> FloatArray:
    """Energy of the peak that each slope leads to, ``[segments, 24]``: uphill to the right if it rises, else to the left.

    To the right the band before the peak is taken, as the program behind every published table does.
    """
    slopes = slope_db.shape[1]
    rising = slope_db > 0
    last_rising = np.empty((len(slope_db), slopes), dtype=np.int64)
    peak_to_the_left = np.empty_like(last_rising)
    for band in range(slopes - 1, -1, -1):
        onward = np.where(rising[:, band + 1], last_rising[:, band + 1], band) if band + 1 < slopes else band
        last_rising[:, band] = onward
    for band in range(slopes):
        onward = peak_to_the_left[:, band - 1] if band else 0
        peak_to_the_left[:, band] = np.where(rising[:, band], band + 1, onward)
    rows = np.arange(len(slope_db))[:, None]
    return np.asarray(np.where(rising, energy_db[rows, last_rising], energy_db[rows, peak_to_the_left]))

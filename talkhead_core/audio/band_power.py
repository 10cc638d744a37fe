"""The power of a recording in sixteen bands every 10 ms, block by block."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache

import numpy as np
import scipy.fft

from talkhead_core.audio.hann_window import hann_window
from talkhead_core.audio.mel_filters import mel_filters
from talkhead_core.media.audio_file import SPEECH_SAMPLE_RATE_HZ
from talkhead_core.types import FloatArray

__all__ = ["BANDS", "COLUMNS_PER_SECOND", "COLUMN_SAMPLES", "band_power", "independent_cells"]

BANDS = 16
COLUMNS_PER_SECOND = 100
COLUMN_SAMPLES = SPEECH_SAMPLE_RATE_HZ // COLUMNS_PER_SECOND
_SEGMENT = 400
_FFT = 512
_MARGIN = (_SEGMENT - COLUMN_SAMPLES) // 2
_BLOCK_COLUMNS = 4096
_LOWEST_HZ = 60.0
_HIGHEST_HZ = 7600.0


def band_power(blocks: Iterable[FloatArray]) -> FloatArray:
    """Mean power of the 25 ms around the middle of each 10 ms column.

    Args:
        blocks: consecutive mono ``[samples]`` at 16 kHz, of any lengths.

    Returns:
        ``[ceil(samples / 160), 16]`` float32, mel-spaced bands from 60 to 7600 Hz; their sum is about the signal's power.
    """
    held = np.zeros(_MARGIN, dtype=np.float32)
    parts = [np.zeros((0, BANDS), dtype=np.float32)]
    samples = 0
    for block in blocks:
        samples += len(block)
        held = np.concatenate([held, np.asarray(block, dtype=np.float32)])
        columns = (len(held) - _SEGMENT) // COLUMN_SAMPLES + 1
        if columns >= _BLOCK_COLUMNS:
            parts.append(_columns(held, columns))
            held = held[columns * COLUMN_SAMPLES :]
    left = -(-samples // COLUMN_SAMPLES) - sum(len(part) for part in parts)
    if left:
        parts.append(_columns(np.pad(held, (0, _SEGMENT)), left))
    return np.concatenate(parts)


def independent_cells(columns: int) -> FloatArray:
    """Independent spectral cells that a mean over some columns of each band is worth, ``[16]``; for white noise."""
    filters = _filters().astype(np.float64)
    bandwidth_hz = filters.sum(axis=0) ** 2 / (filters**2).sum(axis=0) * SPEECH_SAMPLE_RATE_HZ / _FFT
    cell_hz = 1.5 * SPEECH_SAMPLE_RATE_HZ / _SEGMENT  # a Hann window's noise bandwidth
    cells = 1 + (columns - 1) * COLUMN_SAMPLES / _SEGMENT * 1.2
    return np.asarray(np.maximum(bandwidth_hz / cell_hz, 1.0) * cells)


def _columns(padded: FloatArray, columns: int) -> FloatArray:
    segments = np.lib.stride_tricks.sliding_window_view(padded, _SEGMENT)[::COLUMN_SAMPLES]
    parts = []
    for start in range(0, columns, _BLOCK_COLUMNS):
        spectrum = scipy.fft.rfft(segments[start : min(start + _BLOCK_COLUMNS, columns)] * _taper(), n=_FFT, axis=1)
        parts.append((spectrum.real**2 + spectrum.imag**2) @ _filters())
    return np.concatenate(parts)


@cache
def _taper() -> FloatArray:
    window = hann_window(_SEGMENT)
    return np.asarray(window * np.sqrt(2 / (np.sum(window**2) * _FFT)), dtype=np.float32)


@cache
def _filters() -> FloatArray:
    filters = mel_filters(rate_hz=SPEECH_SAMPLE_RATE_HZ, fft=_FFT, bands=BANDS, lowest_hz=_LOWEST_HZ, highest_hz=_HIGHEST_HZ)
    # the outermost triangles are made whole, so that every frequency in between counts once
    hz = np.fft.rfftfreq(_FFT, 1 / SPEECH_SAMPLE_RATE_HZ)
    rest = np.where((hz >= _LOWEST_HZ) & (hz <= _HIGHEST_HZ), 1 - filters.sum(axis=0), 0.0)
    middle = hz[np.argmax(filters[BANDS // 2])]
    filters[0] += np.where(hz < middle, rest, 0.0)
    filters[-1] += np.where(hz > middle, rest, 0.0)
    return np.asarray(filters.T, dtype=np.float32)

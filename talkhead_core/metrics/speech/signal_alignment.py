"""Putting an enhanced signal back in step with its reference, to the sample.

Denoisers delay and trim. A delay of half a millisecond is inaudible and ruins every metric that compares waveforms.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.fft

from talkhead_core.errors import InputError
from talkhead_core.types import FloatArray

__all__ = ["AlignedPair", "aligned_pair", "delay_samples"]


@dataclass(frozen=True, kw_only=True)
class AlignedPair:
    """Two signals in step.

    Args:
        reference: ``[samples]``, the part that both share.
        enhanced: ``[samples]``.
        delay_samples: how much later the enhanced signal was.
    """

    reference: FloatArray
    enhanced: FloatArray
    delay_samples: int


def delay_samples(reference: FloatArray, enhanced: FloatArray, largest: int) -> int:
    """How many samples later ``enhanced`` is, at most ``largest`` either way: the peak of the cross-correlation.

    Args:
        reference: ``[samples]``.
        enhanced: ``[samples]``, of about the same length.
        largest: the largest delay considered, in samples.
    """
    size = scipy.fft.next_fast_len(len(reference) + len(enhanced), real=True)
    spectra = scipy.fft.rfft(enhanced - np.mean(enhanced), size) * np.conj(scipy.fft.rfft(reference - np.mean(reference), size))
    correlation = scipy.fft.irfft(spectra, size)
    largest = min(largest, len(reference) - 1, len(enhanced) - 1)
    lags = np.arange(-largest, largest + 1)
    return int(lags[np.argmax(correlation[lags])])


def aligned_pair(reference: FloatArray, enhanced: FloatArray, rate: int, *, largest_delay_s: float = 0.2) -> AlignedPair:
    """Cut both signals to what they share.

    Args:
        reference: clean speech, mono ``[samples]``.
        enhanced: the same speech, delayed or trimmed.
        rate: samples a second of both.
        largest_delay_s: the largest delay considered.

    Raises:
        InputError: the lengths differ by more than half a second; the two are not one recording.
    """
    if abs(len(reference) - len(enhanced)) > 0.5 * rate:
        raise InputError(
            f"the reference is {len(reference) / rate:.2f} s long and the enhanced signal {len(enhanced) / rate:.2f} s; "
            "give two versions of one recording"
        )
    if min(len(reference), len(enhanced)) < 2:
        raise InputError("a signal is empty; give two versions of one recording")
    delay = delay_samples(reference, enhanced, int(largest_delay_s * rate))
    first, second = max(-delay, 0), max(delay, 0)
    samples = min(len(reference) - first, len(enhanced) - second)
    return AlignedPair(reference=reference[first : first + samples], enhanced=enhanced[second : second + samples], delay_samples=delay)

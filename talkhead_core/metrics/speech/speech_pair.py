"""What every speech metric asks of the two signals it compares."""

from __future__ import annotations

import numpy as np

from talkhead_core.errors import InputError
from talkhead_core.types import FloatArray

__all__ = ["checked_pair"]

_SILENT_RMS = 1e-5
"""-100 dBFS: under the rounding of 16 bits."""


def checked_pair(
    reference: FloatArray, enhanced: FloatArray, rate: int, *, rates: tuple[int, ...], least_s: float, metric: str
) -> tuple[FloatArray, FloatArray]:
    """Both signals as float64, if ``metric`` can compare them.

    Args:
        reference: the clean speech, mono ``[samples]``.
        enhanced: the speech to judge, the same length.
        rate: samples a second of both.
        rates: the rates that the metric is defined for; any where empty.
        least_s: the shortest signal it is defined for.
        metric: its name, for the error message.

    Raises:
        InputError: a wrong rate, lengths that differ, too short, silent, or samples that are not numbers.
    """
    if rates and rate not in rates:
        raise InputError(f"{metric} is defined at {' and '.join(str(r) for r in rates)} Hz, not {rate} Hz; resample both signals")
    for name, signal in (("reference", reference), ("enhanced", enhanced)):
        if np.ndim(signal) != 1:
            raise InputError(f"{metric}: the {name} signal has shape {np.shape(signal)}; give one channel")
    if len(reference) != len(enhanced):
        raise InputError(
            f"{metric}: the reference has {len(reference)} samples and the enhanced signal {len(enhanced)}; align them first (aligned_pair)"
        )
    if len(reference) < least_s * rate:
        raise InputError(f"{metric} needs at least {least_s:g} s of speech, not {len(reference) / rate:.2f} s")
    pair = (np.asarray(reference, dtype=np.float64), np.asarray(enhanced, dtype=np.float64))
    for name, signal in zip(("reference", "enhanced"), pair, strict=True):
        if not np.isfinite(signal).all():
            raise InputError(f"{metric}: the {name} signal holds samples that are not numbers")
        if np.sqrt(np.mean(signal**2)) < _SILENT_RMS:
            raise InputError(f"{metric}: the {name} signal is silent; there is nothing to compare")
    return pair

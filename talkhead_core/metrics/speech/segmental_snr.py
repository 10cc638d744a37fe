"""Segmental signal-to-noise ratio."""

from __future__ import annotations

import numpy as np

from talkhead_core.metrics.speech.segments import tapered_segments
from talkhead_core.metrics.speech.speech_pair import checked_pair
from talkhead_core.types import FloatArray

__all__ = ["segmental_snr_db"]

_LOWEST_DB = -10.0
_HIGHEST_DB = 35.0
_EPSILON = float(np.finfo(np.float64).eps)


def segmental_snr_db(reference: FloatArray, enhanced: FloatArray, rate: int) -> float:
    """Mean over 30 ms segments of their signal-to-noise ratio, each limited to [-10, 35] dB (Hansen and Pellom 1998).

    Args:
        reference: clean speech, mono ``[samples]``, in step with ``enhanced``.
        enhanced: the speech to judge.
        rate: samples a second.

    Raises:
        InputError: see ``checked_pair``.
    """
    clean, other = checked_pair(reference, enhanced, rate, rates=(), least_s=0.03, metric="SNRseg")
    signal = np.sum(tapered_segments(clean, rate) ** 2, axis=1)
    noise = np.sum(tapered_segments(clean - other, rate) ** 2, axis=1)
    ratio_db = 10 * np.log10(signal / (noise + _EPSILON) + _EPSILON)
    return float(np.clip(ratio_db, _LOWEST_DB, _HIGHEST_DB).mean())

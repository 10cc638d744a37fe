"""Scale-invariant signal-to-distortion ratio (Le Roux et al. 2019, eq. 3)."""

from __future__ import annotations

import numpy as np

from talkhead_core.metrics.speech.speech_pair import checked_pair
from talkhead_core.types import FloatArray

__all__ = ["si_sdr_db"]


def si_sdr_db(reference: FloatArray, enhanced: FloatArray, rate: int) -> float:
    """SI-SDR in dB, higher is better; both signals lose their mean first. Infinite for a scaled copy.

    Args:
        reference: clean speech, mono ``[samples]``, in step with ``enhanced``.
        enhanced: the speech to judge.
        rate: samples a second.

    Raises:
        InputError: see ``checked_pair``.
    """
    clean, other = checked_pair(reference, enhanced, rate, rates=(), least_s=0.0, metric="SI-SDR")
    clean, other = clean - clean.mean(), other - other.mean()
    target = np.dot(other, clean) / np.dot(clean, clean) * clean
    distortion = np.sum((other - target) ** 2)
    return float(10 * np.log10(np.sum(target**2) / distortion)) if distortion > 0 else float("inf")

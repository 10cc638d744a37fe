"""Log-likelihood ratio between the all-pole models of clean and enhanced speech (Quackenbush et al. 1988)."""

from __future__ import annotations

import numpy as np
import scipy.linalg

from talkhead_core.metrics.speech.segments import lowest_mean, tapered_segments
from talkhead_core.metrics.speech.speech_pair import checked_pair
from talkhead_core.types import FloatArray

__all__ = ["log_likelihood_ratio"]

_TINY = 1e-20


def log_likelihood_ratio(reference: FloatArray, enhanced: FloatArray, rate: int) -> float:
    """LLR, 0 for equal spectral envelopes, lower is better (Hu and Loizou 2008, eq. 2).

    ``log(a_e R_c a_e' / a_c R_c a_c')`` per segment, where ``a`` are the prediction coefficients of the clean (c) and enhanced
    (e) speech and ``R_c`` the autocorrelation of the clean; the lowest 95 % averaged. Not limited to [0, 2], as the paper has it for
    another study: the published tables are not. Segments where the clean speech is digital silence have no envelope and do not count.

    Args:
        reference: clean speech, mono ``[samples]``, in step with ``enhanced``.
        enhanced: the speech to judge.
        rate: samples a second; the order of prediction is 16 from 10 kHz on and 10 below.

    Raises:
        InputError: see ``checked_pair``.
    """
    clean, other = checked_pair(reference, enhanced, rate, rates=(), least_s=0.06, metric="LLR")
    order = 16 if rate >= 10_000 else 10
    segments = tapered_segments(clean, rate)
    sounding = segments.any(axis=1)
    correlation = _autocorrelation(segments[sounding], order)
    own = _prediction(correlation)
    theirs = _prediction(_autocorrelation(tapered_segments(other, rate)[sounding], order))
    toeplitz = correlation[:, np.abs(np.arange(order + 1)[:, None] - np.arange(order + 1)[None, :])]
    above = np.einsum("si,sij,sj->s", theirs, toeplitz, theirs)
    below = np.einsum("si,sij,sj->s", own, toeplitz, own)
    least = 1e-12 * correlation[:, 0]  # a pure tone is predicted to rounding
    return lowest_mean(np.log(np.maximum(above, least) / np.maximum(below, least)))


def _autocorrelation(segments: FloatArray, order: int) -> FloatArray:
    """``[segments, order + 1]``."""
    length = segments.shape[1]
    return np.stack([np.einsum("st,st->s", segments[:, : length - lag], segments[:, lag:]) for lag in range(order + 1)], axis=1)


def _prediction(correlation: FloatArray) -> FloatArray:
    """Coefficients ``[segments, order + 1]`` of the prediction error filter, the first of them 1."""
    filters = np.ones_like(correlation)
    for row, lags in enumerate(correlation):
        # keeps digital silence solvable: 1e-11 of the energy of the least significant of 16 bits
        column = lags[:-1].copy()
        column[0] += _TINY
        filters[row, 1:] = -scipy.linalg.solve_toeplitz(column, lags[1:])
    return filters

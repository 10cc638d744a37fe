"""The level of the background under speech, followed over time by low quantiles."""

from __future__ import annotations

import numpy as np
import scipy.special

from talkhead_core.types import FloatArray

__all__ = ["between", "noise_floor", "window_centres"]


def noise_floor(
    power: FloatArray, *, reach: int, step: int, quantile: float, independent: float | FloatArray, skip_silence: bool = False
) -> FloatArray:
    """Mean noise power of each band, followed over time.

    Speech leaves every band empty now and then, so a low quantile of the band's power over some seconds is noise. The
    quantile lies below the noise's mean by a factor that is known for Gaussian noise, whose power averaged over ``k``
    independent cells follows a gamma distribution of shape ``k``; it is divided out (the idea of Martin's minimum
    statistics, 2001, with a quantile for the minimum).

    Args:
        power: ``[columns, bands]``.
        reach: columns looked at on either side.
        step: columns between estimates; interpolated in between.
        quantile: in (0, 1).
        independent: how many independent cells each value of ``power`` is the mean of; one number or ``[bands]``.
        skip_silence: leave columns of digital silence out; they say nothing about the background.

    Returns:
        ``[columns, bands]``, the dtype of ``power``.
    """
    bias = np.asarray(scipy.special.gammaincinv(independent, quantile) / independent, dtype=power.dtype)
    heard = power.max(axis=1) > 0 if skip_silence else np.ones(len(power), dtype=bool)
    centres = window_centres(len(power), step)
    estimates = []
    for centre in centres:
        near = slice(max(centre - reach, 0), centre + reach + 1)
        estimates.append(_low_quantile(power[near][heard[near]], quantile) / bias)
    return between(np.stack(estimates), centres, len(power))


def window_centres(columns: int, step: int) -> np.ndarray:
    """Columns at which estimates are made: the middle of each step."""
    return np.arange(step // 2, max(columns, step // 2 + 1), step)


def between(estimates: FloatArray, centres: np.ndarray, columns: int) -> FloatArray:
    """Estimates ``[centres, bands]`` interpolated linearly to ``[columns, bands]``; constant beyond the ends."""
    if len(centres) == 1:
        return np.broadcast_to(estimates, (columns, estimates.shape[1]))
    position = np.clip((np.arange(columns) - centres[0]) / (centres[1] - centres[0]), 0, len(centres) - 1)
    left = np.minimum(position.astype(np.int64), len(centres) - 2)
    share = (position - left)[:, None].astype(estimates.dtype)
    return np.asarray(estimates[left] * (1 - share) + estimates[left + 1] * share)


def _low_quantile(values: FloatArray, quantile: float) -> FloatArray:
    if len(values) == 0:
        return np.zeros(values.shape[1], dtype=values.dtype)
    rank = round(quantile * (len(values) - 1))
    # sorting contiguous rows is vectorised where partitioning is not: four times as fast
    return np.sort(np.ascontiguousarray(values.T), axis=1)[:, rank]

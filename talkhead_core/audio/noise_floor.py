"""The level of the background under speech, followed over time by low quantiles."""

from __future__ import annotations

import numpy as np
import scipy.stats

from talkhead_core.types import FloatArray

__all__ = ["noise_floor"]


def noise_floor(power: FloatArray, *, reach: int, step: int, quantile: float, independent: float) -> FloatArray:
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
        independent: how many independent cells each value of ``power`` is the mean of.

    Returns:
        ``[columns, bands]``, the dtype of ``power``.
    """
    columns = len(power)
    bias = float(scipy.stats.gamma.ppf(quantile, independent) / independent)
    centres = np.arange(step // 2, max(columns, step // 2 + 1), step)
    estimates = np.stack([_low_quantile(power[max(c - reach, 0) : c + reach + 1], quantile) for c in centres]) / bias
    if len(centres) == 1:
        return np.asarray(np.broadcast_to(estimates[0], power.shape))
    position = np.clip((np.arange(columns) - centres[0]) / step, 0, len(centres) - 1)
    left = np.minimum(position.astype(np.int64), len(centres) - 2)
    share = (position - left)[:, None].astype(power.dtype)
    return np.asarray(estimates[left] * (1 - share) + estimates[left + 1] * share, dtype=power.dtype)


def _low_quantile(values: FloatArray, quantile: float) -> FloatArray:
    rank = min(round(quantile * (len(values) - 1)), len(values) - 1)
    return np.asarray(np.partition(values, rank, axis=0)[rank])

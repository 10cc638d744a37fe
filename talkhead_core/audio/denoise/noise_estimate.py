"""What the background is, from the noisy spectrum alone: the three answers the field gives.

The larger of the last two (``combined``) measures best: minimum statistics need no pause but lie low where the background comes
and goes, which the quietest columns do not.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import scipy.ndimage

from talkhead_core.audio.noise_floor import between, noise_floor, window_centres
from talkhead_core.types import FloatArray

__all__ = ["NoiseEstimate", "initial_noise", "minimum_statistics_noise", "quietest_noise"]

NoiseEstimate = Literal["initial", "quietest", "minimum_statistics", "combined"]

_QUIETEST_SHARE = 0.1
_LOW_QUANTILE = 0.05
_INDEPENDENT_PER_WINDOW = 1.55
"""Independent cells that each further window's length of averaged columns adds (measured on white noise, 1.4 to 1.6)."""


def initial_noise(power: FloatArray, columns: int) -> FloatArray:
    """Mean magnitude of the first ``columns`` (WildTalker, below eq. 1), squared: ``[1, bins]``; wrong where speech comes first."""
    return np.asarray(np.square(np.sqrt(power[: max(columns, 1)]).mean(axis=0, keepdims=True)))


def quietest_noise(power: FloatArray, *, reach: int, step: int) -> FloatArray:
    """Mean power of the quietest tenth of the columns around each moment: ``[columns, bins]``.

    Args:
        power: ``[columns, bins]``.
        reach: columns looked at on either side.
        step: columns between estimates; interpolated in between.
    """
    loudness = np.log(power + 1e-12).mean(axis=1)
    loudness[power.max(axis=1) <= 0] = np.inf  # digital silence is no background
    centres = window_centres(len(power), step)
    estimates = []
    for centre in centres:
        first = max(centre - reach, 0)
        near = loudness[first : centre + reach + 1]
        heard = int(np.isfinite(near).sum())
        count = max(round(_QUIETEST_SHARE * heard), 1)
        quietest = first + np.argpartition(near, count - 1)[:count]
        estimates.append(power[quietest].mean(axis=0))
    return between(np.stack(estimates), centres, len(power))


def minimum_statistics_noise(power: FloatArray, *, reach: int, step: int, smoothing: int, overlap: int) -> FloatArray:
    """Noise power of each bin from its own low quantile around each moment: ``[columns, bins]``; needs no pause in the speech.

    Args:
        power: ``[columns, bins]``.
        reach: columns looked at on either side.
        step: columns between estimates; interpolated in between.
        smoothing: columns that the power is averaged over first.
        overlap: the transform's window over its hop.
    """
    smooth = scipy.ndimage.uniform_filter1d(power, smoothing, axis=0, mode="nearest")
    # neighbouring columns of the smoothed power say the same thing: every few of them are enough
    every = next(n for n in range(max(smoothing // 2, 1), 0, -1) if step % n == 0)
    floor = noise_floor(
        smooth[::every],
        reach=reach // every,
        step=step // every,
        quantile=_LOW_QUANTILE,
        independent=1.0 + _INDEPENDENT_PER_WINDOW * (smoothing - 1) / overlap,
        skip_silence=True,
    )
    return floor if every == 1 else np.repeat(floor, every, axis=0)[: len(power)]

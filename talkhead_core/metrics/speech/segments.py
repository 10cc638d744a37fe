"""The frames that the segmental measures of Hu and Loizou (2008) share: 30 ms, three quarters overlapping, Hann-tapered."""

from __future__ import annotations

import numpy as np

from talkhead_core.types import FloatArray

__all__ = ["KEPT_SHARE", "lowest_mean", "tapered_segments"]

KEPT_SHARE = 0.95
"""LLR and WSS are averaged over the frames with the lowest 95 % of the distances (Hu and Loizou 2008, section III)."""

_SEGMENT_S = 0.03
_OVERLAP = 4


def tapered_segments(signal: FloatArray, rate: int) -> FloatArray:
    """Segments ``[segments, samples]`` of ``signal``.

    The taper leaves out its own zeros, and the last whole segment is left out, as in the program behind the published tables.
    """
    length = round(_SEGMENT_S * rate)
    taper = np.hanning(length + 2)[1:-1]
    hop = length // _OVERLAP
    count = max((len(signal) - length) // hop, 1)
    views = np.lib.stride_tricks.sliding_window_view(signal, length)[::hop][:count]
    return np.asarray(views * taper)


def lowest_mean(distances: FloatArray) -> float:
    """Mean of the lowest ``KEPT_SHARE`` of ``[segments]``."""
    kept = max(round(KEPT_SHARE * len(distances)), 1)
    return float(np.sort(distances)[:kept].mean())

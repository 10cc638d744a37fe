"""The Hann window of short-time spectra."""

from __future__ import annotations

import numpy as np

from talkhead_core.types import FloatArray

__all__ = ["hann_window"]


def hann_window(samples: int) -> FloatArray:
    """Periodic (its next sample would be its first), ``[samples]`` float64: shifted by halves, it adds up to one."""
    return np.hanning(samples + 1)[:-1]

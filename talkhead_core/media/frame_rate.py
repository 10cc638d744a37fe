"""From the source's frames, however timed, to a clip with a constant rate."""

from __future__ import annotations

from fractions import Fraction
from math import ceil

import numpy as np

from talkhead_core.types import FloatArray

__all__ = ["clip_rate", "frame_sources"]

_KEPT_FPS = (Fraction(23976, 1000), Fraction(30))
_DEFAULT_FPS = Fraction(25)


def clip_rate(source_fps: Fraction, choice: str) -> Fraction:
    """The clip's rate.

    Args:
        source_fps: the source's own (nominal) rate.
        choice: ``"source"`` keeps it; ``"auto"`` keeps 24 to 30, divides a higher rate that has a whole fraction in that
            range (60 -> 30, 50 -> 25, so that no frame is shown at the wrong time), and takes 25 for all others;
            a number such as ``"25"`` or ``"30000/1001"`` is taken as it is.

    Raises:
        ValueError: ``choice`` is none of these.
    """
    if choice == "source":
        return source_fps
    if choice != "auto":
        return Fraction(choice)
    divided = source_fps / max(1, ceil(source_fps / _KEPT_FPS[1]))
    return divided if _KEPT_FPS[0] <= divided <= _KEPT_FPS[1] else _DEFAULT_FPS


def frame_sources(times_s: FloatArray, fps: Fraction, frames: int) -> np.ndarray:
    """Which source frame each clip frame shows: the last one whose time, rounded to the clip's grid, has come.

    This is what ffmpeg's ``fps`` filter does (``round=near``).

    Args:
        times_s: ``[source frames]``, ascending from 0.
        fps: the clip's rate.
        frames: clip frames.

    Returns:
        ``[frames]`` int64, indices into ``times_s``.
    """
    grid = np.floor(times_s * float(fps) + 0.5 + 1e-6)
    return np.searchsorted(grid, np.arange(frames), side="right") - 1

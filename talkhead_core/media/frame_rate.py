"""From the source's frames, however timed, to a clip with a constant rate."""

from __future__ import annotations

from fractions import Fraction
from math import ceil

import numpy as np

from talkhead_core.types import FloatArray

__all__ = ["clip_rate", "frame_sources", "kept_frames_per_clip_frame"]

_KEPT_FPS = (Fraction(23976, 1000), Fraction(30))
_DEFAULT_FPS = Fraction(25)
_MOST_FPS_OF_A_DUB = 60


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


def kept_frames_per_clip_frame(source_fps: Fraction, constant_rate: bool, fps: Fraction) -> int:
    """How many source frames a dub in whole frames can show for each of the clip's: 1 where the clip's rate is no whole part of a constant
    source rate up to 60.

    Args:
        source_fps: the source's own rate.
        constant_rate: whether every frame of it lies on the grid of that rate.
        fps: the clip's rate.
    """
    parts = source_fps / fps
    return int(parts) if constant_rate and parts.denominator == 1 and source_fps <= _MOST_FPS_OF_A_DUB else 1


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

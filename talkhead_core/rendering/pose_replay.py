"""Which recorded frames lend their pose, blinks and torso to a dub of any length."""

from __future__ import annotations

import numpy as np

__all__ = ["longest_shot", "mirrored_frames"]


def longest_shot(shots: list[tuple[int, int]], usable: np.ndarray) -> tuple[int, int]:
    """The half-open frame range without a cut that holds the longest run of usable frames.

    Args:
        shots: half-open ranges without a cut.
        usable: ``[N]`` bool, frames whose pose was tracked; an untracked frame inside a shot is an interpolated one and
            breaks no run unless five or more follow each other.
    """
    best = (0, 0)
    for start, end in shots:
        run_start, misses = start, 0
        for frame in range(start, end + 1):
            if frame < end and usable[frame]:
                misses = 0
                continue
            misses += 1
            if frame == end or misses >= 5:
                run_end = frame if frame == end else frame - misses + 1
                if run_end - run_start > best[1] - best[0]:
                    best = (run_start, run_end)
                run_start = frame + 1
    return best


def mirrored_frames(start: int, end: int, length: int) -> np.ndarray:
    """``length`` frame ids that play ``[start, end)`` forwards, then backwards, and so on.

    A turning frame is shown once, so the pose's speed passes through zero without a frozen pair of frames.
    """
    count = end - start
    if count == 1:
        return np.full(length, start)
    phase = np.arange(length) % (2 * count - 2)
    return start + np.where(phase < count, phase, 2 * count - 2 - phase)

"""Which recorded frames lend their pose, eyes and torso to a dub of any length.

A dub plays the recording's longest shot forwards, backwards, and so on. *Positions* are frame ids that may lie between two frames:
where the direction turns, playing slows down and picks up again, so that a head in motion does not bounce.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, islice
from typing import Literal

import numpy as np
from scipy.ndimage import uniform_filter1d

from talkhead_core.face.rotations import exp_so3, log_so3
from talkhead_core.parameters import require
from talkhead_core.types import FloatArray

__all__ = ["PoseReplayConfig", "finer_positions", "longest_shot", "poses_at", "replay_positions", "rows_at"]


@dataclass(frozen=True, kw_only=True)
class PoseReplayConfig:
    """How the recording is replayed.

    Args:
        path: ``mirror`` plays the shot to its end and back; ``walk`` turns at random places, so that an hour shows no period.
        turn_frames: over how many frames playing slows down before a turn, and picks up after it; even, 0 turns at once.
        smoothing_frames: odd; poses are means over so many positions (SyncTalk: 7), 1 leaves them alone. The recorded torso is not
            smoothed with them, so more than a few let the head slip on the neck.
        seed: of the walk.
    """

    path: Literal["mirror", "walk"] = "mirror"
    turn_frames: int = 8
    smoothing_frames: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        require(0 <= self.turn_frames <= 100 and self.turn_frames % 2 == 0, f"turn_frames must be even, 0 to 100, not {self.turn_frames}")
        odd = 1 <= self.smoothing_frames <= 51 and self.smoothing_frames % 2 == 1
        require(odd, f"smoothing_frames must be odd, 1 to 51, not {self.smoothing_frames}")


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


def replay_positions(start: int, end: int, length: int, config: PoseReplayConfig) -> FloatArray:
    """``length`` positions in ``[start, end - 1]`` that replay the frames ``[start, end)``, beginning with ``start``.

    Away from turns every position is a frame id and the next one is its neighbour.

    Args:
        start: first frame.
        end: one past the last.
        length: frames of the dub.
        config: how.

    Returns:
        ``[length]`` float64.
    """
    last = end - start - 1
    if last == 0:
        return np.full(length, float(start))
    turn = min(config.turn_frames, 2 * (last // 6))  # a leg of the walk is at least a third of the shot and holds two turns
    legs = chain.from_iterable(_leg(*ends, turn) for ends in _turning_points(last, max(turn, 1), config))
    steps = islice(chain([0.0], legs), length)
    return start + np.fromiter(steps, np.float64, length)


def finer_positions(rows: int, steps: int) -> FloatArray:
    """Where ``steps`` times as many rows lie among ``rows``, ``[steps * rows]``; the last ones stay at the last row."""
    return np.minimum(np.arange(steps * rows) / steps, rows - 1)


def rows_at(values: FloatArray, positions: FloatArray) -> FloatArray:
    """Rows of ``values [N, ...]`` at ``positions [M]``, between two frames their mix, ``[M, ...]``."""
    before = np.floor(positions).astype(int)
    after = np.minimum(before + 1, len(values) - 1)
    share = (positions - before).reshape(-1, *[1] * (values.ndim - 1))
    return ((1.0 - share) * values[before] + share * values[after]).astype(values.dtype)


def poses_at(
    rotation: FloatArray, translation_cm: FloatArray, positions: FloatArray, smoothing_frames: int = 1
) -> tuple[FloatArray, FloatArray]:
    """Rotations ``[M, 3, 3]`` and translations ``[M, 3]`` at ``positions [M]``; between two frames along the shortest turn.

    Args:
        rotation: ``[N, 3, 3]``.
        translation_cm: ``[N, 3]``.
        positions: of the replay.
        smoothing_frames: mean over so many of them, odd.
    """
    before = np.floor(positions).astype(int)
    after = np.minimum(before + 1, len(rotation) - 1)
    turn = log_so3(np.swapaxes(rotation[before], 1, 2) @ rotation[after])
    rotations = rotation[before] @ exp_so3(turn * (positions - before)[:, None])
    translations = rows_at(translation_cm, positions)
    if smoothing_frames > 1:
        mean = np.mean(rotations, axis=0)
        left, _, right = np.linalg.svd(mean)
        middle = left @ right  # the poses of one shot lie close around it, so their rotation vectors may be averaged
        around = uniform_filter1d(log_so3(middle.T @ rotations), smoothing_frames, axis=0, mode="nearest")
        rotations = middle @ exp_so3(around)
        translations = uniform_filter1d(translations, smoothing_frames, axis=0, mode="nearest")
    return rotations.astype(np.float32), translations.astype(np.float32)


def _turning_points(last: int, shortest: int, config: PoseReplayConfig) -> Iterator[tuple[int, int]]:
    """Legs ``(from, to)`` between turning points in ``[0, last]``, without end."""
    random, here = np.random.default_rng(config.seed), 0
    shortest = max(shortest, last // 3)
    while True:
        if config.path == "mirror":
            there = last - here
        else:
            there = int(random.choice([point for point in range(last + 1) if abs(point - here) >= shortest]))
        yield here, there
        here = there


def _leg(here: int, there: int, turn: int) -> Iterator[float]:
    """Positions after ``here`` up to ``there``: speed grows from 0 to 1 over ``turn`` frames, and falls again before the end."""
    distance, sign = abs(there - here), 1 if there > here else -1
    ramp = [frame * frame / (2 * turn) for frame in range(1, turn + 1)]
    for travelled in ramp:
        yield here + sign * travelled
    for travelled in range(turn // 2 + 1, distance - turn // 2 + 1):
        yield here + sign * travelled
    for left in ramp[-2::-1]:
        yield there - sign * left
    if turn:
        yield float(there)

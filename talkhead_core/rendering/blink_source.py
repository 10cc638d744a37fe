"""When a dubbed speaker blinks: as recorded, or at moments of its own.

A recording that is replayed for an hour blinks at the same places of every replay, and a short one perhaps never. Synthesised blinks
are the speaker's own, the mean of those recorded, at intervals drawn anew.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from talkhead_core.errors import InputError
from talkhead_core.face.expression import blinks
from talkhead_core.parameters import require
from talkhead_core.types import FloatArray

__all__ = ["BlinkConfig", "RecordedBlinks", "add_blinks", "blink_starts"]

_LIDS_MOVE_S = 0.12
"""How long lids take to close, and to open: what belongs to a blink before and after the eyes count as closed."""


@dataclass(frozen=True, kw_only=True)
class BlinkConfig:
    """Where blinks come from.

    Args:
        source: ``recorded``: the replayed frames' own; ``synthesised``: the speaker's mean blink at moments drawn anew.
        per_minute: how many are synthesised; 0: as many as the recording has.
        shortest_interval_s: least time between two of them.
        seed: of the moments.
    """

    source: Literal["recorded", "synthesised"] = "recorded"
    per_minute: float = 0.0
    shortest_interval_s: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        require(self.shortest_interval_s >= 0.5, f"shortest_interval_s must be at least 0.5, not {self.shortest_interval_s}")
        most = 60.0 / self.shortest_interval_s
        require(0.0 <= self.per_minute < most, f"per_minute must be 0 to {most:g}, not {self.per_minute}")


@dataclass(frozen=True, kw_only=True)
class RecordedBlinks:
    """A recording's blinks, taken out of its expression.

    Args:
        open_eyed: ``[N, E]``, the expression with every blink replaced by what lies on either side of it.
        course: ``[F, E]``, what the mean blink adds to it, from open to open.
        per_minute: how often the recording blinks.
    """

    open_eyed: FloatArray
    course: FloatArray
    per_minute: float

    @classmethod
    def of(cls, expression: FloatArray, eye_opening: FloatArray, fps: float) -> RecordedBlinks:
        """Find them.

        Args:
            expression: ``[N, E]`` of consecutive frames without a cut.
            eye_opening: ``[N, 2]`` aspect ratios of the same frames.
            fps: frames a second.

        Raises:
            InputError: the recording shows no whole blink.
        """
        around = max(1, round(_LIDS_MOVE_S * fps))
        half = max((end - start for start, end in blinks(eye_opening)), default=0) // 2 + around
        open_eyed, courses = expression.copy(), []
        for start, end in blinks(eye_opening):
            first, last = max(start - around - 1, 0), min(end + around, len(expression) - 1)
            share = np.linspace(0.0, 1.0, last - first + 1)[:, None]
            open_eyed[first : last + 1] = (1.0 - share) * expression[first] + share * expression[last]
            shut = start + int(np.argmin(eye_opening[start:end].mean(axis=1)))
            if shut >= half and shut + half < len(expression):
                courses.append((shut, slice(shut - half, shut + half + 1)))
        if not courses:
            raise InputError("the recording shows no whole blink to learn from; set dub.blinks.source to recorded")
        course = np.mean([expression[frames] - open_eyed[frames] for _, frames in courses], axis=0)
        per_minute = 60.0 * fps * len(blinks(eye_opening)) / len(expression)
        return cls(open_eyed=open_eyed.astype(np.float32), course=course.astype(np.float32), per_minute=per_minute)


def blink_starts(frames: int, fps: float, per_minute: float, config: BlinkConfig) -> np.ndarray:
    """Frames at which blinks begin: the shortest interval, then a wait of exponential length, again and again, ``[B]`` int.

    Args:
        frames: length of the dub.
        fps: frames a second.
        per_minute: how many are wanted.
        config: the shortest interval and the seed.
    """
    wait_s = 60.0 / per_minute - config.shortest_interval_s
    random = np.random.default_rng(config.seed)
    most = int(frames / fps / config.shortest_interval_s) + 1
    times_s = np.cumsum(config.shortest_interval_s + random.exponential(max(wait_s, 0.0), most))
    starts = np.round(times_s * fps).astype(int)
    return starts[starts < frames]


def add_blinks(open_eyed: FloatArray, course: FloatArray, starts: np.ndarray) -> FloatArray:
    """The expression ``[frames, E]`` with the blink ``course [F, E]`` begun at each of ``starts``; one at the end is cut off."""
    result = open_eyed.copy()
    for start in starts.tolist():
        part = result[start : start + len(course)]
        part += course[: len(part)]
    return result

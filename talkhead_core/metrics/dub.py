"""Whether a dub holds up where there is no recording to compare with: length, sound against mouth, stuck pictures."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np

from talkhead_core.metrics.lip_sync import mouth_opening
from talkhead_core.types import FloatArray, Image

__all__ = ["DubFigures", "change_per_frame", "dub_figures"]

_STUCK_LEVELS = 0.02
_SIDE_PX = 96


@dataclass(frozen=True, kw_only=True, eq=False)
class DubFigures:
    """What can be measured on a dub.

    Args:
        frames: of the video.
        video_s: its length.
        audio_s: the sound's length.
        opening: ``[frames]``, inner-lip distance over the face's height; NaN without a face.
        speaking: ``[frames]`` bool, where the sound is speech.
        frames_without_face: how many.
        longest_stuck: frames in the longest run of pictures that do not change at all.
        opening_in_speech: 90th percentile of the opening while somebody speaks; None without such frames.
        opening_in_silence: median of the opening while nobody does; None without such frames.
    """

    frames: int
    video_s: float
    audio_s: float
    opening: FloatArray
    speaking: np.ndarray
    frames_without_face: int
    longest_stuck: int
    opening_in_speech: float | None
    opening_in_silence: float | None


def change_per_frame(frames: Iterable[Image]) -> FloatArray:
    """``[frames]``: mean absolute change of a 96 px picture from the frame before, in 8-bit levels; the first is NaN."""
    changes, previous = [], None
    for frame in frames:
        small = cv2.resize(frame, (_SIDE_PX, _SIDE_PX), interpolation=cv2.INTER_AREA).astype(np.int16)
        changes.append(float("nan") if previous is None else float(np.abs(small - previous).mean()))
        previous = small
    return np.asarray(changes)


def dub_figures(points_px: FloatArray, change: FloatArray, speaking: np.ndarray, fps: float, audio_s: float) -> DubFigures:
    """Figures of a dub.

    Args:
        points_px: face mesh of each frame ``[frames, 468 or more, 2 or more]``, NaN rows without a face.
        change: what :func:`change_per_frame` returned.
        speaking: ``[frames]`` bool, where the sound is speech.
        fps: frames a second.
        audio_s: length of the sound.
    """
    opening = mouth_opening(points_px)
    found = np.isfinite(opening)
    spoken, silent = opening[found & speaking], opening[found & ~speaking]
    return DubFigures(
        frames=len(opening),
        video_s=len(opening) / fps,
        audio_s=audio_s,
        opening=opening,
        speaking=speaking,
        frames_without_face=int((~found).sum()),
        longest_stuck=_longest_run(change < _STUCK_LEVELS),
        opening_in_speech=float(np.percentile(spoken, 90)) if spoken.size else None,
        opening_in_silence=float(np.median(silent)) if silent.size else None,
    )


def _longest_run(flags: np.ndarray) -> int:
    longest = current = 0
    for flag in flags:
        current = current + 1 if flag else 0
        longest = max(longest, current)
    return longest

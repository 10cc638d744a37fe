"""By how many frames one video of a scene runs behind another.

Every frame is told by a small luma thumbnail without its mean over time and space: what is left is motion, which a render
shares with its reference whatever their size, sharpness and brightness.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np

from talkhead_core.types import FloatArray, Image

__all__ = ["TimeOffset", "estimate_offset", "motion_signature"]

_THUMBNAIL_PX = 24
_CERTAIN = 0.5


@dataclass(frozen=True, kw_only=True)
class TimeOffset:
    """How two videos lie in time.

    Args:
        frames: the rendered video's frame ``i + frames`` shows what the reference's frame ``i`` shows.
        correlation: of their motion at that offset, in [-1, 1].
        certain: whether the correlation is high enough to believe the offset.
    """

    frames: int
    correlation: float
    certain: bool


def motion_signature(frames: Iterable[Image]) -> FloatArray:
    """``[frames, 576]`` float32 from RGB frames ``[H, W, 3]`` uint8 of any size."""
    side = (_THUMBNAIL_PX, _THUMBNAIL_PX)
    luma = [cv2.resize(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), side, interpolation=cv2.INTER_AREA) for frame in frames]
    thumbnails = np.stack(luma).reshape(len(luma), -1).astype(np.float32)
    thumbnails -= thumbnails.mean(axis=1, keepdims=True)
    return np.asarray(thumbnails - thumbnails.mean(axis=0, keepdims=True))


def estimate_offset(reference: FloatArray, rendered: FloatArray, limit_frames: int) -> TimeOffset:
    """The offset within ``limit_frames`` at which the two signatures correlate best; 0 where nothing moves.

    Args:
        reference: what :func:`motion_signature` returned, at a common frame rate.
        rendered: as ``reference``.
        limit_frames: the largest offset looked for, either way.
    """
    shortest = min(len(reference), len(rendered))
    least_overlap = max(shortest // 2, min(shortest, 10))
    best = TimeOffset(frames=0, correlation=0.0, certain=False)
    for offset in sorted(range(-limit_frames, limit_frames + 1), key=abs):
        first, second = reference[max(0, -offset) :], rendered[max(0, offset) :]
        overlap = min(len(first), len(second))
        if overlap < least_overlap:
            continue
        first, second = first[:overlap], second[:overlap]
        scale = float(np.sqrt((first * first).sum() * (second * second).sum()))
        correlation = float((first * second).sum()) / scale if scale > 0 else 0.0
        if correlation > best.correlation + 1e-6:
            best = TimeOffset(frames=offset, correlation=correlation, certain=correlation >= _CERTAIN)
    return best

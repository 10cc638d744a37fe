"""The mouth is closed when nobody speaks."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import uniform_filter1d

from talkhead_core.types import FloatArray

__all__ = ["closed_mouth_codes", "fade_reach_frames", "gate_weight", "gated_codes"]


def closed_mouth_codes(lip_codes: FloatArray, opening_cm: FloatArray) -> FloatArray:
    """The speaker's own closed mouth: mean lip codes ``[L]`` of the tenth of the frames with the smallest opening.

    Args:
        lip_codes: ``[frames, L]`` of the training frames.
        opening_cm: ``[frames]``.
    """
    count = max(1, len(opening_cm) // 10)
    return np.asarray(lip_codes[np.argsort(opening_cm)[:count]].mean(axis=0), dtype=np.float32)


def gated_codes(lip_codes: FloatArray, speaking: np.ndarray, closed: FloatArray, fade_frames: int = 5) -> FloatArray:
    """Fade to the closed mouth where ``speaking [frames]`` is false, over ``fade_frames``.

    The gate opens before speech starts (lips part before they sound) and closes after it ends.
    """
    weight = gate_weight(speaking, fade_frames)[:, None]
    return (weight * lip_codes + (1.0 - weight) * closed).astype(np.float32)


def gate_weight(speaking: np.ndarray, fade_frames: int = 5) -> FloatArray:
    """How far the gate is open in each frame, ``[frames]``: 1 in speech, 0 farther from it than :func:`fade_reach_frames`."""
    if fade_frames < 1:
        return speaking.astype(np.float32)
    padded = np.convolve(speaking.astype(np.float32), np.ones(2 * (fade_frames // 2) + 1), mode="same") > 0
    # The filter sums as it goes along: what it leaves of an open gate in a shut one is rounding.
    return np.clip(np.round(uniform_filter1d(padded.astype(np.float64), fade_frames, mode="nearest"), 6), 0, 1).astype(np.float32)


def fade_reach_frames(fade_frames: int) -> int:
    """How many frames from speech the gate is still open."""
    return 2 * (fade_frames // 2)

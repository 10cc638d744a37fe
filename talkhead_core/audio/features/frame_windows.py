"""Cutting windows of spectral columns that are centred, to the sample, on the middle of each video frame.

Frame ``i`` is shown during ``[i / fps, (i + 1) / fps)``, so its middle is ``(i + 0.5) / fps``. Columns are placed
relative to that middle instead of on a grid of their own: at any frame rate the windows of all frames look alike, and
where the rate divides the columns' (25 into 100) neighbouring frames share them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction

import numpy as np

from talkhead_core.types import FloatArray

__all__ = ["BLOCK_FRAMES", "column_centres", "frame_windows", "gather_segments"]

BLOCK_FRAMES = 512
"""Frames worked on at once: 20 s at 25 fps, a few MB however long the audio is."""

Spectrum = Callable[[FloatArray], FloatArray]


def column_centres(frame_ids: np.ndarray, fps: Fraction, *, window: int, hop: int, sample_rate_hz: int) -> np.ndarray:
    """Sample index ``[frames, window]`` that each column of each frame's window is centred on; may lie outside the audio.

    Args:
        frame_ids: ``[frames]``.
        fps: the video's rate, exact.
        window: columns in a window.
        hop: samples between columns.
        sample_rate_hz: the audio's rate.
    """
    step = Fraction(sample_rate_hz) / Fraction(fps)
    numerator, denominator = step.numerator, 2 * step.denominator
    middles = (2 * frame_ids.astype(np.int64) + 1) * numerator // denominator
    offsets = (2 * np.arange(window, dtype=np.int64) - (window - 1)) * hop // 2
    return np.asarray(middles[:, None] + offsets[None, :])


def gather_segments(audio: FloatArray, centres: np.ndarray, length: int) -> FloatArray:
    """Segments ``[centres, length]`` around sample indices; silence lies before the first and after the last sample."""
    starts = centres - length // 2
    first, last = int(starts.min()), int(starts.max()) + length
    inside = audio[max(first, 0) : max(min(last, len(audio)), 0)]
    before = min(max(-first, 0), last - first)
    after = last - first - before - len(inside)
    padded = np.pad(np.asarray(inside, dtype=np.float32), (before, after))
    views = np.lib.stride_tricks.sliding_window_view(padded, length)
    return np.asarray(views[starts - first])


def frame_windows(
    audio: FloatArray,
    fps: Fraction,
    frames: int,
    spectrum: Spectrum,
    *,
    window: int,
    hop: int,
    segment: int,
    sample_rate_hz: int,
    first_frame: int = 0,
) -> Iterator[FloatArray]:
    """Yield blocks ``[<= 512, window, channels]`` of frame windows in order, in constant memory.

    Args:
        audio: mono ``[samples]``, sample 0 at the start of frame 0.
        fps: the video's rate, exact.
        frames: how many frames.
        spectrum: takes segments ``[columns, segment]`` to ``[columns, channels]``.
        window: columns in a window.
        hop: samples between columns.
        segment: samples that one column sees.
        sample_rate_hz: the audio's rate.
        first_frame: id of the first frame wanted.
    """
    for start in range(first_frame, first_frame + frames, BLOCK_FRAMES):
        ids = np.arange(start, min(start + BLOCK_FRAMES, first_frame + frames))
        centres = column_centres(ids, fps, window=window, hop=hop, sample_rate_hz=sample_rate_hz)
        unique, where = np.unique(centres, return_inverse=True)
        columns = spectrum(gather_segments(audio, unique, segment))
        yield columns[where.reshape(centres.shape)]

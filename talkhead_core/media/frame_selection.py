"""Some frames of one of talkhead's own videos, by frame id, without decoding all that come before."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Literal

import av
import numpy as np

from talkhead_core.errors import FootageError
from talkhead_core.media.container import open_video, video_stream
from talkhead_core.media.frame_pixels import gray_pixels, rgb_pixels

__all__ = ["read_selected_frames"]


def read_selected_frames(
    path: str | Path, frame_ids: Sequence[int], pixel_format: Literal["rgb24", "gray"] = "rgb24"
) -> Iterator[np.ndarray]:
    """Yield the frames with these ids, in ascending order, decoding from the last key frame before the first of them.

    Args:
        path: a constant-rate video that a stage wrote.
        frame_ids: ascending, without repeats.
        pixel_format: ``rgb24`` for ``[H, W, 3]``, ``gray`` for ``[H, W]``; uint8.

    Raises:
        FootageError: the video ends before the last of them.
    """
    assert all(first < second for first, second in zip(frame_ids, frame_ids[1:], strict=False)), "frame ids must ascend"
    wanted, found = set(frame_ids), 0
    pixels = rgb_pixels if pixel_format == "rgb24" else gray_pixels
    if not wanted:
        return
    for index, frame in _from(path, frame_ids[0]):
        if index in wanted:
            found += 1
            yield pixels(frame)
        if index >= frame_ids[-1]:
            break
    if found < len(wanted):
        missing = f"{len(wanted) - found} of the frames {frame_ids[0]} to {frame_ids[-1]} are missing"
        raise FootageError(path, missing, "run the stage that writes it again")


def _from(path: str | Path, first: int) -> Iterator[tuple[int, av.VideoFrame]]:
    """Frames with their ids, from ``first`` or earlier."""
    for seek in (True, False):
        with open_video(path) as container:
            stream = video_stream(container)
            assert stream is not None and stream.time_base is not None
            stream.thread_type = "AUTO"
            fps, start = Fraction(stream.average_rate or 25), stream.start_time or 0
            if seek:
                container.seek(start + round(first / fps / stream.time_base), stream=stream, backward=True)
            arrived = False
            for count, frame in enumerate(container.decode(stream)):
                index = count if not seek or frame.pts is None else round((frame.pts - start) * stream.time_base * fps)
                if seek and not arrived and (frame.pts is None or index > first):
                    break  # the container cannot seek to it: decode from the beginning
                arrived = True
                yield index, frame
            if arrived:
                return

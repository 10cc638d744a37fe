"""Decoding of talkhead's own videos, frame by frame, in constant memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from talkhead_core.errors import FootageError
from talkhead_core.media.container import open_video, video_stream
from talkhead_core.media.frame_pixels import gray_pixels, rgb_pixels
from talkhead_core.types import Image

__all__ = ["VideoInfo", "decoded_frames", "read_frames", "read_gray_frames", "video_info"]


@dataclass(frozen=True, kw_only=True)
class VideoInfo:
    """Size, rate and length of a constant-rate video that a stage wrote."""

    width: int
    height: int
    fps: Fraction
    frames: int


def video_info(path: str | Path) -> VideoInfo:
    """Read size, rate and the *counted* number of frames (packets, so nothing is decoded).

    Raises:
        FootageError: not a video, or cut short.
    """
    with open_video(path) as container:
        stream = video_stream(container)
        assert stream is not None
        try:
            frames = sum(1 for packet in container.demux(stream) if packet.size)
        except av.FFmpegError as error:
            raise FootageError(path, f"cannot be read to its end ({error.strerror or error})", "copy, export or make it again") from error
        rate = stream.average_rate or stream.base_rate
        return VideoInfo(width=stream.width, height=stream.height, fps=Fraction(rate or 25), frames=frames)


def read_frames(path: str | Path) -> Iterator[Image]:
    """Yield RGB frames ``[H, W, 3]`` uint8 in order; frame ``i`` of a stage's video has frame id ``i``."""
    yield from map(rgb_pixels, decoded_frames(path))


def read_gray_frames(path: str | Path) -> Iterator[np.ndarray]:
    """Yield single-channel frames ``[H, W]`` uint8: of a label or mask video as they are, of a clip its luma as 0 to 255."""
    yield from map(gray_pixels, decoded_frames(path))


def decoded_frames(path: str | Path) -> Iterator[av.VideoFrame]:
    """Yield the frames as they are stored, in order.

    Raises:
        FootageError: not a video, or a frame is damaged.
    """
    with open_video(path) as container:
        stream = video_stream(container)
        assert stream is not None
        stream.thread_type = "AUTO"
        frames, count = container.decode(stream), 0
        while True:
            try:
                frame = next(frames, None)
            except av.FFmpegError as error:
                problem = f"cannot be decoded ({error.strerror or error})"
                raise FootageError(path, problem, "copy, export or make it again", f"frame {count}") from error
            if frame is None:
                return
            yield frame
            count += 1

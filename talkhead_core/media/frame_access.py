"""Random access to the frames of a stage's video in constant memory."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Literal

import av
import cv2

from talkhead_core.errors import FootageError
from talkhead_core.media.container import open_video
from talkhead_core.media.frame_pixels import gray_pixels, rgb_pixels
from talkhead_core.types import Image

__all__ = ["FrameAccess"]


class FrameAccess:
    """Frames by id, forwards or backwards; the last decoded ones are kept.

    Args:
        path: a video that a stage wrote: constant rate, a key frame at least every second.
        kept_frames: how many; more than lie between two key frames, or going backwards decodes everything anew.
        pixels: ``rgb``, or ``gray`` for a video of masks or labels, whose frames are ``[H, W]``.
    """

    def __init__(self, path: str | Path, kept_frames: int = 96, pixels: Literal["rgb", "gray"] = "rgb") -> None:
        self._path = path
        self._kept_frames = kept_frames
        self._pixels = rgb_pixels if pixels == "rgb" else gray_pixels
        self._container = open_video(path)
        self._stream = self._container.streams.video[0]
        self._stream.thread_type = "AUTO"
        rate = self._stream.average_rate
        assert rate is not None and self._stream.time_base is not None
        self._ticks = 1 / (rate * self._stream.time_base)
        self._start = self._stream.start_time or 0
        self._kept: OrderedDict[int, Image] = OrderedDict()
        self._next: int | None = None
        self._decoder: Iterator[av.VideoFrame] = iter(())

    def __getitem__(self, frame_id: int) -> Image:
        """``[H, W, 3]`` (or ``[H, W]``) uint8 of one frame.

        Raises:
            FootageError: the video has no such frame.
        """
        if frame_id not in self._kept:
            self._decode_until(frame_id)
        self._kept.move_to_end(frame_id)
        return self._kept[frame_id]

    def at(self, position: float) -> Image:
        """The picture at a position that may lie between two frames: their mix."""
        before = int(position)
        share = position - before
        if share == 0:
            return self[before]
        first, second = self[before], self[before + 1]
        return cv2.addWeighted(first, 1.0 - share, second, share, 0.0)  # type: ignore[return-value]

    def _decode_until(self, frame_id: int) -> None:
        if self._next is None or not self._next <= frame_id < self._next + 50:
            self._container.seek(int(self._start + frame_id * self._ticks), stream=self._stream, backward=True)
            self._decoder = self._container.decode(self._stream)
        while True:
            try:
                frame = next(self._decoder, None)
            except av.FFmpegError as error:
                problem = f"cannot be decoded ({error.strerror or error})"
                raise FootageError(self._path, problem, "rerun the stage that writes it", f"frame {frame_id}") from error
            if frame is None:
                break
            assert frame.pts is not None
            index = round(float((frame.pts - self._start) / self._ticks))
            self._next = index + 1
            self._kept[index] = self._pixels(frame)
            while len(self._kept) > self._kept_frames:
                self._kept.popitem(last=False)
            if index >= frame_id:
                break
        if frame_id not in self._kept:
            raise FootageError(self._path, "ends early", "rerun the stage that writes it", f"frame {frame_id}")

    def __enter__(self) -> FrameAccess:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._container.close()

"""Encoding of videos frame by frame, in constant memory, whole or not at all."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Literal

import av
import numpy as np

from talkhead_core.artifacts import whole_file
from talkhead_core.media.frame_pixels import bt709_frame

__all__ = ["Encoding", "VideoWriter"]

Encoding = Literal["near_lossless", "lossless_rgb", "lossless_gray", "delivery"]

# codec, pixel format of the file, pixel format of the frames, codec options
_SETTINGS: dict[str, tuple[str, str, str, dict[str, str]]] = {
    "near_lossless": ("libx264", "yuv420p", "rgb24", {"crf": "6", "preset": "veryfast", "coder": "0", "g": "25"}),
    "lossless_rgb": ("ffv1", "bgr0", "rgb24", {"level": "3", "g": "1"}),
    "lossless_gray": ("ffv1", "gray", "gray", {"level": "3", "g": "1"}),
    "delivery": ("libx264", "yuv420p", "rgb24", {"crf": "17", "preset": "medium", "movflags": "+faststart"}),
}

_BITEXACT = 0x400  # AVFMT_FLAG_BITEXACT: Matroska draws random identifiers otherwise, and equal runs differ


class VideoWriter:
    """Write frames to ``path``; the file appears only when the ``with`` block ends well.

    Args:
        path: ``.mkv`` or ``.mp4``.
        width: pixels; even for the H.264 encodings.
        height: pixels; even for the H.264 encodings.
        fps: frames a second, exact.
        encoding: what the video is for.
    """

    def __init__(self, path: str | Path, *, width: int, height: int, fps: Fraction, encoding: Encoding) -> None:
        codec, stored, given, options = _SETTINGS[encoding]
        if stored == "yuv420p":
            assert width % 2 == 0 and height % 2 == 0, f"H.264 needs an even size, not {width}x{height}"
        self._given = given
        self._whole = whole_file(path)
        self._container = av.open(str(self._whole.__enter__()), "w")
        self._container.flags |= _BITEXACT
        stream = self._container.add_stream(codec, rate=fps, options=options)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = width, height, stored
        self._time_base = 1 / Fraction(fps)  # the stream's own changes once the container's header is written
        stream.time_base = self._time_base
        if stored == "yuv420p":
            stream.color_range, stream.colorspace = 1, 1  # limited range, BT.709
            stream.color_primaries, stream.color_trc = 1, 1
        self._stream, self._count = stream, 0

    def write(self, frame: np.ndarray | av.VideoFrame) -> None:
        """Append one frame: RGB ``[H, W, 3]`` or, for ``lossless_gray``, ``[H, W]``; uint8.

        A decoded frame that ``is_bt709`` goes as it is into the H.264 encodings.
        """
        if isinstance(frame, av.VideoFrame):
            picture = frame
            picture.pict_type = 0  # else the encoder would repeat the key frames of the video it comes from
        else:
            frame = np.ascontiguousarray(frame)
            ours = self._stream.pix_fmt == "yuv420p"
            picture = bt709_frame(frame) if ours else av.VideoFrame.from_ndarray(frame, format=self._given)
        picture.pts, picture.time_base = self._count, self._time_base
        self._count += 1
        self._container.mux(self._stream.encode(picture))

    def __enter__(self) -> VideoWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            if kind is None:
                self._container.mux(self._stream.encode(None))
            self._container.close()
        except BaseException as failure:
            self._whole.__exit__(type(failure), failure, failure.__traceback__)
            raise
        self._whole.__exit__(kind, error, trace)

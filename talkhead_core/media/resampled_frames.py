"""The frames of any video at a given size and constant rate: upright, square pixels, RGB, in constant memory."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

import ffmpeg
import numpy as np

from talkhead_core.errors import FootageError
from talkhead_core.media.ffmpeg_binary import ffmpeg_path
from talkhead_core.media.probe import VideoProbe
from talkhead_core.media.transcode import shown_frames
from talkhead_core.types import Image

__all__ = ["resampled_frames"]


def resampled_frames(probe: VideoProbe, width: int, height: int, fps: Fraction) -> Iterator[Image]:
    """Yield RGB frames ``[height, width, 3]`` uint8; frame ``i`` is what is on show at ``i / fps`` seconds.

    Args:
        probe: the video.
        width: px; area interpolation where it shrinks.
        height: px.
        fps: frames a second of what is yielded.

    Raises:
        FootageError: ffmpeg could not decode the file to its end.
    """
    video = shown_frames(probe)
    if not (probe.constant_rate and fps == probe.fps):
        video = video.filter("fps", fps=str(fps), round="near")
    shrinks = width < probe.width
    video = video.filter(
        "scale",
        width,
        height,
        flags=("area" if shrinks else "bicubic") + "+accurate_rnd+full_chroma_int",
        in_color_matrix=probe.colour_matrix,
        in_range="pc" if probe.full_range else "tv",
    )
    output = ffmpeg.output(video, "pipe:", format="rawvideo", pix_fmt="rgb24", fps_mode="passthrough", loglevel="error")
    process = ffmpeg.run_async(output, cmd=[ffmpeg_path(), "-nostdin"], pipe_stdout=True, pipe_stderr=True)
    size = width * height * 3
    try:
        while len(chunk := process.stdout.read(size)) == size:
            yield np.frombuffer(chunk, np.uint8).reshape(height, width, 3)
        complaint = process.stderr.read().decode(errors="replace").strip().splitlines()
        if process.wait() or chunk:
            reason = complaint[-1] if complaint else "ffmpeg stopped without a message"
            raise FootageError(probe.path, f"cannot be decoded to its end ({reason})", "check that the file plays")
    finally:
        process.kill()
        process.stdout.close()
        process.stderr.close()
        process.wait()

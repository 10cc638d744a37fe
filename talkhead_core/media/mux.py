"""Joining a picture and a sound into one file for people to watch."""

from __future__ import annotations

from pathlib import Path

import ffmpeg

from talkhead_core.artifacts import whole_file
from talkhead_core.media.ffmpeg_binary import run_graph

__all__ = ["mux"]


def mux(video: str | Path, audio: str | Path, out: str | Path, *, start_s: float = 0.0, duration_s: float | None = None) -> None:
    """Write an MP4 with the video's pictures as they are and the audio as AAC, whole.

    Args:
        video: its first video stream is copied, not encoded again.
        audio: any sound or video file with sound.
        out: ``.mp4``.
        start_s: where in the audio to begin.
        duration_s: how much of the audio to take; all of it when None.

    Raises:
        FootageError: ffmpeg cannot read the audio.
    """
    trim = {"ss": start_s} | ({"t": duration_s} if duration_s is not None else {})
    sound = ffmpeg.input(_file(audio), **trim).audio
    picture = ffmpeg.input(_file(video)).video
    with whole_file(out) as temporary:
        run_graph(
            ffmpeg.output(
                picture,
                sound,
                _file(temporary),
                vcodec="copy",
                acodec="aac",
                audio_bitrate="192k",
                ac=2,
                ar=48000,
                movflags="+faststart",
                format="mp4",
            ),
            audio,
        )


def _file(path: str | Path) -> str:
    """A name that ffmpeg takes for a file, whatever characters it holds."""
    return f"file:{path}"

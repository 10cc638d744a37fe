"""The ffmpeg program that comes inside a wheel, and how its failures are reported."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import ffmpeg
import imageio_ffmpeg

from talkhead_core.errors import FootageError

__all__ = ["ffmpeg_path", "run_graph"]


@cache
def ffmpeg_path() -> str:
    """Path of the ffmpeg binary that imageio-ffmpeg carries, so that nothing has to be installed by hand."""
    return str(imageio_ffmpeg.get_ffmpeg_exe())


def run_graph(graph: object, source: str | Path) -> None:
    """Run an ffmpeg-python graph to its end.

    Args:
        graph: what ``ffmpeg.output(...)`` returned.
        source: the input file, for the error message.

    Raises:
        FootageError: ffmpeg failed; the message holds its last line.
    """
    try:
        ffmpeg.run(graph, cmd=[ffmpeg_path(), "-nostdin"], capture_stdout=True, capture_stderr=True, overwrite_output=True)
    except ffmpeg.Error as error:
        lines = (error.stderr or b"").decode(errors="replace").strip().splitlines()
        last = lines[-1] if lines else "ffmpeg stopped without a message"
        raise FootageError(source, f"ffmpeg could not convert it ({last})", "check that the file plays to its end") from error

"""Files that a Matroska video carries beside its picture and sound."""

from __future__ import annotations

from pathlib import Path

from talkhead_core.media.container import open_video

__all__ = ["attached_file"]


def attached_file(path: str | Path, name: str) -> bytes | None:
    """The content of the attachment called ``name``; None where the video carries none of that name.

    Raises:
        FootageError: not a video.
    """
    with open_video(path) as container:
        for stream in container.streams.attachments:
            if stream.name == name:
                return bytes(stream.data or b"")
    return None

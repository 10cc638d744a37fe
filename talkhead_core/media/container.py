"""Opening of media files through libav: local files only, whatever their names."""

from __future__ import annotations

from pathlib import Path

import av

from talkhead_core.errors import FootageError

__all__ = ["audio_stream", "media_url", "open_container", "open_video", "video_stream"]

_ADVICE = "give a video file such as .mp4 or .mov"


def media_url(path: str | Path) -> str:
    """``path`` so that libav takes it for a file: a name such as ``-a.mp4`` or ``take:2.mp4`` is no option and no protocol."""
    return f"file:{Path(path).absolute()}"


def open_container(path: str | Path, *, advice: str = _ADVICE) -> av.container.InputContainer:
    """Open any media file for reading; playlists in it cannot reach the network.

    Raises:
        FootageError: no such file, an empty one, or nothing that libav knows.
    """
    file = Path(path)
    if not file.is_file():
        raise FootageError(path, "is no file" if file.exists() else "does not exist", advice)
    if file.stat().st_size == 0:
        raise FootageError(path, "is empty (zero bytes)", advice)
    try:
        return av.open(media_url(path), options={"protocol_whitelist": "file"}, metadata_errors="replace")
    except (av.FFmpegError, OSError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        problem = f"cannot be opened as video or sound ({reason}): not a media file, or cut off before its index was written"
        raise FootageError(path, problem, advice) from error


def open_video(path: str | Path) -> av.container.InputContainer:
    """Open a media file that must have a moving picture.

    Raises:
        FootageError: as :func:`open_container`, or no video stream (a cover picture is none).
    """
    container = open_container(path)
    if video_stream(container) is None:
        container.close()
        raise FootageError(path, "holds no video stream", _ADVICE)
    return container


def video_stream(container: av.container.InputContainer) -> av.VideoStream | None:
    """The first moving picture that can be decoded, skipping cover art."""
    for stream in container.streams.video:
        if stream.codec_context is not None and not stream.disposition & stream.disposition.attached_pic:
            return stream
    return None


def audio_stream(container: av.container.InputContainer) -> av.AudioStream | None:
    """The first sound that can be decoded."""
    return next((stream for stream in container.streams.audio if stream.codec_context is not None), None)

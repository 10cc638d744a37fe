"""Files that a Matroska video carries beside its picture and sound."""

from __future__ import annotations

from pathlib import Path

import av

from talkhead_core.artifacts import whole_file
from talkhead_core.errors import FootageError
from talkhead_core.media.container import open_video
from talkhead_core.media.probe import probe_video

__all__ = ["attached_file", "write_with_attachment"]

_BITEXACT = 0x400  # AVFMT_FLAG_BITEXACT: the same video and attachment give the same file


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


def write_with_attachment(video: str | Path, out: Path, name: str, content: bytes) -> None:
    """Write the picture and sound of ``video``, as they are compressed, as a Matroska file that also carries ``content``.

    Raises:
        FootageError: not a video, or one that Matroska cannot hold as it is.
    """
    advice = "convert it first: 'ffmpeg -i VIDEO -c:v libx264 -crf 12 -c:a flac upright.mkv'"
    before = probe_video(video)
    try:
        with open_video(video) as source, whole_file(out) as temporary, av.open(str(temporary), "w", format="matroska") as target:
            target.flags |= _BITEXACT
            kept = {stream.index: target.add_stream_from_template(stream) for stream in (*source.streams.video, *source.streams.audio)}
            target.add_attachment(name, "application/octet-stream", content)
            for packet in source.demux([source.streams[index] for index in kept]):
                if packet.dts is not None:
                    packet.stream = kept[packet.stream.index]
                    target.mux(packet)
    except (av.FFmpegError, ValueError) as error:
        raise FootageError(video, f"cannot be copied into Matroska ({error})", advice) from error
    after = probe_video(out)
    shown = [(probe.width, probe.height, probe.rotation_deg, len(probe.timestamps_s)) for probe in (before, after)]
    if shown[0] != shown[1]:
        out.unlink()
        raise FootageError(video, f"changes when it is copied into Matroska (from {shown[0]} to {shown[1]})", advice)

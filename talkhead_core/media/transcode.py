"""The source as it should look (upright, square pixels, progressive, 8-bit BT.709) and the clip cut from it."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import ffmpeg

from talkhead_core.artifacts import whole_file
from talkhead_core.media.container import media_url
from talkhead_core.media.ffmpeg_binary import run_graph
from talkhead_core.media.probe import VideoProbe
from talkhead_core.media.square_crop import SquareCrop

__all__ = ["shown_frames", "write_clip", "write_full_frame"]

_TURNS = {90: ["clock"], 180: ["clock", "clock"], 270: ["cclock"]}
_ZIMG_MATRIX = {"bt601": "170m", "bt709": "709", "bt2020": "2020_ncl"}
_MOST_LARGE_FRAMES_A_GROUP = 30  # played backwards, a group is held in memory
_CHROMA_IN_FOURS = ("yuv410p", "yuv411p", "yuvj411p")  # DV: zimg and even crops cannot cut it
_BT709 = {"colorspace": "bt709", "color_primaries": "bt709", "color_trc": "bt709"}


def write_clip(probe: VideoProbe, crop: SquareCrop, path: str | Path, *, size_px: int, fps: Fraction, crf: int, preset: str) -> None:
    """Cut, scale and time the source into ``path``: H.264, ``yuv420p``, BT.709, one key frame a second; whole or not at all.

    Args:
        probe: the source.
        crop: in pixels of the source as shown; even ``x``, ``y`` and ``size`` keep the chroma where it is.
        path: the clip, ``.mkv``.
        size_px: the clip's width and height, even.
        fps: the clip's rate; the source's own constant rate keeps every frame, any other picks the frame on show.
        crf: x264 quality; 6 is within 1 to 2 levels of the source.
        preset: x264 speed.

    Raises:
        FootageError: ffmpeg could not convert the file.
    """
    video = _timed(probe, fps).filter("crop", crop.size, crop.size, crop.x, crop.y, exact=1)
    _encode(_to_bt709(video, probe, size_px, size_px), probe, path, fps=fps, crf=crf, preset=preset, group=round(fps))


def write_full_frame(probe: VideoProbe, path: str | Path, *, fps: Fraction, crf: int = 8, preset: str = "veryfast") -> None:
    """The uncropped companion of a clip, for pasting back: frame ``i`` shows the same moment in the same colours.

    The source's size as shown, less one column or row where it is odd, which H.264 cannot hold. Arguments and errors as
    :func:`write_clip`.
    """
    width, height = probe.width // 2 * 2, probe.height // 2 * 2
    video = _timed(probe, fps).filter("crop", width, height, 0, 0, exact=1)
    group = min(round(fps), _MOST_LARGE_FRAMES_A_GROUP)
    _encode(_to_bt709(video, probe, width, height), probe, path, fps=fps, crf=crf, preset=preset, group=group)


def _timed(probe: VideoProbe, fps: Fraction) -> Any:
    video = shown_frames(probe)
    return video if probe.constant_rate and fps == probe.fps else video.filter("fps", fps=str(fps), round="near")


def _encode(video: Any, probe: VideoProbe, path: str | Path, *, fps: Fraction, crf: int, preset: str, group: int) -> None:
    with whole_file(path) as temporary:
        output = ffmpeg.output(
            video.filter("setpts", f"N/({fps})/TB"),
            str(temporary),
            vcodec="libx264",
            preset=preset,
            crf=crf,
            coder=0,  # CAVLC: a twentieth larger than CABAC, and read by every stage in two thirds of the time
            g=group,
            pix_fmt="yuv420p",
            color_range="tv",
            r=str(fps),
            fps_mode="cfr",
            format="matroska",
            map_metadata=-1,
            fflags="+bitexact",  # or Matroska draws random identifiers, and equal runs differ
            **_BT709,
        )
        run_graph(output, probe.path)


def shown_frames(probe: VideoProbe) -> Any:
    """The ffmpeg-python stream of the source's frames from time 0: progressive, upright, square pixels; colours untouched."""
    # Turned by our own filters, after deinterlacing: fields are rows only in the stored picture.
    video = ffmpeg.input(media_url(probe.path), noautorotate=None, protocol_whitelist="file,pipe").video
    video = video.filter("setpts", "PTS-STARTPTS")
    if probe.interlaced:
        video = video.filter("bwdif", mode="send_frame")
    for direction in _TURNS.get(probe.rotation_deg, []):
        video = video.filter("transpose", direction)
    if probe.pixel_aspect != 1:
        video = video.filter("scale", probe.width, probe.height, flags="lanczos").filter("setsar", 1)
    return video


def _to_bt709(video: Any, probe: VideoProbe, width: int, height: int) -> Any:
    given: dict[str, str] = {}
    # zimg rounds to nearest; swscale's matrix change is off by more than a level on average.
    if probe.transfer != "sdr" or probe.colour_matrix == "bt2020":
        video = _tone_mapped(video, probe)
    elif probe.colour_matrix == "rgb":
        video = video.filter("format", "gbrp")
    else:
        video = video.filter("format", "yuv444p") if probe.pixel_format in _CHROMA_IN_FOURS else video
        given = {"min": _ZIMG_MATRIX[probe.colour_matrix], "rin": "full" if probe.full_range else "limited"}
    video = video.filter("zscale", width, height, filter="lanczos", m="709", r="limited", **given)
    tags = {"range": "tv", "colorspace": "bt709", "color_primaries": "bt709", "color_trc": "bt709"}
    return video.filter("format", "yuv420p").filter("setparams", **tags).filter("setsar", 1)


def _tone_mapped(video: Any, probe: VideoProbe) -> Any:
    """Wide gamut and HDR to BT.709; 203 cd/m2 is diffuse white (ITU-R BT.2408)."""
    given = {
        "tin": {"pq": "smpte2084", "hlg": "arib-std-b67", "sdr": "709"}[probe.transfer],
        "min": _ZIMG_MATRIX[probe.colour_matrix],
        "pin": "2020" if probe.colour_matrix == "bt2020" else "709",
        "rin": "full" if probe.full_range else "limited",
    }
    video = video.filter("zscale", t="linear", npl=203, **given).filter("format", "gbrpf32le").filter("zscale", p="709")
    if probe.transfer != "sdr":
        video = video.filter("tonemap", "mobius", param=0.8, desat=0)  # linear up to 0.8 of white, then a shoulder
    return video.filter("zscale", t="709", m="709", r="limited").filter("format", "yuv420p")

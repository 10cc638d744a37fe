"""What a video file from the world is: size, rotation, real timestamps, colour, and whether all of it is there."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Literal

import av
import numpy as np

from talkhead_core.errors import FootageError
from talkhead_core.media.container import audio_stream, open_video, video_stream
from talkhead_core.types import FloatArray

__all__ = ["AudioTrack", "VideoProbe", "probe_video"]

Transfer = Literal["sdr", "pq", "hlg"]

_COMMON_RATES = [Fraction(n) for n in (10, 12, 15, 20, 24, 25, 30, 48, 50, 60, 90, 100, 120, 240)] + [
    Fraction(n * 1000, 1001) for n in (15, 24, 30, 48, 60, 120)
]
_TRANSFERS: dict[int, Transfer] = {16: "pq", 18: "hlg"}  # ITU-T H.273 transfer characteristics
_MATRICES = {1: "bt709", 5: "bt601", 6: "bt601", 9: "bt2020", 10: "bt2020"}  # ITU-T H.273 matrix coefficients

_MISSING_S = 0.3  # headers round, and audio and video rarely end together
_MISSING_SHARE = 0.01
_OFF_GRID = 0.3  # share of a frame's duration
_STEADY_SHARE = 0.9
_MOST_PIXELS = 8192 * 8192  # decoded, a frame of these takes 400 MiB


@dataclass(frozen=True, kw_only=True)
class AudioTrack:
    """The first audio track of a file."""

    channels: int
    sample_rate_hz: int
    codec: str


@dataclass(frozen=True, kw_only=True, eq=False)
class VideoProbe:
    """A source video as it is stored and as it is shown.

    Args:
        path: the file.
        width: as shown, px: upright and with square pixels.
        height: as shown, px.
        rotation_deg: the clockwise turn that makes the stored picture upright: 0, 90, 180 or 270.
        pixel_aspect: width of a stored pixel over its height.
        fps: the constant rate, or the mean rate where it varies.
        constant_rate: every frame lies on the grid of ``fps``.
        timestamps_s: ``[frames]``, when each frame is shown, in seconds after the first.
        start_s: the first frame's time on the file's own clock, which its audio shares.
        interlaced: stored as two fields.
        bits: bits a sample.
        transfer: ``sdr``, ``pq`` or ``hlg`` (HDR).
        pixel_format: libav's name of the stored format.
        colour_matrix: ``bt601``, ``bt709``, ``bt2020`` or ``rgb``; guessed from the size where the file does not say.
        full_range: luma uses 0 to 255.
        audio: the first audio track, if any.
    """

    path: Path
    width: int
    height: int
    rotation_deg: int
    pixel_aspect: Fraction
    fps: Fraction
    constant_rate: bool
    timestamps_s: FloatArray
    start_s: float
    interlaced: bool
    bits: int
    transfer: Transfer
    pixel_format: str
    colour_matrix: str
    full_range: bool
    audio: AudioTrack | None

    @property
    def frames(self) -> int:
        """Counted frames, not what the header claims."""
        return len(self.timestamps_s)

    @property
    def duration_s(self) -> float:
        """From the first frame's start to the last frame's end."""
        return float(self.timestamps_s[-1] + 1 / self.fps)


def probe_video(path: str | Path) -> VideoProbe:
    """Read every packet's time (fast) and decode the first frames only.

    Raises:
        FootageError: not a video, a still image, or the file ends before its header says.
    """
    with open_video(path) as container:
        stream = video_stream(container)
        assert stream is not None
        if stream.width * stream.height > _MOST_PIXELS:
            raise FootageError(path, f"has pictures of {stream.width} x {stream.height} px", "scale it to 4K or less")
        packets = _read_packets(container, stream)
        times = np.sort(np.asarray(packets.shown_s, dtype=np.float64))
        _check_whole(path, container, stream, packets)
    if len(times) < 2:
        raise FootageError(path, f"holds {len(times)} picture(s), not a moving one", "give a video of a person speaking")
    with open_video(path) as container:
        stream = video_stream(container)
        assert stream is not None
        return _described(path, container, stream, np.unique(times))


def _described(path: str | Path, container: av.container.InputContainer, stream: av.VideoStream, times: FloatArray) -> VideoProbe:
    first = _first_frames(path, container, stream)
    codec = stream.codec_context
    fps, constant = _rate(times - times[0], stream.average_rate)
    rotation = round(-first[0].rotation / 90) * 90 % 360
    aspect = Fraction(stream.sample_aspect_ratio or 1) or Fraction(1)
    shown = (round(codec.width * aspect), codec.height)
    width, height = shown if rotation % 180 == 0 else shown[::-1]
    rgb = first[0].format.is_rgb or first[0].format.has_palette
    sound = audio_stream(container)
    return VideoProbe(
        path=Path(path),
        width=width,
        height=height,
        rotation_deg=rotation,
        pixel_aspect=aspect,
        fps=fps,
        constant_rate=constant,
        timestamps_s=times - times[0],
        start_s=float(times[0]),
        interlaced=any(frame.interlaced_frame for frame in first),
        bits=max(component.bits for component in first[0].format.components),
        transfer=_TRANSFERS.get(int(codec.color_trc or 0), "sdr"),
        pixel_format=first[0].format.name,
        colour_matrix="rgb" if rgb else _MATRICES.get(int(codec.colorspace or 0), "bt709" if min(width, height) >= 720 else "bt601"),
        full_range=int(codec.color_range or 0) == 2 or first[0].format.name.startswith("yuvj"),
        audio=None if sound is None else AudioTrack(channels=sound.channels, sample_rate_hz=sound.sample_rate, codec=sound.codec.name),
    )


@dataclass
class _Packets:
    """What the packets say, before anything is decoded."""

    shown_s: list[float] = field(default_factory=list)  # times of frames that are shown
    frames: int = 0  # also those that an edit list hides
    end_s: float = 0.0  # of the last packet of any stream
    video_end_s: float = 0.0
    complaint: str | None = None


def _read_packets(container: av.container.InputContainer, stream: av.VideoStream) -> _Packets:
    packets = _Packets()
    try:
        for packet in container.demux():
            stamp = packet.dts if packet.pts is None else packet.pts
            if not packet.size or packet.time_base is None:
                continue
            duration = packet.duration or 0
            stamp = packets.frames * duration if stamp is None else stamp
            packets.end_s = max(packets.end_s, float((stamp + duration) * packet.time_base))
            if packet.stream is stream:
                packets.frames += 1
                packets.video_end_s = max(packets.video_end_s, float((stamp + duration) * packet.time_base))
                if not packet.is_discard:
                    packets.shown_s.append(float(stamp * packet.time_base))
    except av.FFmpegError as error:
        packets.complaint = error.strerror or str(error)
    return packets


def _check_whole(path: str | Path, container: av.container.InputContainer, stream: av.VideoStream, packets: _Packets) -> None:
    """A cut-off file decodes without an error, so compare what is there with what the header promises."""
    promised_s = (container.duration or 0) / av.time_base + max((container.start_time or 0) / av.time_base, 0.0)
    missing_s = promised_s - packets.end_s
    if stream.duration and stream.time_base:
        promised_video_s = float(((stream.start_time or 0) + stream.duration) * stream.time_base)
        missing_s = max(missing_s, promised_video_s - packets.video_end_s)
    missing_frames = stream.frames - packets.frames if stream.frames else 0
    cut_off = missing_s > max(_MISSING_S, _MISSING_SHARE * promised_s) or missing_frames > max(3, _MISSING_SHARE * stream.frames)
    if packets.complaint or cut_off:
        held = f"its header promises {promised_s:.2f} s, it holds {packets.end_s:.2f} s and {packets.frames} frames"
        reason = f" ({packets.complaint})" if packets.complaint else ""
        where = f"{packets.end_s:.2f} s"
        raise FootageError(path, f"is cut off or damaged: {held}{reason}", "copy or export the file again", where)


def _first_frames(path: str | Path, container: av.container.InputContainer, stream: av.VideoStream) -> list[av.VideoFrame]:
    try:
        frames = list(islice(container.decode(stream), 3))
    except av.FFmpegError as error:
        raise FootageError(path, f"its first frame cannot be decoded ({error.strerror or error})", "export it as H.264 .mp4") from error
    if not frames:
        raise FootageError(path, "holds no frame that can be decoded", "export it as H.264 .mp4")
    return frames


def _rate(times_s: FloatArray, claimed: Fraction | None) -> tuple[Fraction, bool]:
    """The rate on whose grid the frames lie, and whether all of them do; otherwise the mean rate."""
    index = np.arange(len(times_s))
    mean = (len(times_s) - 1) / times_s[-1]
    typical = 1 / float(np.median(np.diff(times_s)))
    near_mean = sorted(_COMMON_RATES, key=lambda rate: abs(float(rate) / mean - 1))[:2]
    told = [Fraction(claimed)] if claimed else []
    # Matroska's milliseconds do not tell 29.97 from 30 in a short video; its header does.
    for rate in [*(rate for rate in told if rate in near_mean), *near_mean, *told]:
        if np.abs(times_s * float(rate) - index).max() < _OFF_GRID:
            return rate, True
    # A few missing frames, or a phone's jitter around a steady rate.
    steady = min(_COMMON_RATES, key=lambda rate: abs(float(rate) / typical - 1))
    if np.mean(np.abs(np.diff(times_s) * float(steady) - 1) < _OFF_GRID) > _STEADY_SHARE:
        return steady, False
    return Fraction(mean).limit_denominator(1001), False

"""Recording and render side by side in one MP4, so that no player can let them drift apart.

The page's script shows either half, both, or their difference on a canvas; without the script the video plays as it is.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction

import av
import cv2
import numpy as np

from talkhead_core.media.frame_pixels import bt709_frame
from talkhead_core.provenance.video_label import VideoLabel
from talkhead_core.provenance.watermark import Watermark
from talkhead_core.types import FloatArray, Image

__all__ = ["ComparisonVideo", "Pairs", "as_uri", "encode_comparisons", "encode_side_by_side", "first_frame"]

Pairs = Callable[[], Iterator[tuple[Image, Image]]]
"""Opens a video's frames anew: pairs of recording and render, RGB ``[H, W, 3]`` uint8 of one size."""

_QUALITIES_CRF = (20, 24, 28, 32, 36)


@dataclass(frozen=True, kw_only=True)
class ComparisonVideo:
    """One embedded video.

    Args:
        protocol: what it shows.
        title: the protocol as a person calls it.
        says: the protocol in a sentence.
        uri: ``data:video/mp4;base64,...``; left half recording, right half render.
        poster: its first frame, ``data:image/jpeg;base64,...``: phones show nothing else before it plays.
        width: of one half, px.
        height: px.
        fps: frames a second.
        frames: how many it holds.
        left: what the left half shows.
        right: what the right half shows.
    """

    protocol: str
    title: str
    says: str
    uri: str
    poster: str
    width: int
    height: int
    fps: float
    frames: int
    left: str = "recording"
    right: str = "render"


def encode_comparisons(
    videos: dict[str, Pairs],
    fps: Fraction,
    audio: FloatArray | None,
    sample_rate_hz: int,
    budget_bytes: int,
    label: VideoLabel | None = None,
) -> dict[str, tuple[bytes, tuple[int, int], int]]:
    """Encode all videos at the best quality at which they fit together; the last are left out when the coarsest does not.

    Args:
        videos: name -> its frames, the most important first.
        fps: frames a second.
        audio: mono float ``[samples]`` that starts with the first frame, or None.
        sample_rate_hz: of ``audio``.
        budget_bytes: for all MP4 files together.
        label: the credentials and the mark that each gets.

    Returns:
        Name -> MP4, (width, height) of one half, and number of frames.
    """
    names = list(videos)
    while names:
        for crf in _QUALITIES_CRF:
            encoded = {name: encode_side_by_side(videos[name](), fps, audio, sample_rate_hz, crf, label) for name in names}
            if sum(len(data) for data, _, _ in encoded.values()) <= budget_bytes:
                return encoded
        names.pop()
    return {}


def encode_side_by_side(
    pairs: Iterator[tuple[Image, Image]],
    fps: Fraction,
    audio: FloatArray | None,
    sample_rate_hz: int,
    crf: int,
    label: VideoLabel | None = None,
) -> tuple[bytes, tuple[int, int], int]:
    """One MP4 (H.264, AAC) in memory: recording on the left, render on the right.

    Returns:
        The file, (width, height) of one half, and the number of frames.
    """
    buffer, count, half = io.BytesIO(), 0, (0, 0)
    with av.open(buffer, "w", format="mp4") as container:
        video: av.VideoStream | None = None
        watermark: Watermark | None = None
        sound = container.add_stream("aac", rate=sample_rate_hz, layout="mono") if audio is not None else None
        for reference, rendered in pairs:
            frame = np.hstack([_even(reference), _even(rendered)])
            if video is None:
                video = container.add_stream("libx264", rate=fps, options={"crf": str(crf), "preset": "medium", "g": str(round(fps))})
                video.width, video.height, video.pix_fmt = frame.shape[1], frame.shape[0], "yuv420p"
                video.time_base = 1 / fps
                video.color_range, video.colorspace, video.color_primaries, video.color_trc = 1, 1, 1, 1
                half = (frame.shape[1] // 2, frame.shape[0])
                watermark = Watermark(frame.shape[1], frame.shape[0], label.watermark_key) if label is not None else None
            frame = watermark.marked(frame) if watermark is not None else frame
            picture = bt709_frame(np.ascontiguousarray(frame))
            picture.pts, picture.time_base = count, 1 / fps
            container.mux(video.encode(picture))
            count += 1
        if video is not None:
            container.mux(video.encode(None))
        if sound is not None and audio is not None:
            _mux_audio(container, sound, audio[: round(count / fps * sample_rate_hz)], sample_rate_hz)
    data = buffer.getvalue()
    return label.signed(data) if label is not None else data, half, count


def as_uri(data: bytes) -> str:
    """An MP4 file as a data URI."""
    return "data:video/mp4;base64," + base64.b64encode(data).decode("ascii")


def first_frame(data: bytes) -> Image:
    """The first picture of an MP4 file, RGB ``[H, W, 3]`` uint8."""
    with av.open(io.BytesIO(data), "r") as container:
        return np.asarray(next(container.decode(video=0)).to_ndarray(format="rgb24"), dtype=np.uint8)


def _mux_audio(container: av.container.OutputContainer, stream: av.AudioStream, audio: FloatArray, sample_rate_hz: int) -> None:
    samples = np.ascontiguousarray(audio, dtype=np.float32)[None]
    if samples.size:
        frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout="mono")
        frame.sample_rate, frame.pts = sample_rate_hz, 0
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))


def _even(image: Image) -> Image:
    height, width = image.shape[:2]
    if height % 2 == 0 and width % 2 == 0:
        return image
    return np.asarray(cv2.copyMakeBorder(image, 0, height % 2, 0, width % 2, cv2.BORDER_REPLICATE), dtype=np.uint8)

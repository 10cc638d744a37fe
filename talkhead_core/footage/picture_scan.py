"""One pass over the source's frames: cuts, and the faces in a sample of them."""

from __future__ import annotations

from dataclasses import dataclass

import av
import cv2
import numpy as np

from talkhead_core.errors import FootageError
from talkhead_core.face.face_scan import FaceBox, FaceDetector
from talkhead_core.media.container import open_video, video_stream
from talkhead_core.media.probe import VideoProbe
from talkhead_core.media.shots import LUMA_THUMBNAIL_PX, ShotDetector
from talkhead_core.progress import Progress, silent
from talkhead_core.types import FloatArray, Image

__all__ = ["PictureScan", "SampledFaces", "scan_picture"]

_SAMPLES_PER_S = 4.0


@dataclass(frozen=True, kw_only=True)
class SampledFaces:
    """The faces of one sampled frame, the largest first; boxes in pixels of the source as shown."""

    frame: int
    boxes: list[FaceBox]


@dataclass(frozen=True, kw_only=True, eq=False)
class PictureScan:
    """What one pass over the picture saw.

    Args:
        decoded: frames that could be decoded.
        damaged: decoded frames that the decoder marks as damaged.
        shots: half-open ranges of source frames without a cut.
        change: ``[decoded]`` mean luma change against the frame before, levels.
        brightness: ``[decoded]`` mean luma, levels.
        faces: one entry a sampled frame.
    """

    decoded: int
    damaged: int
    shots: list[tuple[int, int]]
    change: FloatArray
    brightness: FloatArray
    faces: list[SampledFaces]


def scan_picture(probe: VideoProbe, progress: Progress = silent) -> PictureScan:
    """Decode every frame once; faces are looked for in a few frames a second.

    Raises:
        FootageError: decoding stops before the last frame.
    """
    every = max(1, round(float(probe.fps) / _SAMPLES_PER_S))
    detector, brightness, faces = ShotDetector(), [], []
    damaged = index = 0
    with open_video(probe.path) as container, FaceDetector() as face_detector:
        stream = video_stream(container)
        assert stream is not None
        stream.thread_type = "AUTO"
        try:
            for index, frame in enumerate(container.decode(stream), start=1):
                luma = _small_luma(frame)
                detector.add(luma)
                brightness.append(float(luma.mean()))
                damaged += bool(frame.is_corrupt)
                if (index - 1) % every == every // 2:
                    faces.append(SampledFaces(frame=index - 1, boxes=face_detector.find(shown_picture(frame, probe))))
                progress(min(index, probe.frames), probe.frames)
        except av.FFmpegError as error:
            raise FootageError(
                probe.path, f"cannot be decoded beyond frame {index} ({error.strerror or error})", "export it again", f"frame {index}"
            ) from error
    return PictureScan(
        decoded=index,
        damaged=damaged,
        shots=detector.shots(),
        change=detector.changes(),
        brightness=np.asarray(brightness),
        faces=faces,
    )


def shown_picture(frame: av.VideoFrame, probe: VideoProbe) -> Image:
    """A decoded frame as RGB ``[height, width, 3]``, upright and with square pixels (not deinterlaced)."""
    picture = np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)
    if probe.rotation_deg:
        picture = np.rot90(picture, k=-probe.rotation_deg // 90)
    if picture.shape[:2] != (probe.height, probe.width):
        picture = np.asarray(cv2.resize(picture, (probe.width, probe.height), interpolation=cv2.INTER_AREA), np.uint8)
    return picture


def _small_luma(frame: av.VideoFrame) -> np.ndarray:
    scale = LUMA_THUMBNAIL_PX / min(frame.width, frame.height)
    size = (round(frame.width * scale), round(frame.height * scale))
    if not frame.format.name.startswith(("yuv420p", "yuvj420p", "yuv422p", "nv12")) or frame.format.components[0].bits != 8:
        return frame.reformat(width=size[0], height=size[1], format="gray", interpolation="FAST_BILINEAR").to_ndarray()
    plane = frame.planes[0]
    luma = np.frombuffer(memoryview(plane), np.uint8).reshape(plane.height, plane.line_size)[:, : plane.width]
    return cv2.resize(luma, size, interpolation=cv2.INTER_AREA)

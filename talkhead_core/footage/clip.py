"""From the examined source to ``clip.mkv`` and what ``ingest.json`` says about it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from talkhead_core.errors import FootageError
from talkhead_core.face.head_poses import attached_poses
from talkhead_core.footage.report import FootageConfig, examine_footage
from talkhead_core.media.frame_rate import clip_rate, frame_sources
from talkhead_core.media.probe import VideoProbe
from talkhead_core.media.square_crop import SquareCrop
from talkhead_core.media.transcode import write_clip
from talkhead_core.media.video_reader import video_info
from talkhead_core.parameters import require
from talkhead_core.progress import Progress, silent

__all__ = ["IngestConfig", "ingest_footage"]


@dataclass(frozen=True, kw_only=True)
class IngestConfig:
    """The clip that every later stage works on.

    Args:
        size_px: width and height of the clip, even.
        fps: ``auto`` (see :func:`talkhead_core.media.frame_rate.clip_rate`), ``source``, or a rate such as ``"25"``.
        crf: x264 quality of the clip; 6 stays within 1 to 2 levels of the source.
        preset: x264 speed.
        footage: how much of the person the clip shows, and what is refused.
    """

    size_px: int = 512
    fps: str = "auto"
    crf: int = 6
    preset: str = "veryfast"
    footage: FootageConfig = FootageConfig()

    def __post_init__(self) -> None:
        require(64 <= self.size_px <= 2048 and self.size_px % 2 == 0, f"size_px must be even, 64 to 2048, not {self.size_px}")
        require(0 <= self.crf <= 30, f"crf must be 0 to 30, not {self.crf}")
        try:
            rate = clip_rate(Fraction(25), self.fps)
        except (ValueError, ZeroDivisionError):
            rate = None
        require(rate is not None and 5 <= rate <= 120, f"fps must be auto, source or a rate such as '25', not {self.fps!r}")


def ingest_footage(video: Path, clip: Path, config: IngestConfig, progress: Progress = silent) -> dict[str, Any]:
    """Examine ``video``, write ``clip`` (whole), and return the content of ``ingest.json`` (without the consent record).

    Raises:
        FootageError: the footage cannot work; nothing is written.
    """
    report = examine_footage(video, config.footage, progress)
    report.require_go()
    probe, scan = report.probe, report.scan
    assert scan is not None
    poses = attached_poses(video)
    # Poses hold for a camera whose axis goes through the middle of the image, which a crop of our own choosing would move.
    crop = report.crop(config.footage.framing) if poses is None else SquareCrop.central(probe.width, probe.height)
    fps = clip_rate(probe.fps, config.fps)
    write_clip(probe, crop, clip, size_px=config.size_px, fps=fps, crf=config.crf, preset=config.preset)
    frames = video_info(clip).frames
    sources = frame_sources(probe.timestamps_s, fps, frames)
    _check_length(probe, frames, float(fps), clip)
    return {
        "source": _source_json(probe),
        "clip": {"width": config.size_px, "height": config.size_px, "fps": f"{fps.numerator}/{fps.denominator}", "frames": frames},
        "frame_source_timestamp_s": [round(float(time), 6) for time in probe.timestamps_s[sources]],
        "crop": crop.to_json(),
        "attached_poses": 0 if poses is None else len(poses.frame_id),
        "shots": _clip_shots(scan.shots, sources),
        "verdict": report.verdict,
        "findings": [finding.to_json() for finding in report.findings],
        "figures": report.figures,
    }


def _check_length(probe: VideoProbe, frames: int, fps: float, clip: Path) -> None:
    expected = probe.duration_s * fps
    if abs(frames - expected) > max(2, 0.01 * expected):
        clip.unlink()
        raise FootageError(
            probe.path, f"gave {frames} frames at {fps:g} fps instead of {expected:.0f}", "export it as H.264 .mp4 and try again"
        )


def _source_json(probe: VideoProbe) -> dict[str, Any]:
    return {
        "file": probe.path.name,
        "sha256": _sha256(probe.path),
        "width": probe.width,
        "height": probe.height,
        "rotation_deg": probe.rotation_deg,
        "fps": f"{probe.fps.numerator}/{probe.fps.denominator}",
        "constant_rate": probe.constant_rate,
        "frames": probe.frames,
        "duration_s": probe.duration_s,
        "start_s": probe.start_s,
        "timestamps_s": [round(float(time), 6) for time in probe.timestamps_s],
    }


def _clip_shots(shots: list[tuple[int, int]], sources: np.ndarray) -> list[list[int]]:
    """Source ranges to clip ranges; a shot of which no frame is shown is left out."""
    starts = np.unique([int(np.searchsorted(sources, start)) for start, _ in shots])
    ends = [*starts[1:].tolist(), len(sources)]
    return [[int(start), int(end)] for start, end in zip(starts, ends, strict=True) if end > start]


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

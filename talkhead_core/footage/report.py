"""The examination of a video: what it holds, what is wrong with it, what to do."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from talkhead_core.errors import FootageError
from talkhead_core.footage.audio_video_offset import audio_video_offset
from talkhead_core.footage.face_findings import face_findings, speaker_boxes
from talkhead_core.footage.finding import Finding, Verdict, verdict
from talkhead_core.footage.framing import FramingConfig, choose_crop
from talkhead_core.footage.motion_findings import motion_findings, offset_finding
from talkhead_core.footage.picture_findings import hand_findings, picture_findings, rate_findings, still_findings
from talkhead_core.footage.picture_scan import PictureScan, scan_picture
from talkhead_core.footage.sound_findings import sound_findings
from talkhead_core.media.audio_file import SPEECH_SAMPLE_RATE_HZ, read_audio_span
from talkhead_core.media.frame_rate import clip_rate
from talkhead_core.media.probe import VideoProbe, probe_video
from talkhead_core.media.square_crop import SquareCrop
from talkhead_core.parameters import require
from talkhead_core.progress import Progress, silent
from talkhead_core.types import FloatArray

__all__ = ["FootageConfig", "FootageReport", "examine_footage"]


@dataclass(frozen=True, kw_only=True)
class FootageConfig:
    """What footage must have.

    Args:
        min_duration_s: shorter clips are refused.
        min_face_height_px: smaller faces (hairline to chin, in the source) are refused.
        framing: the square that becomes the clip.
    """

    min_duration_s: float = 3.0
    min_face_height_px: float = 80.0
    framing: FramingConfig = FramingConfig()

    def __post_init__(self) -> None:
        require(self.min_duration_s > 0, f"min_duration_s must be positive, not {self.min_duration_s}")
        require(self.min_face_height_px > 0, f"min_face_height_px must be positive, not {self.min_face_height_px}")


@dataclass(frozen=True, kw_only=True, eq=False)
class FootageReport:
    """What :func:`examine_footage` found.

    Args:
        probe: the file.
        scan: the pass over its picture; None where the examination ended before.
        findings: in the order of the checks.
        figures: name -> number, for reports.
    """

    probe: VideoProbe
    scan: PictureScan | None
    findings: list[Finding] = field(default_factory=list)
    figures: dict[str, Any] = field(default_factory=dict)

    @property
    def verdict(self) -> Verdict:
        """``go``, ``go_with_care`` or ``no_go``."""
        return verdict(self.findings)

    def crop(self, framing: FramingConfig) -> SquareCrop:
        """The square of the source that becomes the clip; the footage must have a face."""
        assert self.scan is not None, "the picture was not looked at"
        return choose_crop(speaker_boxes(self.scan.faces), self.probe.width, self.probe.height, framing)

    def require_go(self) -> None:
        """Raise ``FootageError`` for the first finding that cannot work."""
        for finding in self.findings:
            if finding.level == "fail":
                raise FootageError(self.probe.path, finding.message, finding.advice)

    def to_json(self) -> dict[str, Any]:
        """``{"verdict", "findings", "figures"}``."""
        return {
            "verdict": self.verdict,
            "findings": [finding.to_json() for finding in self.findings],
            "figures": self.figures,
        }


def examine_footage(path: str | Path, config: FootageConfig | None = None, progress: Progress = silent) -> FootageReport:
    """Probe the file, listen to its sound, look at its picture; the cheap checks first, ending at the first that fails.

    Raises:
        FootageError: the file cannot be read as a video at all.
    """
    config = config or FootageConfig()
    probe = probe_video(path)
    findings = _probe_findings(probe, config) + rate_findings(probe, float(clip_rate(probe.fps, "auto")))
    figures: dict[str, Any] = {"duration_s": probe.duration_s, "frames": probe.frames, "fps": float(probe.fps)}
    if verdict(findings) == "no_go":
        return FootageReport(probe=probe, scan=None, findings=findings, figures=figures)
    audio = read_audio_span(path, probe.start_s, probe.duration_s)
    found, measured = sound_findings(audio, SPEECH_SAMPLE_RATE_HZ)
    findings, figures = findings + found, figures | measured
    if verdict(findings) == "no_go":
        return FootageReport(probe=probe, scan=None, findings=findings, figures=figures)
    scan = scan_picture(probe, progress)
    for found, measured in (
        picture_findings(probe, scan),
        face_findings(scan.faces, probe, config.min_face_height_px),
        (still_findings(scan), {}),
        *_person(probe, scan, audio, config),
    ):
        findings, figures = findings + found, figures | measured
    return FootageReport(probe=probe, scan=scan, findings=findings, figures=figures)


def _person(
    probe: VideoProbe, scan: PictureScan, audio: FloatArray, config: FootageConfig
) -> Iterator[tuple[list[Finding], dict[str, Any]]]:
    boxes = speaker_boxes(scan.faces)
    if not boxes:
        return
    yield hand_findings(scan, choose_crop(boxes, probe.width, probe.height, config.framing))
    motion = scan.motion
    times = probe.timestamps_s[np.minimum(motion.frame, probe.frames - 1)]
    rows_a_second = float(probe.fps) / max(int(motion.frame[1] - motion.frame[0]), 1) if len(motion.frame) > 1 else float(probe.fps)
    yield motion_findings(motion, rows_a_second)
    offset = audio_video_offset(times, motion.mouth_opening, audio, SPEECH_SAMPLE_RATE_HZ)
    figures = {"audio_offset_s": offset.seconds if offset.sure else None, "audio_offset_agreement": offset.agreement}
    yield [offset_finding(offset)], figures | {"lips_to_sound_correlation": offset.correlation}


def _probe_findings(probe: VideoProbe, config: FootageConfig) -> list[Finding]:
    findings = []
    if probe.duration_s < config.min_duration_s:
        findings.append(
            Finding(
                level="fail",
                code="too_short",
                message=f"lasts {probe.duration_s:.2f} s; at least {config.min_duration_s:g} s are needed",
                advice="film a minute or more of continuous speech",
            )
        )
    if probe.audio is None:
        advice = "give a video with the speaker's voice; without it no lip movement can be learned"
        findings.append(Finding(level="fail", code="no_audio", message="has no audio track", advice=advice))
    return findings

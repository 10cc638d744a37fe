"""The examination of a video: what it holds, what is wrong with it, what to do."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from talkhead_core.errors import FootageError
from talkhead_core.face.face_scan import FaceBox
from talkhead_core.footage.face_findings import face_findings, speaker_boxes
from talkhead_core.footage.finding import Finding, Verdict, verdict
from talkhead_core.footage.picture_scan import PictureScan, scan_picture
from talkhead_core.footage.sound_findings import sound_findings
from talkhead_core.media.audio_file import SPEECH_SAMPLE_RATE_HZ, read_audio_span
from talkhead_core.media.probe import VideoProbe, probe_video
from talkhead_core.parameters import require
from talkhead_core.progress import Progress, silent

__all__ = ["FootageConfig", "FootageReport", "examine_footage"]


@dataclass(frozen=True, kw_only=True)
class FootageConfig:
    """What footage must have.

    Args:
        min_duration_s: shorter clips are refused.
        min_face_height_px: smaller faces (hairline to chin, in the source) are refused.
    """

    min_duration_s: float = 3.0
    min_face_height_px: float = 80.0

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

    @property
    def speaker(self) -> list[FaceBox]:
        """The speaker's face in the sampled frames where it was found."""
        return speaker_boxes(self.scan.faces) if self.scan else []

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
    findings = _probe_findings(probe, config)
    figures: dict[str, Any] = {"duration_s": probe.duration_s, "frames": probe.frames, "fps": float(probe.fps)}
    if verdict(findings) != "no_go":
        audio = read_audio_span(path, probe.start_s, probe.duration_s)
        heard, sound_figures = sound_findings(audio, SPEECH_SAMPLE_RATE_HZ)
        findings += heard
        figures |= sound_figures
    scan = None
    if verdict(findings) != "no_go":
        scan = scan_picture(probe, progress)
        seen, face_figures = face_findings(scan.faces, probe, config.min_face_height_px)
        findings += _picture_findings(scan) + seen
        figures |= face_figures | {"shots": len(scan.shots)}
    return FootageReport(probe=probe, scan=scan, findings=findings, figures=figures)


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


def _picture_findings(scan: PictureScan) -> list[Finding]:
    findings = []
    if scan.decoded == 0 or scan.damaged > 0.05 * scan.decoded:
        findings.append(
            Finding(
                level="fail",
                code="damaged_frames",
                message=f"{scan.damaged} of {scan.decoded} frames are damaged",
                advice="copy or export the file again",
            )
        )
    cuts = [start for start, _ in scan.shots[1:]]
    if cuts:
        findings.append(
            Finding(
                level="warn",
                code="cuts",
                message=f"{len(cuts)} cut(s), before frame {', '.join(map(str, cuts[:8]))}{' ...' if len(cuts) > 8 else ''}",
                advice="nothing to do: tracking and flow start anew at each cut; a single take trains better",
            )
        )
    if float(np.median(scan.brightness)) < 20:
        findings.append(Finding(level="warn", code="dark", message="the picture is nearly black", advice="film in more light"))
    return findings

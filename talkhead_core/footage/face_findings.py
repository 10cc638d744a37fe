"""Whose face it is, how large it is, and whether it is always there."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from talkhead_core.face.face_scan import FaceBox
from talkhead_core.footage.finding import Finding
from talkhead_core.footage.picture_scan import SampledFaces
from talkhead_core.media.probe import VideoProbe

__all__ = ["face_findings", "faces_per_frame", "speaker_boxes"]

_SECOND_FACE_HEIGHT = 0.5  # of the speaker's; smaller ones are posters and passers-by
_PERSISTENT_SHARE = 0.15  # of the sampled frames; one-frame detections in folds and hands are not people
_ABSENT_WARN_SHARE = 0.02
_ABSENT_FAIL_SHARE = 0.5
_COMFORTABLE_HEIGHT_PX = 160.0


def speaker_boxes(faces: list[SampledFaces]) -> list[FaceBox]:
    """The largest face of each sampled frame that has one."""
    return [sample.boxes[0] for sample in faces if sample.boxes]


def faces_per_frame(faces: list[SampledFaces]) -> dict[str, int]:
    """How many of the sampled frames show how many faces, of any size: number of faces -> number of frames."""
    counts = Counter(len(sample.boxes) for sample in faces)
    return {str(number): counts[number] for number in sorted(counts)}


def face_findings(faces: list[SampledFaces], probe: VideoProbe, min_height_px: float) -> tuple[list[Finding], dict[str, Any]]:
    """Findings and figures about the faces in the sampled frames."""
    boxes = speaker_boxes(faces)
    absent = 1 - len(boxes) / max(len(faces), 1)
    if not boxes:
        advice = "give a video in which the speaker's face is in view, lit and larger than a twentieth of the frame"
        finding = Finding(level="fail", code="no_face", message=f"shows no face in {len(faces)} frames looked at", advice=advice)
        return [finding], {"face_absent_share": absent, "faces_per_frame": faces_per_frame(faces)}
    height = float(np.median([box.height for box in boxes]))
    seconds = [
        sample for sample in faces if len(sample.boxes) > 1 and sample.boxes[1].height > _SECOND_FACE_HEIGHT * sample.boxes[0].height
    ]
    share = len(seconds) / len(faces)
    histogram = faces_per_frame(faces)
    findings = [_absence(faces, absent, probe), _company(seconds, share, probe, histogram), _size(height, min_height_px)]
    figures = {"face_height_px": height, "face_absent_share": absent, "second_face_share": share, "faces_per_frame": histogram}
    return findings, figures


def _absence(faces: list[SampledFaces], absent: float, probe: VideoProbe) -> Finding:
    if absent <= _ABSENT_WARN_SHARE:
        return Finding(level="ok", code="face_present", message="the face is in view throughout")
    first = next(sample.frame for sample in faces if not sample.boxes)
    return Finding(
        level="fail" if absent > _ABSENT_FAIL_SHARE else "warn",
        code="face_absent",
        message=f"no face in {100 * absent:.0f} % of the frames, first at {probe.timestamps_s[first]:.1f} s",
        advice="cut the video to where the speaker faces the camera",
    )


def _company(seconds: list[SampledFaces], share: float, probe: VideoProbe, histogram: dict[str, int]) -> Finding:
    if share <= _PERSISTENT_SHARE:
        seen = ", ".join(f"{number} in {frames}" for number, frames in histogram.items())
        return Finding(level="ok", code="one_face", message=f"one person is in view (faces a frame looked at: {seen})")
    return Finding(
        level="fail",
        code="two_faces",
        message=f"shows two faces in {100 * share:.0f} % of the frames, first at {probe.timestamps_s[seconds[0].frame]:.1f} s",
        advice="crop the video to the speaker alone",
    )


def _size(height: float, min_height_px: float) -> Finding:
    message = f"the face is {height:.0f} px high in the source"
    if height < min_height_px:
        advice = f"at least {min_height_px:.0f} px are needed: film closer, or give the original file instead of a smaller copy"
        return Finding(level="fail", code="face_small", message=message, advice=advice)
    if height < _COMFORTABLE_HEIGHT_PX:
        advice = f"{_COMFORTABLE_HEIGHT_PX:.0f} px and more give sharp lips: film closer"
        return Finding(level="warn", code="face_small", message=message, advice=advice)
    return Finding(level="ok", code="face_size", message=message)

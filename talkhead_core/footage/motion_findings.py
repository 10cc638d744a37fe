"""How the face moves: pose, blinks, closed mouth, and whether the sound fits the lips."""

from __future__ import annotations

from typing import Any

import numpy as np

from talkhead_core.face.face_motion import FaceMotion
from talkhead_core.footage.audio_video_offset import AudioVideoOffset
from talkhead_core.footage.finding import Finding

__all__ = ["blink_count", "closed_mouth_s", "motion_findings", "offset_finding"]

_TURNED_DEG = 35.0
_TURNED_SHARE = 0.05
_CLOSED_MOUTH = 0.02  # of the outer eye distance
_CLOSED_RUN_S = 0.12
_CLOSED_ENOUGH_S = 1.0
_BLINK_DEPTH = 0.65  # of the median eye opening
_BLINK_MAX_S = 0.6
_OFFSET_S = 0.08  # viewers notice from about here (ITU-R BT.1359: 45 ms sound early, 125 ms late)


def motion_findings(motion: FaceMotion, fps: float) -> tuple[list[Finding], dict[str, Any]]:
    """Pose range, blinks and closed mouth.

    Args:
        motion: rows at ``fps``.
        fps: rows a second.
    """
    pose = motion.pose_deg[np.isfinite(motion.pose_deg).all(axis=1)]
    if not len(pose):
        return [], {}
    low, high = np.percentile(pose, [2, 98], axis=0)
    turned = float(np.mean(np.abs(pose[:, 0]) > _TURNED_DEG))
    closed, blinks = closed_mouth_s(motion.mouth_opening, fps), blink_count(motion.eye_opening, fps)
    span = high - low
    message = f"the head turns over {span[0]:.0f} degrees (yaw), nods over {span[1]:.0f}, tilts over {span[2]:.0f}"
    findings = [Finding(level="ok", code="pose_range", message=message)]
    if turned > _TURNED_SHARE:
        message = f"the face is turned away by more than {_TURNED_DEG:.0f} degrees in {100 * turned:.0f} % of the frames"
        findings.append(Finding(level="warn", code="turned_away", message=message, advice="film the speaker facing the camera"))
    if closed < _CLOSED_ENOUGH_S:
        message = f"the mouth is closed for {closed:.1f} s only"
        advice = "add a few seconds of silence with closed lips, so that the mouth closes in pauses"
        findings.append(Finding(level="warn", code="mouth_never_closed", message=message, advice=advice))
    else:
        findings.append(Finding(level="ok", code="closed_mouth", message=f"the mouth is closed for {closed:.1f} s"))
    findings.append(Finding(level="ok", code="blinks", message=f"{blinks} blink(s)"))
    figures: dict[str, Any] = {"closed_mouth_s": closed, "blinks": blinks, "turned_away_share": turned}
    for name, first, last in zip(("yaw", "pitch", "roll"), low, high, strict=True):
        figures[f"{name}_range_deg"] = [float(first), float(last)]
    return findings, figures


def offset_finding(offset: AudioVideoOffset) -> Finding:
    """What the lips say about the sound's timing, with how sure that is."""
    if not offset.sure:
        message = f"the sound's offset cannot be told from the lips (correlation {offset.correlation:.2f})"
        return Finding(level="ok", code="offset_unknown", message=message)
    side = "after" if offset.seconds > 0 else "before"
    message = f"the sound comes {1000 * abs(offset.seconds):.0f} ms {side} the lips (correlation {offset.correlation:.2f})"
    if abs(offset.seconds) <= _OFFSET_S:
        return Finding(level="ok", code="in_sync", message=message)
    advice = f"shift the sound by {-1000 * offset.seconds:+.0f} ms before training, or the lips will learn the delay"
    return Finding(level="warn", code="out_of_sync", message=message, advice=advice)


def closed_mouth_s(mouth_opening: np.ndarray, fps: float) -> float:
    """Seconds in which the lips stay closed for longer than a consonant, from ``[M]`` openings over the eye distance."""
    return sum(end - start for start, end in _runs(mouth_opening < _CLOSED_MOUTH) if end - start >= _CLOSED_RUN_S * fps) / fps


def blink_count(eye_opening: np.ndarray, fps: float) -> int:
    """Short dips of the eye opening ``[M]`` below two thirds of its median."""
    usual = np.nanmedian(eye_opening)
    return sum(end - start <= _BLINK_MAX_S * fps for start, end in _runs(eye_opening < _BLINK_DEPTH * usual))


def _runs(mask: np.ndarray) -> list[tuple[int, int]]:
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8)))
    return [(int(start), int(end)) for start, end in zip(edges[::2], edges[1::2], strict=True)]

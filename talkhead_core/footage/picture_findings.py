"""Frame rate, cuts, light and hands."""

from __future__ import annotations

from typing import Any

import numpy as np

from talkhead_core.footage.finding import Finding
from talkhead_core.footage.picture_scan import PictureScan
from talkhead_core.media.probe import VideoProbe
from talkhead_core.media.square_crop import SquareCrop
from talkhead_core.types import FloatArray

__all__ = ["hand_findings", "picture_findings", "rate_findings", "still_findings"]

_DAMAGED_SHARE = 0.05
_REPEATED_CHANGE = 0.25  # of the usual change around: a repeated frame keeps only the codec's touch-up
_REPEATED_NEIGHBOURS = 3
_REPEATED_SHARE = 0.03
_STILL_LEVELS = 0.02  # a person who keeps still changes the picture by 0.2 levels and more, an encoder a still one by 0.01
_LOW_FPS = 20.0
_FLICKER_PERCENT = 0.4
_DARK_LEVELS = 30.0
_HANDS_SHARE = 0.05


def rate_findings(probe: VideoProbe, clip_fps: float) -> list[Finding]:
    """How the source's frames are timed and turned."""
    fps = float(probe.fps)
    findings = []
    if not probe.constant_rate:
        message = f"the frame rate varies around {fps:.2f} fps; the clip takes the frame on show at {clip_fps:.2f} fps"
        findings.append(Finding(level="warn", code="variable_rate", message=message, advice="film at a constant 25 or 30 fps"))
    elif fps < _LOW_FPS:
        message = f"{fps:.2f} frames a second are too few for lips; frames are repeated to {clip_fps:.2f} fps"
        findings.append(Finding(level="warn", code="low_frame_rate", message=message, advice="film at 25 or 30 fps"))
    elif fps > clip_fps and not (fps / clip_fps).is_integer():
        message = f"{fps:.2f} fps, constant; the clip, and a dub in whole frames, take the frame on show at {clip_fps:.2f} fps"
        advice = "film at 25, 30, 50 or 60 fps, or set 'ingest.fps: source'"
        findings.append(Finding(level="warn", code="reduced_rate", message=message, advice=advice))
    else:
        clip = f"; the clip takes one frame in {round(fps / clip_fps)}" if fps > clip_fps else ""
        findings.append(Finding(level="ok", code="frame_rate", message=f"{fps:.2f} fps, constant{clip}"))
    if probe.rotation_deg:
        message = f"stored turned; shown turned clockwise by {probe.rotation_deg} degrees"
        findings.append(Finding(level="ok", code="rotated", message=message))
    if probe.interlaced:
        advice = "nothing to do: fields are merged into whole frames; progressive footage is sharper"
        findings.append(Finding(level="warn", code="interlaced", message="stored as fields (interlaced)", advice=advice))
    if probe.transfer != "sdr":
        advice = "nothing to do: tones are mapped to BT.709; film in SDR for exact colours"
        findings.append(Finding(level="warn", code="hdr", message=f"HDR ({probe.transfer.upper()})", advice=advice))
    return findings


def picture_findings(probe: VideoProbe, scan: PictureScan) -> tuple[list[Finding], dict[str, Any]]:
    """Damage, cuts, repeated frames, flicker and darkness."""
    missing = max(probe.frames - scan.decoded, 0) + scan.damaged
    same_shot = np.ones(scan.decoded, bool)
    same_shot[[start for start, _ in scan.shots]] = False
    repeated = _repeated_share(scan.change)
    light = float(np.median(scan.brightness)) if scan.decoded else 0.0
    flicker = 100 * float(scan.light_change[same_shot].std()) / max(light, 1.0) if same_shot.any() else 0.0
    findings = []
    if missing > _DAMAGED_SHARE * probe.frames:
        message = f"{missing} of {probe.frames} frames are damaged or missing"
        findings.append(Finding(level="fail", code="damaged_frames", message=message, advice="copy or export the file again"))
    findings.append(_cuts(scan, probe))
    if repeated > _REPEATED_SHARE:
        message = f"{100 * repeated:.0f} % of the frames repeat the one before: filmed at about {float(probe.fps) * (1 - repeated):.1f} fps"
        advice = "give the original file instead of a converted one"
        findings.append(Finding(level="warn", code="repeated_frames", message=message, advice=advice))
    if flicker > _FLICKER_PERCENT:
        message = f"the light flickers by {flicker:.1f} % from frame to frame"
        advice = "film in daylight, or with the shutter at 1/50 s (1/60 s under 60 Hz mains)"
        findings.append(Finding(level="warn", code="flicker", message=message, advice=advice))
    if light < _DARK_LEVELS:
        findings.append(Finding(level="warn", code="dark", message="the picture is nearly black", advice="film in more light"))
    figures = {"shots": len(scan.shots), "repeated_share": repeated, "flicker_percent": flicker, "brightness_levels": light}
    return findings, figures


def still_findings(scan: PictureScan) -> list[Finding]:
    """Whether it is a picture at all that moves, and no photograph with a sound."""
    if scan.decoded < 2 or float(np.percentile(scan.change[1:], 90)) >= _STILL_LEVELS:
        return []
    message, advice = "the picture never changes: a still picture with a sound", "give a video of a person who speaks"
    return [Finding(level="fail", code="still", message=message, advice=advice)]


def hand_findings(scan: PictureScan, crop: SquareCrop) -> tuple[list[Finding], dict[str, Any]]:
    """Hands in the source and, of them, in the square that becomes the clip."""
    samples = max(len(scan.hands), 1)
    seen = sum(bool(sample.centres) for sample in scan.hands) / samples
    inside = sum(any(_within(centre, crop) for centre in sample.centres) for sample in scan.hands) / samples
    figures = {"hands_share": seen, "hands_in_clip_share": inside}
    if inside > _HANDS_SHARE:
        message = f"hands are in the clip in {100 * inside:.0f} % of the frames"
        advice = "nothing to do: they are masked and painted out; hands kept below the chest train better"
        return [Finding(level="warn", code="hands_in_frame", message=message, advice=advice)], figures
    if seen > _HANDS_SHARE:
        message = f"hands are in view in {100 * seen:.0f} % of the frames, but outside the clip's square"
        return [Finding(level="ok", code="hands_outside_clip", message=message)], figures
    return [Finding(level="ok", code="no_hands", message="no hands in view")], figures


def _cuts(scan: PictureScan, probe: VideoProbe) -> Finding:
    cuts = [start for start, _ in scan.shots[1:]]
    if not cuts:
        return Finding(level="ok", code="one_shot", message="no cuts")
    times = ", ".join(f"{probe.timestamps_s[min(cut, probe.frames - 1)]:.2f}" for cut in cuts[:8]) + (" ..." if len(cuts) > 8 else "")
    advice = "nothing to do: tracking and flow start anew at each cut; a single take trains better"
    return Finding(level="warn", code="cuts", message=f"{len(cuts)} cut(s), at {times} s", advice=advice)


def _repeated_share(change: FloatArray) -> float:
    """Share of frames that show the picture of the one before, from the changes ``[frames]``."""
    repeats = 0
    for index in range(1, len(change)):
        before, after = change[max(1, index - _REPEATED_NEIGHBOURS) : index], change[index + 1 : index + 1 + _REPEATED_NEIGHBOURS]
        around = np.concatenate([before, after])
        repeats += bool(len(around)) and bool(change[index] < _REPEATED_CHANGE * np.median(around))
    return repeats / max(len(change) - 1, 1)


def _within(centre: tuple[float, float], crop: SquareCrop) -> bool:
    return crop.x <= centre[0] < crop.x + crop.size and crop.y <= centre[1] < crop.y + crop.size

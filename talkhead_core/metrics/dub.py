"""Whether a dub holds up where there is no recording to compare with: length, sound against mouth, stuck pictures."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np

from talkhead_core.metrics.bootstrap import BlockBootstrap, BootstrapConfig
from talkhead_core.metrics.lip_sync import mouth_opening
from talkhead_core.metrics.motion import blinks_per_minute, eye_opening, jitter_px512
from talkhead_core.metrics.mouth_and_sound import LEAST_SOUND_S, MouthSoundScores, Scored
from talkhead_core.metrics.protocol import CROSS_STATIC_MOUTH, CROSS_WRONG_SOUND, Protocol
from talkhead_core.types import FloatArray, Image

__all__ = ["DubFigures", "change_per_frame", "dub_document", "dub_figures", "frames_to_look_at"]

_STUCK_LEVELS = 0.02
_SIDE_PX = 96
_WIDE_OPEN = 90.0  # percentile
_NEED_REFERENCE = ("lpips", "fid", "aue")
_MOUTH_SOUND = "mouth_sound_r"


@dataclass(frozen=True, kw_only=True, eq=False)
class DubFigures:
    """What can be measured on a dub.

    Args:
        frames: of the video.
        video_s: its length.
        audio_s: the sound's length.
        opening: ``[frames]``, inner-lip distance over the face's height; NaN without a face.
        speaking: ``[frames]`` bool, where the sound is speech.
        frames_without_face: how many.
        longest_stuck: frames in the longest run of pictures that do not change at all.
        opening_in_speech: 90th percentile of the opening while somebody speaks; None without such frames.
        opening_in_silence: median of the opening while nobody does; None without such frames.
        jitter_px512: mean second difference of the head's place, in pixels at 512; None without three faces in a row.
        blinks_per_min: None without a face.
        mouth_late_frames: how far the mouth's rhythm comes after the sound's; None where that cannot be told.
        mouth_sound: whether lips and sound go together, beside the controls; None where that cannot be told.
        ci95: 95 % intervals, under the names of :func:`dub_document`.
    """

    frames: int
    video_s: float
    audio_s: float
    opening: FloatArray
    speaking: np.ndarray
    frames_without_face: int
    longest_stuck: int
    opening_in_speech: float | None
    opening_in_silence: float | None
    jitter_px512: float | None = None
    blinks_per_min: float | None = None
    mouth_late_frames: float | None = None
    mouth_sound: MouthSoundScores | None = None
    ci95: Mapping[str, tuple[float, float]] = field(default_factory=dict)


def change_per_frame(frames: Iterable[Image]) -> FloatArray:
    """``[frames]``: mean absolute change of a 96 px picture from the frame before, in 8-bit levels; the first is NaN."""
    changes, previous = [], None
    for frame in frames:
        small = cv2.resize(frame, (_SIDE_PX, _SIDE_PX), interpolation=cv2.INTER_AREA).astype(np.int16)
        changes.append(float("nan") if previous is None else float(np.abs(small - previous).mean()))
        previous = small
    return np.asarray(changes)


def dub_figures(
    points_px: FloatArray,
    change: FloatArray,
    speaking: np.ndarray,
    fps: float,
    audio_s: float,
    *,
    size_px: int = 512,
    mouth_late_frames: float | None = None,
    mouth_sound: MouthSoundScores | None = None,
    bootstrap: BootstrapConfig | None = None,
) -> DubFigures:
    """Figures of a dub.

    Args:
        points_px: face mesh of each frame ``[frames, 468 or more, 2 or more]``, NaN rows without a face.
        change: what :func:`change_per_frame` returned.
        speaking: ``[frames]`` bool, where the sound is speech.
        fps: frames a second.
        audio_s: length of the sound.
        size_px: shorter side of the video, which pixels are given for.
        mouth_late_frames: what the sound says about the lips' timing.
        mouth_sound: what it says about the lips themselves.
        bootstrap: how intervals are drawn.
    """
    opening = mouth_opening(points_px)
    found = np.isfinite(opening)
    jitter = jitter_px512(points_px, size_px)
    spoken, silent = opening[found & speaking], opening[found & ~speaking]
    resampled = BlockBootstrap(len(opening), fps, bootstrap)
    intervals = {
        "mouth_opening_in_speech": resampled.interval(_percentile_of(np.where(speaking, opening, np.nan), _WIDE_OPEN)),
        "mouth_opening_in_silence": resampled.interval(_percentile_of(np.where(speaking, np.nan, opening), 50.0)),
        "jitter_px512": resampled.mean_interval(jitter),
    }
    return DubFigures(
        frames=len(opening),
        video_s=len(opening) / fps,
        audio_s=audio_s,
        opening=opening,
        speaking=speaking,
        frames_without_face=int((~found).sum()),
        longest_stuck=_longest_run(change < _STUCK_LEVELS),
        opening_in_speech=float(np.percentile(spoken, _WIDE_OPEN)) if spoken.size else None,
        opening_in_silence=float(np.median(silent)) if silent.size else None,
        jitter_px512=float(np.nanmean(jitter)) if np.isfinite(jitter).any() else None,
        blinks_per_min=blinks_per_minute(eye_opening(points_px), fps),
        mouth_late_frames=mouth_late_frames,
        mouth_sound=mouth_sound,
        ci95={name: interval for name, interval in intervals.items() if interval is not None},
    )


def dub_document(
    figures: DubFigures,
    protocol: Protocol,
    fps: float,
    *,
    sampled: Mapping[str, FloatArray],
    synced: Mapping[str, Mapping[str, float]],
    not_available: Mapping[str, str],
    landmarker: str,
    bootstrap: BootstrapConfig | None = None,
) -> dict[str, Any]:
    """The figures of a dub and of its controls in the form of ``metrics.json``.

    Args:
        figures: what was measured.
        protocol: how the dub was made.
        fps: frames a second.
        sampled: metrics with models of their own, ``[frames]`` each, NaN where they were not computed.
        synced: protocol's name -> what else is known of lips and sound: LSE, the offset and how many resamples agree on it.
        not_available: name -> reason.
        landmarker: what found the lips.
        bootstrap: how intervals are drawn.
    """
    config = bootstrap or BootstrapConfig()
    named = {
        "frames": figures.frames,
        "frames_without_face": figures.frames_without_face,
        "longest_stuck_frames": figures.longest_stuck,
        "video_minus_audio_s": figures.video_s - figures.audio_s,
        "mouth_opening_in_speech": figures.opening_in_speech,
        "mouth_opening_in_silence": figures.opening_in_silence,
        "mouth_late_frames": figures.mouth_late_frames,
        "jitter_px512": figures.jitter_px512,
        "blinks_per_min": figures.blinks_per_min,
    }
    intervals = dict(figures.ci95)
    resampled = BlockBootstrap(figures.frames, fps, config)
    for name, values in sampled.items():
        named[name] = float(np.nanmean(values)) if np.isfinite(values).any() else None
        if (interval := resampled.mean_interval(values)) is not None:
            intervals[name] = interval
    reasons = {**not_available, **dict.fromkeys(_NEED_REFERENCE, "needs a recording of the same speech to compare with")}
    if figures.mouth_late_frames is None:
        reasons["mouth_late_frames"] = "the rhythm of mouth and sound do not agree well enough for an offset"
    if figures.mouth_sound is None:
        reasons[_MOUTH_SOUND] = f"needs {LEAST_SOUND_S:.0f} s of sound or more, a face in half of the frames, and lips that move"
    controls, comparisons = _controls(figures.mouth_sound, protocol)
    own = {**named, **synced.get(protocol.name, {}), **_scored(figures.mouth_sound.own if figures.mouth_sound else None, intervals)}
    scores = {protocol.name: own} | {control.name: {**synced.get(control.name, {}), **scored} for control, scored in controls.items()}
    return {
        "protocols": {name: {key: value for key, value in found.items() if value is not None} for name, found in scores.items()},
        "comparisons": comparisons,
        "protocol_says": {each.name: each.says for each in (protocol, *controls)},
        "not_available": {name: reason for name, reason in reasons.items() if own.get(name) is None},
        "landmarker": landmarker,
        "definitions": {
            "mouth_opening_in_speech": "90th percentile of inner-lip distance / face height over frames with speech",
            "mouth_opening_in_silence": "median of the same over frames without speech",
            "mouth_late_frames": "lag of the mouth's syllable rhythm (1 to 8 Hz) behind that of the sound's energy",
            "mouth_late_agreement": "share of resamples that give the same lag within 60 ms; below 0.9 the lag means nothing",
            _MOUTH_SOUND: "Pearson correlation of the two rhythms, in step; only its distance from the controls means something",
            "ci95": f"circular block bootstrap over frames, blocks of {config.block_s} s",
        },
    }


def _controls(scores: MouthSoundScores | None, protocol: Protocol) -> tuple[dict[Protocol, dict[str, Any]], dict[str, Any]]:
    """The figures of each control, and those of the dub less the control's."""
    if scores is None:
        return {}, {}
    controls = {CROSS_WRONG_SOUND: _scored(scores.wrong_sound)}
    comparisons = {f"{protocol.name} - {CROSS_WRONG_SOUND.name}": _scored(scores.over_wrong_sound)}
    if scores.static_mouth is not None:
        controls[CROSS_STATIC_MOUTH] = _scored(scores.static_mouth)
        comparisons[f"{protocol.name} - {CROSS_STATIC_MOUTH.name}"] = _scored(scores.over_static_mouth)
    return controls, comparisons


def _scored(score: Scored | None, others: Mapping[str, tuple[float, float]] | None = None) -> dict[str, Any]:
    """The correlation and its interval, beside other figures' intervals."""
    intervals = {name: list(interval) for name, interval in (others or {}).items()}
    if score is not None and score.interval is not None:
        intervals[_MOUTH_SOUND] = list(score.interval)
    return ({_MOUTH_SOUND: score.value} if score is not None else {}) | {"ci95": intervals}


def _percentile_of(values: FloatArray, percentile: float) -> Callable[[np.ndarray], np.ndarray]:
    """A statistic for :meth:`BlockBootstrap.interval`; NaN marks frames that do not count."""

    def statistic(indices: np.ndarray) -> np.ndarray:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # a resample without such a frame has no value
            return np.asarray(np.nanpercentile(values[indices], percentile, axis=1))

    return statistic


def frames_to_look_at(figures: DubFigures, change: FloatArray, fps: float, count: int = 5) -> list[tuple[int, str]]:
    """The frames most worth a look, and why: no face, a mouth open in silence, a picture that jumps; each kind's worst in turn.

    Args:
        figures: of the dub.
        change: what :func:`change_per_frame` returned.
        fps: frames a second; frames less than 0.4 s apart show one moment.
        count: how many at most.
    """
    typical = float(np.nanmedian(change)) if np.isfinite(change).any() else 0.0
    silent = np.where(figures.speaking, np.nan, figures.opening)
    kinds = (
        [(frame, "no face is recognised") for frame in np.flatnonzero(np.isnan(figures.opening))],
        [(frame, f"nobody speaks, and the mouth is open by {100 * silent[frame]:.1f} %") for frame in _largest_first(silent)],
        [(frame, f"the picture changes by {change[frame]:.1f} levels, {typical:.1f} being usual") for frame in _largest_first(change)],
    )
    chosen: list[tuple[int, str]] = []
    waiting = [iter(kind) for kind in kinds]
    while waiting and len(chosen) < count:
        for kind in list(waiting):
            apart = (row for row in kind if all(abs(row[0] - other) >= 0.4 * fps for other, _ in chosen))
            found = next(apart, None)
            if found is None:
                waiting.remove(kind)
            elif len(chosen) < count:
                chosen.append((int(found[0]), found[1]))
    return chosen


def _largest_first(values: FloatArray) -> np.ndarray:
    order = np.argsort(-values, kind="stable")
    return order[np.isfinite(values[order])]


def _longest_run(flags: np.ndarray) -> int:
    longest = current = 0
    for flag in flags:
        current = current + 1 if flag else 0
        longest = max(longest, current)
    return longest

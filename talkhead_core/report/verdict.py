"""What the figures mean, in words: go, or what to look at. Every sentence names its protocol.

The limits are those at which people notice, not laws; each stands beside the sentence that it decides.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from talkhead_core.metrics.seam import LARGEST_SEAM_RATIO

__all__ = ["Statement", "Verdict", "conclude", "judge"]

Level = Literal["ok", "warn", "fail"]

MODEL = "head/self"
WRONG_AUDIO = "head/wrong_audio"
STATIC_MOUTH = "head/static_mouth"
RETRIEVAL = "head/retrieval"
FULL = "full/self"

_LEAST_AUDIO_GAIN_DB = 2.0
_LEAST_R, _LEAST_LOOSE_R = 0.4, 0.2
_LEAST_TORSO_DB = 22.0
_LEAST_SPREAD, _LARGEST_SPREAD = 0.7, 1.5
_LARGEST_LMD_PX512 = 2.5
_LEAST_FACE_DB = 28.0
_LARGEST_JITTER_RATIO = 1.5
_LARGEST_SEAM_LEVELS = 8.0
_SEAM_LINES = {"seam_ratio": "across the neck line", "join_ratio": "where the rendered head ends"}
_NAMED_RUNS = 4
_LEAST_FRAMES_FOR_BLINKS = 250


@dataclass(frozen=True, kw_only=True)
class Statement:
    """One finding about the render.

    Args:
        level: ``ok``, ``warn`` (look at it) or ``fail``.
        text: the sentence.
    """

    level: Level
    text: str


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The page's first line and what it rests on.

    Args:
        level: the worst of the statements' levels.
        headline: one sentence.
        statements: worst first.
    """

    level: Level
    headline: str
    statements: tuple[Statement, ...]


def judge(metrics: Mapping[str, Any] | None) -> Verdict:
    """The verdict on ``metrics.json``; without figures there is nothing to go by, and it says so."""
    figures = (metrics or {}).get("protocols", {}).get(MODEL)
    if metrics is None or not figures:
        return Verdict(level="warn", headline="Not evaluated yet: there are no figures to go by.", statements=())
    checks: tuple[Callable[[Mapping[str, Any]], Statement | None], ...] = (
        _audio_decides, _beats_still_mouth, _beats_retrieval, _lips, _mouth_follows, _mouth_amplitude, _timing, _face, _faces_found,
        _jitter, _seam, _seam_ratios, _torso, _blinks,
    )  # fmt: skip
    found = [statement for check in checks if (statement := check(metrics)) is not None]
    return conclude(found, "nothing stands out on the held-out frames")


def conclude(found: Sequence[Statement], all_is_well: str) -> Verdict:
    """The verdict that follows from statements.

    Args:
        found: in the order in which they matter.
        all_is_well: what to say when all of them are ``ok``.
    """
    order = {"fail": 0, "warn": 1, "ok": 2}
    statements = tuple(sorted(found, key=lambda statement: order[statement.level]))
    failed, warned = (sum(statement.level == level for statement in statements) for level in ("fail", "warn"))
    if failed:
        return Verdict(level="fail", headline="Not good enough yet: " + _first(statements), statements=statements)
    if warned:
        what = "one thing" if warned == 1 else f"{warned} things"
        return Verdict(level="warn", headline=f"Usable; look at {what} first: " + _first(statements), statements=statements)
    return Verdict(level="ok", headline=f"Good to go: {all_is_well}.", statements=statements)


def _first(statements: tuple[Statement, ...]) -> str:
    text = statements[0].text
    return text[0].lower() + text[1:] if text[1:2].islower() else text


def _audio_decides(metrics: Mapping[str, Any]) -> Statement | None:
    gain = metrics.get("comparisons", {}).get(f"{MODEL} - {WRONG_AUDIO}", {})
    if "psnr_mouth" not in gain:
        return None
    value, interval = gain["psnr_mouth"], gain.get("ci95", {}).get("psnr_mouth")
    between = f"at the mouth ({MODEL} against {WRONG_AUDIO})"
    if value <= 0:
        worse = f"the right audio is {-value:.1f} dB{_between(_negated(interval), 'dB')} behind wrong audio {between}"
        return Statement(level="fail", text=f"The mouth does not follow the speech: {worse}.")
    only = "only " if value < _LEAST_AUDIO_GAIN_DB else ""
    text = f"the right audio beats wrong audio by {only}{value:.1f} dB{_between(interval, 'dB')} {between}"
    if interval and interval[0] <= 0:
        return Statement(level="warn", text=f"It is not certain that the mouth follows the speech: {text}.")
    return Statement(level="warn" if only else "ok", text=_sentence(text))


def _beats_still_mouth(metrics: Mapping[str, Any]) -> Statement | None:
    gain = metrics.get("comparisons", {}).get(f"{MODEL} - {STATIC_MOUTH}", {})
    if "psnr_mouth" not in gain:
        return None
    value, interval = gain["psnr_mouth"], gain.get("ci95", {}).get("psnr_mouth")
    verb, interval = ("beats", interval) if value > 0 else ("loses to", _negated(interval))
    text = (
        f"the moving mouth {verb} one that stands still by {abs(value):.1f} dB{_between(interval, 'dB')} ({MODEL} against {STATIC_MOUTH})"
    )
    if value > 0 and interval and interval[0] <= 0:
        return Statement(level="warn", text=f"It is not certain that a mouth that moves is better than one that does not: {text}.")
    return Statement(level="ok" if value > 0 else "fail", text=_sentence(text))


def _beats_retrieval(metrics: Mapping[str, Any]) -> Statement | None:
    gain = metrics.get("comparisons", {}).get(f"{MODEL} - {RETRIEVAL}", {})
    if "psnr_face" not in gain:
        return None
    value, interval = gain["psnr_face"], gain.get("ci95", {}).get("psnr_face")
    verb, interval = ("beats", interval) if value > 0 else ("loses to", _negated(interval))
    by = f"{abs(value):.1f} dB{_between(interval, 'dB')}"
    text = f"the model {verb} the training frame of the nearest pose by {by} in the face ({MODEL} against {RETRIEVAL})"
    return Statement(level="ok" if value > 0 else "fail", text=_sentence(text))


def _lips(metrics: Mapping[str, Any]) -> Statement | None:
    figures = metrics["protocols"][MODEL]
    if "lmd_px512" not in figures:
        return None
    value = figures["lmd_px512"]
    others = ((name, metrics["protocols"].get(name, {})) for name in (WRONG_AUDIO, STATIC_MOUTH))
    against = [f"{name} {other['lmd_px512']:.2f}" for name, other in others if "lmd_px512" in other]
    text = f"The lips are off by {value:.2f} px at 512{_between(_ci(figures, 'lmd_px512'), 'px')} (LMD, {MODEL}"
    text += f"; {', '.join(against)})." if against else ")."
    return Statement(level="warn" if value > _LARGEST_LMD_PX512 else "ok", text=text)


def _mouth_follows(metrics: Mapping[str, Any]) -> Statement | None:
    figures = metrics["protocols"][MODEL]
    if "mouth_opening_r" not in figures:
        return Statement(
            level="warn", text=f"The mouth's movement has no correlation to give: it hardly moves in recording or render ({MODEL})."
        )
    value = figures["mouth_opening_r"]
    loosely = "only loosely with the recording's" if value >= _LEAST_LOOSE_R else "at other times than the recording's"
    when = "when the recording's does" if value >= _LEAST_R else loosely
    text = f"The mouth opens {when}: r = {value:.2f}{_between(_ci(figures, 'mouth_opening_r'))} ({MODEL})."
    return Statement(level="warn" if value < _LEAST_R else "ok", text=text)


def _mouth_amplitude(metrics: Mapping[str, Any]) -> Statement | None:
    value = metrics["protocols"][MODEL].get("mouth_opening_sd_ratio")
    if value is None:
        return None
    text = f"The mouth moves {'only ' if value < _LEAST_SPREAD else ''}{100 * value:.0f} % as far as in the recording ({MODEL})."
    return Statement(level="ok" if _LEAST_SPREAD <= value <= _LARGEST_SPREAD else "warn", text=text)


def _timing(metrics: Mapping[str, Any]) -> Statement | None:
    lag = metrics["protocols"][MODEL].get("mouth_opening_lag_frames")
    if lag is None or metrics["protocols"][MODEL].get("mouth_opening_r", 0.0) < _LEAST_R:
        return None  # a mouth that does not follow has no lateness
    if lag == 0:
        return Statement(level="ok", text=f"The mouth is in time with the recording ({MODEL}).")
    way = "late" if lag > 0 else "early"
    level: Level = "warn" if abs(lag) > 1 else "ok"
    return Statement(level=level, text=f"The mouth comes {abs(lag)} frame{'s' if abs(lag) > 1 else ''} {way} ({MODEL}).")


def _face(metrics: Mapping[str, Any]) -> Statement | None:
    figures = metrics["protocols"][MODEL]
    if "psnr_face" not in figures:
        return Statement(level="fail", text=f"No face was found in the held-out frames ({MODEL}).")
    text = f"Face {figures['psnr_face']:.1f} dB{_between(_ci(figures, 'psnr_face'), 'dB')}"
    if "psnr_mouth" in figures:
        text += f", mouth {figures['psnr_mouth']:.1f} dB{_between(_ci(figures, 'psnr_mouth'), 'dB')}"
    return Statement(
        level="warn" if figures["psnr_face"] < _LEAST_FACE_DB else "ok", text=f"{text} over {figures['frames']} frames ({MODEL})."
    )


def _faces_found(metrics: Mapping[str, Any]) -> Statement | None:
    figures = metrics["protocols"][MODEL]
    lost, frames = figures.get("frames_without_face", 0), figures["frames"]
    if not lost:
        return None
    text = f"No face is recognised in {lost} of {frames} rendered frames ({MODEL}); lip figures leave them out."
    return Statement(level="fail" if lost > 0.1 * frames else "warn", text=text)


def _jitter(metrics: Mapping[str, Any]) -> Statement | None:
    figures = metrics["protocols"].get(FULL) or metrics["protocols"][MODEL]
    name = FULL if FULL in metrics["protocols"] else MODEL
    own, reference = figures.get("jitter_px512"), figures.get("jitter_reference_px512")
    if own is None or not reference:
        return None
    text = f"The head trembles by {own:.2f} px a frame at 512, the recording by {reference:.2f} ({name})."
    return Statement(level="warn" if own > _LARGEST_JITTER_RATIO * reference else "ok", text=text)


def _seam(metrics: Mapping[str, Any]) -> Statement | None:
    value = metrics["protocols"].get(FULL, {}).get("seam_levels")
    if value is None:
        return None
    text = f"The neck line shows a step of {value:.1f} of 255 levels that the recording does not have ({FULL})."
    return Statement(level="warn" if value > _LARGEST_SEAM_LEVELS else "ok", text=text)


def _seam_ratios(metrics: Mapping[str, Any]) -> Statement | None:
    """Of what is rendered whole and of a head over the recorded torso, by the worse of the two."""
    measured = {
        (name, ratio): metrics["protocols"][name][ratio]
        for name in (FULL, MODEL)
        for ratio in _SEAM_LINES
        if metrics["protocols"].get(name, {}).get(ratio) is not None
    }
    if not measured:
        return None
    (name, ratio), value = max(measured.items(), key=lambda item: item[1])
    ids = metrics.get("seam_frame_ids", {}).get(name, {}).get(ratio, [])
    times = f"{value:.2f} times as steep {_SEAM_LINES[ratio]} as in the recording"
    where = f"{name}, {ratio}" + (f"; above {LARGEST_SEAM_RATIO} in {_frames(ids)}" if ids else "")
    if value > LARGEST_SEAM_RATIO:
        return Statement(level="warn", text=f"There is a seam: the picture is {times} ({where}).")
    return Statement(level="ok", text=f"Head and torso meet without a seam: the picture is {times} at most ({where}).")


def _frames(ids: Sequence[int]) -> str:
    """``frame 7``, or ``12 frames: 7 to 9, 20, 31 to 35 and others``."""
    runs: list[list[int]] = []
    for frame_id in ids:
        if runs and frame_id == runs[-1][-1] + 1:
            runs[-1].append(frame_id)
        else:
            runs.append([frame_id])
    said = ", ".join(f"{run[0]} to {run[-1]}" if len(run) > 1 else str(run[0]) for run in runs[:_NAMED_RUNS])
    others = " and others" if len(runs) > _NAMED_RUNS else ""
    return f"frame {said}" if len(ids) == 1 else f"{len(ids)} frames: {said}{others}"


def _torso(metrics: Mapping[str, Any]) -> Statement | None:
    figures = metrics["protocols"].get(FULL, {})
    if "psnr_torso" not in figures:
        return None
    value = figures["psnr_torso"]
    text = f"Neck and torso {value:.1f} dB{_between(_ci(figures, 'psnr_torso'), 'dB')} ({FULL})"
    if value >= _LEAST_TORSO_DB:
        return Statement(level="ok", text=f"{text}.")
    return Statement(level="warn", text=f"{text}: too far from the recording's; a dub shows them only with dub.torso: field.")


def _blinks(metrics: Mapping[str, Any]) -> Statement | None:
    figures = metrics["protocols"][MODEL]
    own, reference = figures.get("blinks_per_min"), figures.get("blinks_per_min_reference")
    if own is None or reference is None or (own == 0 and reference == 0) or figures["frames"] < _LEAST_FRAMES_FOR_BLINKS:
        return None
    level: Level = "warn" if own == 0 else "ok"
    return Statement(level=level, text=f"It blinks {own:.0f} times a minute, the recording {reference:.0f} ({MODEL}).")


def _ci(figures: Mapping[str, Any], name: str) -> list[float] | None:
    interval = figures.get("ci95", {}).get(name)
    return list(interval) if interval else None


def _negated(interval: list[float] | None) -> list[float] | None:
    return [-interval[1], -interval[0]] if interval else None


def _between(interval: list[float] | None, unit: str = "") -> str:
    digits = 1 if unit == "dB" else 2
    if not interval:
        return ""
    low, high = (round(end, digits) + 0.0 for end in interval)  # no -0.0
    return f" [{low:.{digits}f} to {high:.{digits}f}{' ' + unit if unit else ''}]"


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:] + "."

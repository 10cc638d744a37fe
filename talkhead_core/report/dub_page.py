"""The report of one dub: the video, what stands out, the mouth against the sound."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from talkhead_core.metrics.dub import DubFigures
from talkhead_core.metrics.mouth_and_sound import Scored
from talkhead_core.metrics.protocol import CROSS_STATIC_MOUTH, CROSS_WRONG_SOUND
from talkhead_core.provenance.page_statement import PageStatement
from talkhead_core.report.html_page import render_page
from talkhead_core.report.pictures import Picture
from talkhead_core.report.plots import Plot
from talkhead_core.report.tables import Table, flat_rows, licence_table
from talkhead_core.report.themed_svg import SERIES, themed_figure, to_svg
from talkhead_core.report.verdict import Statement, Verdict, conclude
from talkhead_core.types import FloatArray

__all__ = ["dub_page", "judge_dub"]

_LARGEST_EMBEDDED_BYTES = 10_000_000
_MOST_STUCK_S = 0.2
_LEAST_OPENING = 0.03
_MOST_LATE_FRAMES = 2.5
_LARGEST_REST_SHARE = 0.35
_NAMES = {
    "longest_stuck_frames": "longest still picture, frames",
    "video_minus_audio_s": "video longer than the sound by, s",
    "mouth_opening_in_speech": "mouth opening in speech, parts of the face's height",
    "mouth_opening_in_silence": "mouth opening in silence, parts of the face's height",
    "mouth_late_frames": "mouth late by, frames",
    "mouth_late_agreement": "share of resamples that agree on how late",
    "mouth_sound_r": "correlation of lips and sound",
    "jitter_px512": "jitter, px at 512",
    "blinks_per_min": "blinks a minute",
    "brisque": "BRISQUE",
    "niqe": "NIQE",
    "lse_c": "LSE-C",
    "lse_d": "LSE-D",
    "lse_offset_frames": "LSE offset, frames",
}


def judge_dub(figures: DubFigures, fps: float) -> Verdict:
    """What stands out in a dub, in words."""
    found = [_length(figures, fps), _together(figures), _movement(figures), _timing(figures)]
    found += [_stuck(figures, fps), _faces(figures), _rest(figures)]
    unknown = "" if figures.mouth_late_frames is not None else "; whether mouth and sound are in step could not be measured, so watch that"
    return conclude([statement for statement in found if statement is not None], f"nothing stands out in this dub{unknown}")


def dub_page(
    video: Path,
    link: str,
    figures: DubFigures,
    document: Mapping[str, Any],
    level_dbfs: FloatArray,
    fps: float,
    made_from: Mapping[str, Any],
    pictures: Sequence[Picture] = (),
    poster: str | None = None,
    statement: PageStatement | None = None,
) -> str:
    """The page as HTML text.

    Args:
        video: the dub; a file over 10 MB is linked, not embedded.
        link: the dub's address as seen from the page.
        figures: what was measured.
        document: the same in the form of ``metrics.json``.
        level_dbfs: the sound's level in each frame, ``[frames]``.
        fps: frames a second.
        made_from: speaker, audio and whatever else is known, for the last section.
        pictures: the frames to look at.
        poster: a data URI of what the player shows before it plays.
        statement: where the video comes from; None where nothing tells.
    """
    embedded = video.stat().st_size <= _LARGEST_EMBEDDED_BYTES
    source = "data:video/mp4;base64," + base64.b64encode(video.read_bytes()).decode("ascii") if embedded else link
    return render_page(
        "dub_page.html",
        title=f"{video.stem}: dub",
        name=video.stem,
        statement=statement,
        verdict=judge_dub(figures, fps),
        pictures=[(picture, (picture.position or 0) / fps) for picture in pictures],
        source=source,
        poster=poster,
        embedded=embedded,
        plots=[_mouth_and_sound(figures, level_dbfs, fps)],
        tables=_figures_tables(document),
        protocol_says=document["protocol_says"].items(),
        document=document,
        made_from=flat_rows(made_from),
        licences=licence_table(),
    )


def _length(figures: DubFigures, fps: float) -> Statement:
    difference = figures.video_s - figures.audio_s
    text = f"The video is {figures.video_s:.2f} s long, the sound {figures.audio_s:.2f} s."
    return Statement(level="ok" if abs(difference) <= 1.0 / fps + 0.005 else "fail", text=text)


def _movement(figures: DubFigures) -> Statement:
    if figures.opening_in_speech is None:
        return Statement(level="warn", text="Nobody speaks in the sound, so there is nothing for the mouth to follow.")
    text = f"While somebody speaks the mouth opens up to {100 * figures.opening_in_speech:.1f} % of the face's height."
    return Statement(level="ok" if figures.opening_in_speech >= _LEAST_OPENING else "warn", text=text)


def _timing(figures: DubFigures) -> Statement | None:
    late = figures.mouth_late_frames
    if late is None:
        return None
    way = "late" if late > 0 else "early"
    text = f"The mouth comes {abs(late):.1f} frames {way} against the rhythm of the sound."
    return Statement(level="ok" if abs(late) <= _MOST_LATE_FRAMES else "warn", text=text)


def _together(figures: DubFigures) -> Statement | None:
    """Whether the lips agree with this sound better than with others, and better than lips that do not move."""
    scores = figures.mouth_sound
    if scores is None:
        return None
    gains = {CROSS_WRONG_SOUND.name: scores.over_wrong_sound, CROSS_STATIC_MOUTH.name: scores.over_static_mouth}
    name, least = min(((name, gain) for name, gain in gains.items() if gain is not None), key=lambda row: row[1].value)
    r, by = _with_interval(scores.own), _with_interval(least, signed=True)
    text = f"lips and sound correlate by {r}, which is {by} against {name}"
    if least.value <= 0:
        return Statement(level="fail", text=f"The lips do not go with the sound: {text}.")
    if not scores.certain:
        return Statement(level="warn", text=f"It is not certain that the lips go with the sound: {text}.")
    return Statement(level="ok", text=f"The lips go with the sound: {text}.")


def _with_interval(score: Scored, *, signed: bool = False) -> str:
    sign = "+" if signed else ""
    between = f" [{score.interval[0]:{sign}.2f} to {score.interval[1]:{sign}.2f}]" if score.interval else ""
    return f"{score.value:{sign}.2f}{between}"


def _figures_tables(document: Mapping[str, Any]) -> list[Table]:
    """The dub's figures, and where lips can be told from their controls, what these have of them."""
    protocols, says = document["protocols"], document["protocol_says"]
    own, *controls = protocols
    tables = [_table(f"Figures without a reference ({own}: {says[own]})", {own: protocols[own]})]
    if controls:
        lips_and_sound = {name: protocols[name] for name in controls}
        tables.append(_table("Lips and sound of the controls, which cannot belong together", lips_and_sound))
        tables.append(_table("Difference to the controls, with 95 % intervals", document["comparisons"], signed=True))
    return tables


def _table(caption: str, columns: Mapping[str, Mapping[str, Any]], *, signed: bool = False) -> Table:
    names = dict.fromkeys(name for figures in columns.values() for name in figures if name != "ci95")
    rows = [[_NAMES.get(name, name.replace("_", " ")), *(_cell(figures, name, signed) for figures in columns.values())] for name in names]
    return Table(caption=caption, head=["Figure", *columns], rows=rows)


def _cell(figures: Mapping[str, Any], name: str, signed: bool) -> str:
    if name not in figures:
        return "–"
    sign, interval = "+" if signed else "", figures["ci95"].get(name)
    text = f"{figures[name]:{sign}.4g}"
    return f"{text} [{interval[0]:{sign}.3g}, {interval[1]:{sign}.3g}]" if interval else text


def _rest(figures: DubFigures) -> Statement | None:
    if figures.opening_in_silence is None or not figures.opening_in_speech:
        return None
    text = f"In silence the mouth rests at {100 * figures.opening_in_silence:.1f} %."
    return Statement(level="ok" if figures.opening_in_silence <= _LARGEST_REST_SHARE * figures.opening_in_speech else "warn", text=text)


def _stuck(figures: DubFigures, fps: float) -> Statement:
    if figures.longest_stuck <= 1:
        return Statement(level="ok", text="No picture stands still.")
    text = f"The picture stands still for up to {figures.longest_stuck} frames ({figures.longest_stuck / fps:.2f} s)."
    return Statement(level="ok" if figures.longest_stuck / fps <= _MOST_STUCK_S else "fail", text=text)


def _faces(figures: DubFigures) -> Statement:
    if figures.frames_without_face == 0:
        return Statement(level="ok", text=f"A face is recognised in all {figures.frames} frames.")
    text = f"No face is recognised in {figures.frames_without_face} of {figures.frames} frames."
    return Statement(level="fail" if figures.frames_without_face > 0.02 * figures.frames else "warn", text=text)


def _mouth_and_sound(figures: DubFigures, level_dbfs: FloatArray, fps: float) -> Plot:
    times = np.arange(figures.frames) / fps
    with themed_figure(7.5, 3.0) as figure:
        upper, lower = figure.subplots(2, 1, sharex=True)
        upper.plot(times, 100 * figures.opening, color=SERIES[0])
        upper.set(ylabel="mouth, %")
        lower.plot(times, level_dbfs, color=SERIES[1])
        lower.set(xlabel="seconds", ylabel="sound, dBFS")
        for axes in (upper, lower):
            axes.fill_between(
                times, 0, 1, where=~figures.speaking, transform=axes.get_xaxis_transform(), color=SERIES[2], alpha=0.12, linewidth=0
            )
        says = "Mouth opening in per cent of the face's height above the level of the sound; shaded where nobody speaks."
        return Plot(title="Mouth and sound", svg=to_svg(figure, "mouth-sound", says), says=says)

"""The report of one dub: the video, what stands out, the mouth against the sound."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from talkhead_core.metrics.dub import DubFigures
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
    statements = [_length(figures, fps), _movement(figures), _timing(figures), _stuck(figures, fps), _faces(figures), _rest(figures)]
    unknown = "" if figures.mouth_late_frames is not None else "; whether mouth and sound are in step could not be measured, so watch that"
    return conclude([statement for statement in statements if statement is not None], f"nothing stands out in this dub{unknown}")


def dub_page(
    video: Path,
    link: str,
    figures: DubFigures,
    document: Mapping[str, Any],
    level_dbfs: FloatArray,
    fps: float,
    made_from: Mapping[str, Any],
    pictures: Sequence[Picture] = (),
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
    """
    embedded = video.stat().st_size <= _LARGEST_EMBEDDED_BYTES
    source = "data:video/mp4;base64," + base64.b64encode(video.read_bytes()).decode("ascii") if embedded else link
    return render_page(
        "dub_page.html",
        title=f"{video.stem}: dub",
        name=video.stem,
        verdict=judge_dub(figures, fps),
        pictures=[(picture, (picture.position or 0) / fps) for picture in pictures],
        source=source,
        embedded=embedded,
        plots=[_mouth_and_sound(figures, level_dbfs, fps)],
        tables=[_figures_table(document)],
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


def _figures_table(document: Mapping[str, Any]) -> Table:
    (protocol, figures), *_ = document["protocols"].items()
    rows = [[_NAMES.get(name, name.replace("_", " ")), f"{value:.4g}"] for name, value in figures.items() if name != "ci95"]
    return Table(
        caption=f"Figures without a reference ({protocol}: {document['protocol_says'][protocol]})", head=["Figure", protocol], rows=rows
    )


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

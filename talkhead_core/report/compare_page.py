"""The page that puts two runs side by side: videos, what changed in words, the frames that lost most, plots, tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from itertools import islice
from typing import Any

import cv2
import numpy as np
import pandas as pd

from talkhead_core.media.audio_file import SPEECH_SAMPLE_RATE_HZ, read_audio
from talkhead_core.media.frame_selection import read_selected_frames
from talkhead_core.media.video_reader import read_frames
from talkhead_core.metrics.protocol import PROTOCOLS, Protocol
from talkhead_core.progress import Progress, silent
from talkhead_core.provenance.page_statement import page_statement
from talkhead_core.provenance.video_label import VideoLabel
from talkhead_core.report.comparison_video import ComparisonVideo, Pairs, as_uri, encode_comparisons, first_frame
from talkhead_core.report.html_page import render_page
from talkhead_core.report.pictures import Picture, cut_square, face_squares, picture_strip, poster_uri
from talkhead_core.report.plots import Plot, per_frame_plot, training_plot
from talkhead_core.report.run_comparison import (
    Run,
    difference_table,
    most_changed,
    paired_differences,
    parameter_table,
    per_frame_of_both,
    shared_frames,
)
from talkhead_core.report.tables import flat_rows
from talkhead_core.report.verdict import MODEL, Statement, Verdict, conclude
from talkhead_core.types import FloatArray, Image

__all__ = ["compare_page", "judge_difference"]

_VIDEO_S = 20.0
_VIDEO_BYTES = 7_500_000
_WORST = 5
_SHOWN_STAGES = ("ingest/", "denoise/", "train_", "render/", "evaluate/")
# figure, how a sentence names it, unit, whether higher is better
_JUDGED = (
    ("psnr_mouth", "PSNR at the mouth", "dB", True),
    ("psnr_face", "PSNR in the face", "dB", True),
    ("lmd_px512", "lip distance", "px at 512", False),
    ("ssim_face", "SSIM in the face", "", True),
    ("flicker_levels", "flicker", "levels", False),
)


def judge_difference(paired: Mapping[str, Any], *, same_footage: bool) -> Verdict:
    """Whether B is better than A, in words; what is not certain says so.

    Args:
        paired: what :func:`paired_differences` returned for the model's protocol.
        same_footage: False where the runs rest on other recordings, so that nothing can be said.
    """
    if not same_footage:
        text = "The two runs rest on different recordings, frames or rates: their figures do not compare."
        return Verdict(level="warn", headline=text, statements=())
    statements = [_statement(name, says, unit, paired, higher_is_better=higher) for name, says, unit, higher in _JUDGED if name in paired]
    if not statements:
        return Verdict(level="warn", headline="One of the runs has not been evaluated: there is nothing to compare.", statements=())
    worse = [statement for statement in statements if statement.level != "ok"]
    if not worse:
        better = sum(statement.text.startswith("B is better") for statement in statements)
        headline = f"B is better in {better} of {len(statements)} figures and worse in none." if better else "No difference is certain."
        return Verdict(level="ok", headline=headline, statements=tuple(statements))
    worst_first = conclude(statements, "")
    headline = f"B is worse in {len(worse)} of {len(statements)} figures; first: {worst_first.statements[0].text}"
    return Verdict(level=worst_first.level, headline=headline, statements=worst_first.statements)


def compare_page(first: Run, second: Run, progress: Progress = silent, label: VideoLabel | None = None) -> str:
    """The page as HTML text.

    Args:
        first: run A.
        second: run B.
        progress: told after each part.
        label: the credentials that each video gets, the mark of videos and pictures, and what the page says of them.
    """
    fps = Fraction((first.artifacts.render or second.artifacts.render or {}).get("fps", "25"))
    shared = shared_frames(first, second)
    protocols = [p for p in PROTOCOLS if all(run.artifacts.file("render", p.file) for run in (first, second))]
    progress(0, 3, "videos")
    videos = _videos(first, second, [p for p in protocols if not p.control], shared, fps, label)
    progress(1, 3, "pictures")
    worst = _worst(first, second, shared, float(fps), label.watermark_key if label else None)
    progress(2, 3, "page")
    tables = {protocol: difference_table(first, second, protocol.name, float(fps)) for protocol in PROTOCOLS}
    page = render_page(
        "compare_page.html",
        title=f"{first.label} and {second.label}: talkhead",
        first=first.label,
        second=second.label,
        statement=page_statement([label.origin.facts()]) if label else None,
        verdict=judge_difference(paired_differences(first, second, MODEL, float(fps)), same_footage=bool(shared)),
        videos=videos,
        worst=worst,
        worst_protocol=MODEL,
        plots=_plots(first, second),
        tables=[table for protocol, table in tables.items() if table is not None and not protocol.control],
        control_tables=[table for protocol, table in tables.items() if table is not None and protocol.control],
        says=[(protocol.name, protocol.says) for protocol in PROTOCOLS],
        parameters=parameter_table(first, second),
        models=[(run.label, flat_rows((run.artifacts.model or {}).get("record") or {})) for run in (first, second)],
        missing=[
            f"{label}: {sentence}"
            for label, run in (("A", first), ("B", second))
            for sentence in run.artifacts.missing
            if sentence.startswith(_SHOWN_STAGES)
        ],
    )
    progress(3, 3)
    return page


def _statement(name: str, says: str, unit: str, paired: Mapping[str, Any], *, higher_is_better: bool) -> Statement:
    value, interval = paired[name], paired.get("ci95", {}).get(name)
    digits = 3 if name.startswith("ssim") else 2
    better = (value > 0) == higher_is_better
    certain = bool(interval) and (interval[0] > 0 or interval[1] < 0)
    between = f" [{interval[0]:+.{digits}f} to {interval[1]:+.{digits}f}]" if interval else ""
    change = f"{value:+.{digits}f}{between}{f' {unit}' if unit else ''} ({MODEL}, B minus A)"
    if not certain:
        return Statement(level="ok", text=f"No certain difference in {says}: {change}.")
    return Statement(level="ok" if better else "warn", text=f"B is {'better' if better else 'worse'} in {says}: {change}.")


def _videos(
    first: Run, second: Run, protocols: Sequence[Protocol], shared: Sequence[int], fps: Fraction, label: VideoLabel | None
) -> list[ComparisonVideo]:
    count = max(1, int(_VIDEO_S * fps))
    sources = {protocol.name: _pairs(first, second, protocol, shared, count) for protocol in protocols}
    encoded = encode_comparisons(sources, fps, _sound(first, shared, fps), SPEECH_SAMPLE_RATE_HZ, _VIDEO_BYTES, label)
    by_name = {protocol.name: protocol for protocol in protocols}
    return [
        ComparisonVideo(
            protocol=name,
            title=by_name[name].title,
            says=by_name[name].says,
            uri=as_uri(data),
            poster=poster_uri(first_frame(data), label.watermark_key if label else None),
            width=half[0],
            height=half[1],
            fps=float(fps),
            frames=frames,
            left="A",
            right="B",
        )
        for name, (data, half, frames) in encoded.items()
    ]


def _pairs(first: Run, second: Run, protocol: Protocol, shared: Sequence[int], count: int) -> Pairs:
    """Renders of the shared frames, or of both from their beginning where they share none."""

    def frames(run: Run) -> Iterator[Image]:
        path = run.artifacts.file("render", protocol.file)
        assert path is not None
        if not shared:
            return islice(read_frames(path), count)
        return read_selected_frames(path, _positions(run, shared[:count]))

    def opened() -> Iterator[tuple[Image, Image]]:
        for one, other in zip(frames(first), frames(second), strict=False):
            side = max(one.shape[0], other.shape[0])
            yield _scaled(one, side), _scaled(other, side)

    return opened


def _positions(run: Run, frame_ids: Sequence[int]) -> list[int]:
    place = {int(frame_id): position for position, frame_id in enumerate((run.artifacts.render or {})["frame_ids"])}
    return [place[frame_id] for frame_id in frame_ids]


def _scaled(image: Image, side: int) -> Image:
    if image.shape[0] == side:
        return image
    width = round(image.shape[1] * side / image.shape[0])
    return np.asarray(cv2.resize(image, (width, side), interpolation=cv2.INTER_CUBIC), dtype=np.uint8)


def _sound(run: Run, shared: Sequence[int], fps: Fraction) -> FloatArray | None:
    path = run.artifacts.file("denoise", "audio.wav")
    if path is None or not shared or list(shared) != list(range(shared[0], shared[0] + len(shared))):
        return None
    return np.asarray(read_audio(path)[round(shared[0] / fps * SPEECH_SAMPLE_RATE_HZ) :])


def _worst(first: Run, second: Run, shared: Sequence[int], fps: float, key: str | None) -> list[Picture]:
    table = per_frame_of_both(first, second, MODEL)
    clip = first.artifacts.file("ingest", "clip.mkv")
    file = next(protocol.file for protocol in PROTOCOLS if protocol.name == MODEL)
    renders = [run.artifacts.file("render", file) for run in (first, second)]
    if table is None or clip is None or None in renders or not shared:
        return []
    changed = most_changed(table[table["frame_id"].isin(shared)], "psnr_face", _WORST, max(1, round(0.4 * fps)))
    lost = {frame_id: change for frame_id, change in changed if change < 0}
    if not lost:
        return []
    ordered = sorted(lost)
    recorded = dict(zip(ordered, read_selected_frames(clip, ordered), strict=True))
    shown = [
        dict(zip(ordered, read_selected_frames(path, _positions(run, ordered)), strict=True))
        for run, path in zip((first, second), renders, strict=True)
        if path is not None
    ]
    place = {frame_id: position for position, frame_id in enumerate(shared)}
    faces = face_squares(first.artifacts, ordered, int(recorded[ordered[0]].shape[0]))
    return [
        picture_strip(
            [cut_square(image, faces[frame_id]) for image in (recorded[frame_id], shown[0][frame_id], shown[1][frame_id])],
            alt=f"The face in frame {frame_id}, from left to right: recording, A, B",
            caption=f"Frame {frame_id} ({frame_id / fps:.2f} s): face {change:+.1f} dB from A to B",
            position=place[frame_id],
            key=key,
        )
        for frame_id, change in lost.items()
    ]


def _plots(first: Run, second: Run) -> list[Plot]:
    plots: list[Plot | None] = []
    table = per_frame_of_both(first, second, MODEL)
    if table is not None:
        for column, title, unit in (
            ("psnr_face", "Face PSNR by frame", "dB"),
            ("psnr_mouth", "Mouth PSNR by frame", "dB"),
            ("lmd_px512", "Lip distance by frame", "px at 512"),
        ):
            plots.append(per_frame_plot(table, column, f"{title} ({MODEL})", unit, ("A", "B")))
    histories = {label: _whole_history(run) for label, run in (("A", first), ("B", second))}
    present = {label: history for label, history in histories.items() if history is not None}
    plots.append(training_plot(present, "psnr", "Training PSNR", "dB", one_after_another=False))
    plots.append(training_plot(present, "loss", "Training loss", "", logarithmic=True, one_after_another=False))
    return [plot for plot in plots if plot is not None]


def _whole_history(run: Run) -> pd.DataFrame | None:
    """Coarse and fine training of the head as one history; the torso's figures are of other pixels."""
    parts, seconds = [], 0.0
    for stage in ("train_coarse", "train_fine"):
        table = run.artifacts.histories.get(stage)
        if table is not None:
            parts.append(table.assign(seconds=table["seconds"] + seconds))
            seconds += float(table["seconds"].max())
    return pd.concat(parts, ignore_index=True) if parts else None

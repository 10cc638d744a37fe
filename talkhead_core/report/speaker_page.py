"""The report of one speaker: everything there is, in the order in which a person wants it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from talkhead_core.media.audio_file import SPEECH_SAMPLE_RATE_HZ, read_audio
from talkhead_core.media.frame_selection import read_selected_frames
from talkhead_core.media.video_reader import read_frames
from talkhead_core.metrics.protocol import PROTOCOLS, Protocol
from talkhead_core.parameters import require
from talkhead_core.progress import Progress, silent
from talkhead_core.provenance.page_statement import page_statement
from talkhead_core.provenance.video_label import VideoLabel
from talkhead_core.report.ablation_table import ablation_table
from talkhead_core.report.comparison_video import ComparisonVideo, Pairs, as_uri, encode_comparisons, first_frame
from talkhead_core.report.html_page import render_page
from talkhead_core.report.pictures import Picture, mask_pictures, poster_uri, worst_frames
from talkhead_core.report.plots import Plot, coverage_plot, mouth_opening_plot, per_frame_plot, pose_plot, training_plot
from talkhead_core.report.speaker_artifacts import SpeakerArtifacts
from talkhead_core.report.tables import comparison_table, flat_rows, licence_table, metrics_table, weights_table
from talkhead_core.report.verdict import judge
from talkhead_core.types import FloatArray, Image

__all__ = ["ReportConfig", "speaker_page"]

_SHOWN_FIRST = ("full/self", "head/self", "head/wrong_audio")
_WORST_FIRST = ("fail", "warn", "ok")
_PLOTTED = ("head/self", "head/wrong_audio", "head/static_mouth", "head/retrieval")


@dataclass(frozen=True, kw_only=True)
class ReportConfig:
    """What goes into the page.

    Args:
        video_s: at most so many seconds of held-out frames are embedded.
        video_mb: all embedded videos together; the page is a third larger than this and a little.
        worst_frames: how many of the worst frames are shown.
    """

    video_s: float = 20.0
    video_mb: float = 7.5
    worst_frames: int = 5

    def __post_init__(self) -> None:
        require(self.video_s > 0, "video_s must be above 0")
        require(0 < self.video_mb <= 9.0, "video_mb must be above 0 and at most 9, or the page exceeds 15 MB")
        require(self.worst_frames >= 0, "worst_frames must be 0 or more")


def speaker_page(
    name: str,
    artifacts: SpeakerArtifacts,
    parameters: Mapping[str, Any],
    dubs: Sequence[tuple[str, str]],
    config: ReportConfig,
    progress: Progress = silent,
    label: VideoLabel | None = None,
) -> str:
    """The page as HTML text; parts that are missing are named on it.

    Args:
        name: of the speaker.
        artifacts: what the stages wrote.
        parameters: section -> resolved parameters of this speaker.
        dubs: (name, relative link) of dubbed videos.
        config: what goes in.
        progress: told after each part.
        label: the credentials of the videos on the page, the mark of its videos and pictures, and what the page says of them.
    """
    render, metrics = artifacts.render or {}, artifacts.metrics
    fps = Fraction(render.get("fps") or (artifacts.ingest or {}).get("clip", {}).get("fps", "25"))
    held_out = [int(frame_id) for frame_id in render.get("frame_ids", [])]
    progress(0, 4, "videos")
    videos = _videos(artifacts, held_out, fps, config, label)
    progress(1, 4, "pictures")
    worst: list[Picture] = []
    key = label.watermark_key if label else None
    judged = next(iter(_protocols(artifacts, ("head/self", "full/self"))), None)
    if judged is not None:
        worst = worst_frames(artifacts, judged.name, judged.file, float(fps), config.worst_frames, key)
    masks = mask_pictures(artifacts)
    progress(2, 4, "plots")
    plots = _plots(artifacts, held_out)
    progress(3, 4, "page")
    return render_page(
        "speaker_page.html",
        title=f"{name}: talking head",
        name=name,
        statement=page_statement([label.origin.facts()]) if label else None,
        verdict=judge(metrics),
        videos=videos,
        worst=worst,
        worst_protocol=judged.name if judged else "",
        rate=_rate((artifacts.ingest or {}).get("source", {}).get("fps")),
        masks=masks,
        plots=plots,
        dubs=list(dubs),
        ingest=artifacts.ingest,
        findings=sorted((artifacts.ingest or {}).get("findings", []), key=lambda finding: _WORST_FIRST.index(finding["level"])),
        consent=flat_rows((artifacts.ingest or {}).get("consent") or {}),
        denoise=artifacts.denoise,
        denoise_levels=_denoise_levels(artifacts.denoise),
        tracking=flat_rows(artifacts.track_summary or {}),
        metrics=metrics,
        tables=_tables(metrics) + ([ablation_table(artifacts.ablation)] if artifacts.ablation else []),
        says=_says(metrics),
        rendering=_rendering(render, held_out, fps),
        parameters=[(section, flat_rows(values)) for section, values in parameters.items() if values],
        model=flat_rows(artifacts.model or {}),
        hashes=_hashes(artifacts),
        licences=licence_table(),
        weights=weights_table(parameters),
        missing=artifacts.missing,
    )


def _videos(
    artifacts: SpeakerArtifacts, held_out: Sequence[int], fps: Fraction, config: ReportConfig, label: VideoLabel | None
) -> list[ComparisonVideo]:
    clip = artifacts.file("ingest", "clip.mkv")
    if clip is None or not held_out:
        return []
    count = min(len(held_out), max(1, int(config.video_s * fps)))
    protocols = {protocol.name: protocol for protocol in _protocols(artifacts, _SHOWN_FIRST)}
    sources = {name: _pairs(clip, artifacts.folder / "render" / protocol.file, held_out[:count]) for name, protocol in protocols.items()}
    audio = _held_out_audio(artifacts, held_out, fps)
    encoded = encode_comparisons(sources, fps, audio, SPEECH_SAMPLE_RATE_HZ, int(config.video_mb * 1e6), label)
    return [
        ComparisonVideo(
            protocol=name,
            title=protocols[name].title,
            says=protocols[name].says,
            uri=as_uri(data),
            poster=poster_uri(first_frame(data), label.watermark_key if label else None),
            width=half[0],
            height=half[1],
            fps=float(fps),
            frames=frames,
        )
        for name, (data, half, frames) in encoded.items()
    ]


def _protocols(artifacts: SpeakerArtifacts, names: Sequence[str]) -> list[Protocol]:
    by_name = {protocol.name: protocol for protocol in PROTOCOLS}
    return [by_name[name] for name in names if artifacts.file("render", by_name[name].file)]


def _pairs(clip: Path, rendered: Path, frame_ids: Sequence[int]) -> Pairs:
    def opened() -> Iterator[tuple[Image, Image]]:
        references = read_selected_frames(clip, frame_ids)
        for reference, render in zip(references, islice(read_frames(rendered), len(frame_ids)), strict=False):
            size = (render.shape[1], render.shape[0])
            yield np.asarray(cv2.resize(reference, size, interpolation=cv2.INTER_AREA), dtype=np.uint8), render

    return opened


def _held_out_audio(artifacts: SpeakerArtifacts, held_out: Sequence[int], fps: Fraction) -> FloatArray | None:
    path = artifacts.file("denoise", "audio.wav")
    if path is None or list(held_out) != list(range(held_out[0], held_out[0] + len(held_out))):
        return None
    return np.asarray(read_audio(path)[round(held_out[0] / fps * SPEECH_SAMPLE_RATE_HZ) :])


def _plots(artifacts: SpeakerArtifacts, held_out: Sequence[int]) -> list[Plot]:
    plots: list[Plot | None] = []
    if artifacts.per_frame is not None:
        table, protocols = artifacts.per_frame, (artifacts.metrics or {}).get("protocols", {})
        plots += [
            mouth_opening_plot(table, "head/self", protocols.get("head/self", {})),
            per_frame_plot(table, "psnr_face", "Face PSNR by frame", "dB", _PLOTTED),
            per_frame_plot(table, "psnr_mouth", "Mouth PSNR by frame", "dB", _PLOTTED),
            per_frame_plot(table, "lmd_px512", "Lip distance by frame", "px at 512", _PLOTTED),
        ]
    plots += [
        training_plot(artifacts.histories, "psnr", "Training PSNR", "dB"),
        training_plot(artifacts.histories, "loss", "Training loss", "", logarithmic=True),
    ]
    if artifacts.track is not None:
        plots.append(pose_plot(artifacts.track, held_out))
    plots.append(coverage_plot(artifacts.transient, artifacts.inpaint))
    return [plot for plot in plots if plot is not None]


def _tables(metrics: Mapping[str, Any] | None) -> list[Any]:
    if not metrics:
        return []
    return [table for table in (metrics_table(metrics), comparison_table(metrics)) if table is not None]


def _says(metrics: Mapping[str, Any] | None) -> list[tuple[str, str]]:
    return list((metrics or {}).get("protocol_says", {}).items())


def _rendering(render: Mapping[str, Any], held_out: Sequence[int], fps: Fraction) -> str:
    if not held_out:
        return ""
    text = f"Held out: the {len(held_out)} frames {held_out[0]} to {held_out[-1]} ({float(len(held_out) / fps):.1f} s), never trained on"
    seconds = render.get("seconds_per_frame")
    if seconds:
        text += f"; rendered at {render.get('size_px', '?')} px in {seconds:.3f} s a frame"
    return text + "."


def _rate(fps: Any) -> str:
    try:
        return f"{float(Fraction(str(fps))):.5g}"
    except (ValueError, ZeroDivisionError):
        return "?"


def _denoise_levels(denoise: Mapping[str, Any] | None) -> list[tuple[str, str, str]]:
    before, after = (denoise or {}).get("before") or {}, (denoise or {}).get("after") or {}
    return [(_level_name(key), _level(before[key]), _level(after.get(key))) for key in before]


def _level_name(key: str) -> str:
    if key == "active":
        return "speech (share of the time)"
    name, _, unit = key.rpartition("_")
    units = {"db": "dB", "dbfs": "dBFS", "s": "s", "hz": "Hz"}
    return f"{name.replace('_', ' ').replace('snr', 'SNR')} ({units[unit]})" if unit in units else key.replace("_", " ")


def _level(value: Any) -> str:
    return "–" if value is None else f"{value:.1f}" if isinstance(value, float) else str(value)


def _hashes(artifacts: SpeakerArtifacts) -> list[tuple[str, str]]:
    source = (artifacts.ingest or {}).get("source", {})
    rows = [(f"source video {source.get('file', '')}".strip(), str(source["sha256"]))] if source.get("sha256") else []
    return rows + [(key, value) for key, value in flat_rows(artifacts.model or {}) if key.endswith(("sha256", "hash", "signature"))]

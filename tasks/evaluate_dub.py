"""Score dubs, to which there is no recording to compare: ``python -m tasks.evaluate_dub --rendered DUB.mp4 [--speaker NAME]``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from talkhead_core.audio.voice_activity import voice_activity
from talkhead_core.errors import InputError, TalkheadError
from talkhead_core.face.landmarks import LandmarksConfig, build_landmarker
from talkhead_core.footage.audio_video_offset import LIPS_LEAD_S, RHYTHM_RATE_HZ, audio_video_offset, speech_rhythms
from talkhead_core.media.audio_file import SPEECH_SAMPLE_RATE_HZ, read_audio
from talkhead_core.media.probe import probe_video
from talkhead_core.media.resampled_frames import resampled_frames
from talkhead_core.metrics.dub import DubFigures, change_per_frame, dub_document, dub_figures
from talkhead_core.metrics.evaluation import EvaluateConfig, ExtraMetrics, load_extra_metrics
from talkhead_core.metrics.lip_sync import mouth_opening
from talkhead_core.metrics.mouth_and_sound import MouthSoundScores, mouth_sound_scores, still_mouth_opening
from talkhead_core.metrics.protocol import CROSS_STATIC_MOUTH, CROSS_WRONG_SOUND, Protocol, cross_protocol
from talkhead_core.speakers import check_speaker_name
from talkhead_core.types import FloatArray, Image
from tasks.evaluation_files import VIDEO_SUFFIXES, FileOptions, add_file_options, tell_documents, write_files
from tasks.stage import resolve_section
from tasks.sync_error import LSE, SyncError

__all__ = ["MeasuredDub", "dub_protocol", "measure_dub"]

_STACKED_FRAMES = 1000
_WITHOUT_REFERENCE = ("brisque", "niqe")


@dataclass(frozen=True, kw_only=True, eq=False)
class MeasuredDub:
    """A dub with its figures.

    Args:
        figures: what was measured.
        level_dbfs: ``[frames]`` of its sound.
        fps: of the video.
        document: the same in the form of ``metrics.json``.
        change: ``[frames]``, how much each picture differs from the one before.
    """

    figures: DubFigures
    level_dbfs: FloatArray
    fps: Fraction
    document: dict[str, Any]
    change: FloatArray


def measure_dub(video: Path, protocol: Protocol, audio: Path | None = None, config: EvaluateConfig | None = None) -> MeasuredDub:
    """Everything that can be measured without a reference.

    Args:
        video: the dub.
        protocol: how it was made.
        audio: the speech it was made from; the dub's own sound when None.
        config: landmarker, and how often the slow metrics are computed.

    Raises:
        FootageError: a file cannot be read.
    """
    config = config or EvaluateConfig()
    probe = probe_video(video)
    fps, size = probe.fps, (probe.width, probe.height)
    landmarker = build_landmarker(LandmarksConfig(landmarker=config.landmarker))
    rows = landmarker.detect(resampled_frames(probe, *size, fps), [[0, sys.maxsize]])
    parts = iter(lambda: [row.points[:, :2] for row in islice(rows, _STACKED_FRAMES)], [])
    points = np.concatenate([np.stack(part) for part in parts])
    change = change_per_frame(resampled_frames(probe, *size, fps))
    sound = read_audio(audio or video)
    times_s = np.arange(len(points)) / float(fps)
    lips = {"own": mouth_opening(points), "still": still_mouth_opening(points)}
    synced, late = _offsets(times_s, lips, sound, float(fps), protocol.name)
    figures = dub_figures(
        points,
        change,
        voice_activity(sound, fps, len(points)),
        float(fps),
        len(sound) / SPEECH_SAMPLE_RATE_HZ,
        size_px=min(size),
        mouth_late_frames=late,
        mouth_sound=_mouth_sound(times_s, lips, sound, config),
        bootstrap=config.bootstrap,
    )
    extra = load_extra_metrics(Path("weights"), config)
    sampled = _sampled_metrics(resampled_frames(probe, *size, fps), len(points), extra, config)
    heard = SyncError(Path("weights")).with_wrong_sound(probe, audio)
    missing = dict(extra.not_available)
    if isinstance(heard, str):
        missing |= dict.fromkeys(LSE, heard)
    else:
        for name, found in zip((protocol.name, CROSS_WRONG_SOUND.name), heard, strict=True):
            synced[name] |= found
    document = dub_document(
        figures,
        protocol,
        float(fps),
        sampled=sampled,
        synced=synced,
        not_available=missing,
        landmarker=config.landmarker,
        bootstrap=config.bootstrap,
    )
    level = _level_dbfs(sound, fps, len(points))
    return MeasuredDub(figures=figures, level_dbfs=level, fps=fps, document=document, change=change)


def dub_protocol(root: Path, speaker: str | None) -> Protocol:
    """The protocol that a speaker's parameters make dubs under; ``video/cross`` where no speaker is given."""
    return cross_protocol(None if speaker is None else resolve_section(root, speaker, "dub").get("torso", "source"))


def _offsets(
    times_s: FloatArray, lips: Mapping[str, FloatArray], sound: FloatArray, fps: float, own: str
) -> tuple[dict[str, dict[str, float]], float | None]:
    """Protocol -> how late the mouth is and how many resamples agree, for the dub and its controls; and how late the dub's is.

    A control that gave a sure offset would say that offsets mean nothing here.
    """
    heard = {
        own: (lips["own"], sound),
        CROSS_WRONG_SOUND.name: (lips["own"], np.roll(sound, len(sound) // 2)),
        CROSS_STATIC_MOUTH.name: (lips["still"], sound),
    }
    found = {name: audio_video_offset(times_s, opening, audio, SPEECH_SAMPLE_RATE_HZ) for name, (opening, audio) in heard.items()}
    late = {name: -offset.seconds * fps for name, offset in found.items() if offset.sure}
    told = {name: {"mouth_late_agreement": offset.agreement} for name, offset in found.items()}
    return {name: values | ({"mouth_late_frames": late[name]} if name in late else {}) for name, values in told.items()}, late.get(own)


def _mouth_sound(times_s: FloatArray, lips: Mapping[str, FloatArray], sound: FloatArray, config: EvaluateConfig) -> MouthSoundScores | None:
    rhythms = [speech_rhythms(times_s + LIPS_LEAD_S, opening, sound, SPEECH_SAMPLE_RATE_HZ) for opening in lips.values()]
    if rhythms[0] is None or rhythms[1] is None:
        return None
    (own, heard), (still, _) = rhythms[0], rhythms[1]
    return mouth_sound_scores(own, still, heard, RHYTHM_RATE_HZ, config.bootstrap)


def _sampled_metrics(images: Iterable[Image], frames: int, extra: ExtraMetrics, config: EvaluateConfig) -> dict[str, FloatArray]:
    """``[frames]`` of each slow metric, NaN where it is not computed."""
    functions = {name: extra.functions[name] for name in _WITHOUT_REFERENCE if name in extra.functions}
    values = {name: np.full(frames, np.nan) for name in functions}
    for index, image in enumerate(images) if functions else ():
        if index % max(config.slow_every, 1) == 0:
            for name, function in functions.items():
                values[name][index] = function(image, image)
    return values


def _level_dbfs(sound: FloatArray, fps: Fraction, frames: int) -> FloatArray:
    edges = [round(i * SPEECH_SAMPLE_RATE_HZ / fps) for i in range(frames + 1)]
    power = [float(np.mean(sound[a:b] ** 2)) if len(sound[a:b]) else 0.0 for a, b in zip(edges, edges[1:], strict=False)]
    return np.asarray(10.0 * np.log10(np.maximum(power, 1e-8)))


def main(argv: list[str] | None = None) -> int:
    """Entry point; 1 when a dub cannot be read."""
    parser = argparse.ArgumentParser(prog="talkhead evaluate", description=__doc__)
    parser.add_argument("--rendered", type=Path, required=True, help="the dub, or a folder of dubs")
    parser.add_argument("--audio", type=Path, help="the speech it was made from; the dub's own sound by default")
    parser.add_argument("--speaker", help="whose dub it is")
    add_file_options(parser)
    arguments = parser.parse_args(argv)
    try:
        protocol = dub_protocol(Path.cwd(), check_speaker_name(arguments.speaker) if arguments.speaker else None)
        folder = arguments.rendered.is_dir()
        if folder and arguments.audio:
            raise InputError("--audio goes with one dub, not with a folder of them")
        documents, errors = _documents(arguments.rendered, protocol, arguments.audio)
        write_files(documents, FileOptions.of(arguments), errors if folder else None)
    except TalkheadError as error:
        sys.stderr.write(f"evaluate: {error}\n")
        return 1
    return tell_documents(documents, errors)


def _documents(rendered: Path, protocol: Protocol, audio: Path | None) -> tuple[dict[str, dict[str, Any]], dict[str, str]]:
    """Name -> figures, and name -> error for the dubs of a folder that cannot be read."""
    if not rendered.is_dir():
        return {rendered.stem: measure_dub(rendered, protocol, audio).document}, {}
    videos = sorted(path for path in rendered.iterdir() if path.suffix.lower() in VIDEO_SUFFIXES)
    if not videos:
        raise InputError(f"{rendered}: holds no video; give a dub or a folder of dubs")
    documents: dict[str, dict[str, Any]] = {}
    errors: dict[str, str] = {}
    for video in videos:
        try:
            documents[video.stem] = measure_dub(video, protocol).document
        except TalkheadError as error:
            errors[video.stem] = str(error)
    return documents, errors


if __name__ == "__main__":
    raise SystemExit(main())

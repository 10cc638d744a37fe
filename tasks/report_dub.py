"""One page about one dub: ``python -m tasks.report_dub --video DUB.mp4 [--speaker NAME] [--audio A] [--out PAGE.html]``."""

from __future__ import annotations

import argparse
import os
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np

from talkhead_core.artifacts import write_text
from talkhead_core.audio.voice_activity import voice_activity
from talkhead_core.errors import TalkheadError
from talkhead_core.face.landmarks import LandmarksConfig, build_landmarker
from talkhead_core.media.audio_file import SPEECH_SAMPLE_RATE_HZ, read_audio
from talkhead_core.media.probe import probe_video
from talkhead_core.media.resampled_frames import resampled_frames
from talkhead_core.metrics.dub import DubFigures, change_per_frame, dub_figures
from talkhead_core.report.dub_page import dub_page
from talkhead_core.types import FloatArray

__all__ = ["measure_dub", "write_dub_page"]


def measure_dub(video: Path, audio: Path | None = None) -> tuple[DubFigures, FloatArray, Fraction]:
    """Figures of a dub, the level of its sound in each frame (dBFS), and its frame rate.

    Args:
        video: the dub.
        audio: the speech it was made from; the dub's own sound when None.

    Raises:
        FootageError: a file cannot be read.
    """
    probe = probe_video(video)
    fps, size = probe.fps, (probe.width, probe.height)
    landmarker = build_landmarker(LandmarksConfig())
    points = np.stack([row.points for row in landmarker.detect(resampled_frames(probe, *size, fps), [[0, sys.maxsize]])])
    change = change_per_frame(resampled_frames(probe, *size, fps))
    sound = read_audio(audio or video)
    figures = dub_figures(points, change, voice_activity(sound, fps, len(points)), float(fps), len(sound) / SPEECH_SAMPLE_RATE_HZ)
    return figures, _level_dbfs(sound, fps, len(points)), fps


def write_dub_page(video: Path, page: Path, speaker: str | None = None, audio: Path | None = None) -> None:
    """Measure a dub and write its page."""
    figures, level, fps = measure_dub(video, audio)
    made_from = {"video": video.name, "frames": figures.frames, "fps": str(fps)}
    made_from |= {"speaker": speaker} if speaker else {}
    made_from |= {"audio": audio.name} if audio else {}
    link = Path(os.path.relpath(video.resolve(), page.resolve().parent)).as_posix()
    write_text(page, dub_page(video, link, figures, level, float(fps), made_from))


def _level_dbfs(sound: FloatArray, fps: Fraction, frames: int) -> FloatArray:
    edges = [round(i * SPEECH_SAMPLE_RATE_HZ / fps) for i in range(frames + 1)]
    power = [float(np.mean(sound[a:b] ** 2)) if len(sound[a:b]) else 0.0 for a, b in zip(edges, edges[1:], strict=False)]
    return np.asarray(10.0 * np.log10(np.maximum(power, 1e-8)))


def main(argv: list[str] | None = None) -> int:
    """Entry point; prints the page's path, 1 when the dub cannot be read."""
    parser = argparse.ArgumentParser(prog="python -m tasks.report_dub", description=__doc__)
    parser.add_argument("--video", type=Path, required=True)
    parser.add_argument("--audio", type=Path, help="the speech it was made from; the dub's own sound by default")
    parser.add_argument("--speaker")
    parser.add_argument("--out", type=Path, help="the page; beside the video by default")
    arguments = parser.parse_args(argv)
    page = arguments.out or arguments.video.with_suffix(".html")
    try:
        write_dub_page(arguments.video, page, arguments.speaker, arguments.audio)
    except TalkheadError as error:
        sys.stderr.write(f"report_dub: {error}\n")
        return 1
    sys.stdout.write(f"{page}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

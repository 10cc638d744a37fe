"""Score any video, or folder of videos, against its reference: ``python -m tasks.evaluate_pair --reference R --rendered X``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd

from talkhead_core.artifacts import write_text
from talkhead_core.errors import FootageError, InputError, TalkheadError
from talkhead_core.face.landmarks import LandmarksConfig, build_landmarker
from talkhead_core.media.probe import VideoProbe, probe_video
from talkhead_core.media.resampled_frames import resampled_frames
from talkhead_core.metrics.alignment import TimeOffset, estimate_offset, motion_signature
from talkhead_core.metrics.evaluation import (
    EvaluateConfig,
    load_extra_metrics,
    metrics_document,
    score_protocols,
    with_landmark_scores,
)
from talkhead_core.metrics.frame_scores import ReferenceFrame, region_masks
from talkhead_core.metrics.lip_sync import LMD_SIZE_PX
from talkhead_core.metrics.pair_controls import lip_controls
from talkhead_core.metrics.protocol import PAIR, PAIR_STATIC_MOUTH, PAIR_WRONG_TIME
from talkhead_core.types import FloatArray, Image
from tasks.evaluation_files import VIDEO_SUFFIXES, FileOptions, add_file_options, tell_documents, write_files
from tasks.pair_extras import add_extras

__all__ = ["evaluate_folder", "evaluate_pair"]

_THUMBNAIL_PX = 96
_LARGEST_OFFSET_S = 4.0
_LARGEST_ASPECT_CHANGE = 0.02


def evaluate_pair(
    reference: Path, rendered: Path, config: EvaluateConfig | None = None, weights: Path = Path("weights")
) -> tuple[dict[str, Any], pd.DataFrame]:
    """Metrics of one pair and its controls, and one row a frame of the pair.

    The rendered video is aligned in time with the reference, resampled to its rate and resized to its size.

    Raises:
        FootageError: a file is not a whole video, the two show different cut-outs, or they do not overlap.
    """
    config = config or EvaluateConfig()
    probes = probe_video(reference), probe_video(rendered)
    width, height, fps = probes[0].width, probes[0].height, probes[0].fps
    aspects = [probe.width / probe.height for probe in probes]
    if abs(aspects[1] / aspects[0] - 1.0) > _LARGEST_ASPECT_CHANGE:
        sizes = [f"{probe.width}x{probe.height}" for probe in probes]
        advice = "give the same cut-out of both: a dub with --frame full, or the clip.mkv of the ingest stage as the recording"
        raise FootageError(rendered, f"is {sizes[1]} where {reference.name} is {sizes[0]}: another part of the picture", advice)
    signatures = [motion_signature(resampled_frames(probe, _THUMBNAIL_PX, _THUMBNAIL_PX, fps)) for probe in probes]
    limit = min(round(_LARGEST_OFFSET_S * fps), len(signatures[0]), len(signatures[1]))
    found = estimate_offset(signatures[0], signatures[1], limit)
    offset = found.frames if found.certain else 0
    first, second = max(0, -offset), max(0, offset)
    frames = min(len(signatures[0]) - first, len(signatures[1]) - second)
    if frames < 1:
        raise FootageError(rendered, f"shares no frame with {reference.name}", "give two videos of the same scene")

    def images(probe: VideoProbe, start: int) -> Iterator[Image]:
        return islice(resampled_frames(probe, width, height, fps), start, start + frames)

    detector = LandmarksConfig(landmarker=config.landmarker, follow=False, looks=config.looks)
    points = [_landmarks(images(probe, start), detector) for probe, start in zip(probes, (first, second), strict=True)]
    extra = load_extra_metrics(weights, config)
    references = (
        ReferenceFrame(frame_id=first + index, image=image, masks=region_masks(at, height, width))
        for index, (image, at) in enumerate(zip(images(probes[0], first), points[0], strict=True))
    )
    table = score_protocols(references, {PAIR: images(probes[1], second)}, frames, extra, config)
    table = with_landmark_scores(table, points[0], {PAIR.name: points[1]}, min(width, height))
    controls = lip_controls(table["frame_id"].to_numpy(), points[0], points[1], min(width, height))
    with_controls = pd.concat([table, controls], ignore_index=True)
    document = metrics_document(with_controls, [PAIR, PAIR_WRONG_TIME, PAIR_STATIC_MOUTH], float(fps), extra, config)
    document["alignment"] = _alignment(probes, found, offset, fps, frames)
    add_extras(document["protocols"][PAIR.name], document["not_available"], *probes, offset, weights)
    return document, table


def evaluate_folder(references: Path, rendered: Path, config: EvaluateConfig | None = None) -> tuple[dict[str, Any], dict[str, str]]:
    """Every video of ``rendered`` against the file with its stem in ``references``.

    Returns:
        Stem -> document, and stem -> error for the pairs that failed.

    Raises:
        InputError: no stem is in both folders.
    """
    stems = [
        {file.stem: file for file in sorted(folder.iterdir()) if file.suffix.lower() in VIDEO_SUFFIXES} for folder in (references, rendered)
    ]
    shared = [stem for stem in stems[0] if stem in stems[1]]
    if not shared:
        raise InputError(f"{references} and {rendered} share no video name; a pair is two files with the same stem")
    documents: dict[str, Any] = {}
    errors = {stem: f"no video called {stem} in {references}" for stem in stems[1] if stem not in stems[0]}
    for stem in shared:
        try:
            documents[stem], _ = evaluate_pair(stems[0][stem], stems[1][stem], config)
        except TalkheadError as error:
            errors[stem] = str(error)
    return documents, errors


def _landmarks(frames: Iterator[Image], config: LandmarksConfig) -> FloatArray:
    """``[frames, P, 3]`` in pixels of the frames given; frames with a short side below 512 are enlarged for the search."""
    scale = 1.0

    def enlarged() -> Iterator[Image]:
        nonlocal scale
        for frame in frames:
            scale = max(1.0, LMD_SIZE_PX / min(frame.shape[:2]))
            yield (
                frame
                if scale == 1.0
                else np.asarray(cv2.resize(frame, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC), dtype=np.uint8)
            )

    rows = [row.points for row in build_landmarker(config).detect(enlarged(), [[0, sys.maxsize]])]
    return np.asarray(np.stack(rows) / scale)


def _alignment(probes: tuple[VideoProbe, VideoProbe], found: TimeOffset, used: int, fps: Fraction, frames: int) -> dict[str, Any]:
    return {
        "offset_frames": used,
        "offset_s": round(used / float(fps), 4),
        "offset_correlation": round(found.correlation, 4),
        "offset_certain": found.certain,
        "fps": str(fps),
        "frames": frames,
        "reference_frames": probes[0].frames,
        "rendered_frames": probes[1].frames,
        "rendered_fps": str(probes[1].fps),
        "reference_size": f"{probes[0].width}x{probes[0].height}",
        "rendered_size": f"{probes[1].width}x{probes[1].height}",
    }


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="talkhead evaluate", description=__doc__)
    parser.add_argument("--reference", type=Path, required=True, help="the recording, or a folder of recordings")
    parser.add_argument("--rendered", type=Path, required=True, help="the video to score, or a folder with the same file names")
    parser.add_argument("--per-frame", type=Path, help="write one row a frame to this CSV file (one pair only)")
    add_file_options(parser)
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Entry point; 0 when every pair was scored, 1 otherwise."""
    arguments = _arguments(argv)
    options, folder = FileOptions.of(arguments), arguments.reference.is_dir()
    try:
        if folder != arguments.rendered.is_dir():
            raise InputError(f"{arguments.reference} and {arguments.rendered}: give two videos or two folders")
        if folder:
            if arguments.per_frame:
                raise InputError("--per-frame takes one pair of videos, not folders")
            documents, errors = evaluate_folder(arguments.reference, arguments.rendered)
            write_files(documents, options, errors)
        else:
            document, table = evaluate_pair(arguments.reference, arguments.rendered)
            documents, errors = {arguments.rendered.stem: document}, {}
            if arguments.per_frame:
                write_text(arguments.per_frame, table.to_csv(index=False))
            write_files(documents, options)
    except TalkheadError as error:
        sys.stderr.write(f"evaluate: {error}\n")
        return 1
    return tell_documents(documents, errors)


if __name__ == "__main__":
    raise SystemExit(main())

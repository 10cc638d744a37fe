"""Stage ``evaluate``: score the held-out frames of every protocol against the recording."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from talkhead_core.artifacts import read_arrays, read_json, whole_file, write_json
from talkhead_core.errors import InputError
from talkhead_core.face.landmarks import LandmarksConfig, build_landmarker
from talkhead_core.media.frame_selection import read_selected_frames
from talkhead_core.media.video_reader import read_frames, read_gray_frames, video_info
from talkhead_core.metrics.evaluation import (
    EvaluateConfig,
    load_extra_metrics,
    metrics_document,
    score_protocols,
    with_landmark_scores,
)
from talkhead_core.metrics.frame_scores import ReferenceFrame, region_masks
from talkhead_core.metrics.lip_sync import LMD_SIZE_PX
from talkhead_core.metrics.protocol import PROTOCOLS, Protocol
from talkhead_core.types import FloatArray, Image
from tasks.stage import Stage, main


def run(stage: Stage) -> None:
    """Write ``metrics.json`` and ``per_frame.parquet``."""
    config = stage.section(EvaluateConfig)
    render = stage.inputs("render")
    rendering = read_json(render / "render.json")
    frame_ids, fps = [int(frame_id) for frame_id in rendering["frame_ids"]], Fraction(rendering["fps"])
    protocols = [protocol for protocol in PROTOCOLS if (render / protocol.file).is_file()]
    _check_lengths(render, protocols, len(frame_ids))
    extra = load_extra_metrics(stage.root / "weights", config)
    total = 2 * len(frame_ids)
    table = score_protocols(
        _references(stage, frame_ids, int(rendering["size_px"])),
        {protocol: read_frames(render / protocol.file) for protocol in protocols},
        len(frame_ids),
        extra,
        config,
        lambda done, _, note="": stage.progress(done, total, note),
    )
    reference_points = found_landmarks(_selected(stage, frame_ids, int(rendering["size_px"])), config.landmarker, config.looks)
    rendered_points: dict[str, FloatArray] = {}
    for index, protocol in enumerate(protocols):
        rendered_points[protocol.name] = found_landmarks(read_frames(render / protocol.file), config.landmarker, config.looks)
        stage.progress(len(frame_ids) + len(frame_ids) * (index + 1) // len(protocols), total, f"landmarks of {protocol.name}")
    table = with_landmark_scores(table, reference_points, rendered_points, LMD_SIZE_PX)
    write_json(stage.out / "metrics.json", metrics_document(table, protocols, float(fps), extra, config))
    write_table(stage.out / "per_frame.parquet", table)


def found_landmarks(frames: Iterator[Image], landmarker: str, looks: int = EvaluateConfig.looks) -> FloatArray:
    """Landmarks ``[frames, P, 3]`` in pixels of a frame of 512, each frame's by itself, mean of some looks; NaN rows without a face.

    Small frames are enlarged to 512 first, for reference and render alike: a face under 60 px is not found.
    """
    detector = build_landmarker(LandmarksConfig(landmarker=landmarker, follow=False, looks=looks))
    return np.stack([row.points for row in detector.detect(map(_at_512, frames), [[0, sys.maxsize]])])


def write_table(path: Path, table: pd.DataFrame) -> None:
    """Write a table as Parquet, whole."""
    with whole_file(path) as temporary:
        table.to_parquet(temporary, index=False)


def _at_512(frame: Image) -> Image:
    if frame.shape[0] == LMD_SIZE_PX:
        return frame
    how = cv2.INTER_CUBIC if frame.shape[0] < LMD_SIZE_PX else cv2.INTER_AREA
    return np.asarray(cv2.resize(frame, (LMD_SIZE_PX, LMD_SIZE_PX), interpolation=how), dtype=np.uint8)


def _references(stage: Stage, frame_ids: Sequence[int], size_px: int) -> Iterator[ReferenceFrame]:
    landmarks = read_arrays(stage.inputs("landmarks") / "landmarks.safetensors")
    row_of = {int(frame_id): row for row, frame_id in enumerate(landmarks["frame_id"])}
    streams = zip(
        _selected(stage, frame_ids, size_px),
        read_gray_frames(stage.inputs("render") / "region.mkv"),
        read_selected_frames(stage.inputs("segment") / "labels.mkv", frame_ids, "gray"),
        read_selected_frames(stage.inputs("flow_masks") / "transient.mkv", frame_ids, "gray"),
        strict=False,
    )
    clip_px = video_info(stage.inputs("ingest") / "clip.mkv").width
    for frame_id, (image, head, labels, transient) in zip(frame_ids, streams, strict=True):
        small = (size_px, size_px)
        labels = cv2.resize(labels, small, interpolation=cv2.INTER_NEAREST)
        masks = region_masks(
            landmarks["points"][row_of[frame_id]] * (size_px / clip_px),
            size_px,
            size_px,
            head=head,
            labels=labels,
            transient=cv2.resize(transient, small, interpolation=cv2.INTER_AREA),
        )
        yield ReferenceFrame(frame_id=frame_id, image=image, masks=masks, labels=labels)


def _selected(stage: Stage, frame_ids: Sequence[int], size_px: int) -> Iterator[Image]:
    for frame in read_selected_frames(stage.inputs("ingest") / "clip.mkv", frame_ids):
        yield np.asarray(cv2.resize(frame, (size_px, size_px), interpolation=cv2.INTER_AREA), dtype=np.uint8)


def _check_lengths(render: Path, protocols: Sequence[Protocol], frames: int) -> None:
    if not protocols or frames == 0:
        raise InputError(f"{render}: holds no held-out video to score; run the render stage")
    for protocol in protocols:
        found = video_info(render / protocol.file).frames
        if found != frames:
            raise InputError(f"{render / protocol.file}: {found} frames where render.json names {frames}; run the render stage again")


if __name__ == "__main__":
    main(run)

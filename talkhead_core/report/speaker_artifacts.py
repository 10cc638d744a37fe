"""What the stages wrote about a speaker, as far as it is there; a page can be built from any part of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd

from talkhead_core.artifacts import read_arrays, read_json
from talkhead_core.errors import TalkheadError

__all__ = ["TRAINING_STAGES", "SpeakerArtifacts", "read_speaker_artifacts"]

T = TypeVar("T")

TRAINING_STAGES = ("train_coarse", "train_fine", "train_torso")


@dataclass(frozen=True, kw_only=True, eq=False)
class SpeakerArtifacts:
    """One speaker's folder, read.

    Args:
        folder: ``data/<speaker>``.
        ingest: ``ingest.json``, or None.
        denoise: ``denoise.json``, or None.
        track: arrays of ``track.safetensors``, or None.
        track_summary: ``track.json``, or None.
        segment: ``segment.json``, or None.
        transient: ``flow_masks/coverage.json``, or None.
        inpaint: ``inpaint/coverage.json``, or None.
        histories: training stage -> its ``history.parquet``; those that are there.
        model: ``train_torso/model.json``, or None.
        render: ``render.json``, or None.
        metrics: ``metrics.json``, or None.
        per_frame: ``per_frame.parquet``, or None.
        missing: one sentence for each part that is not there or cannot be read.
        ablation: ``ablation/ablation.json``, which ``benchmarks.wild_ablation`` writes for those who ask, or None.
    """

    folder: Path
    ingest: dict[str, Any] | None
    denoise: dict[str, Any] | None
    track: dict[str, np.ndarray] | None
    track_summary: dict[str, Any] | None
    segment: dict[str, Any] | None
    transient: dict[str, Any] | None
    inpaint: dict[str, Any] | None
    histories: dict[str, pd.DataFrame]
    model: dict[str, Any] | None
    render: dict[str, Any] | None
    metrics: dict[str, Any] | None
    per_frame: pd.DataFrame | None
    missing: list[str] = field(default_factory=list)
    ablation: dict[str, Any] | None = None

    def file(self, stage: str, name: str) -> Path | None:
        """A stage's file where it is there."""
        path = self.folder / stage / name
        return path if path.is_file() else None


def read_speaker_artifacts(folder: Path) -> SpeakerArtifacts:
    """Read everything small; videos stay files.

    Args:
        folder: ``data/<speaker>``.
    """
    missing: list[str] = []

    def read(stage: str, name: str, reader: Callable[[Path], T]) -> T | None:
        path = folder / stage / name
        if not path.is_file():
            missing.append(f"{stage}/{name} is not there; run the stage {stage}")
            return None
        try:
            return reader(path)
        except (TalkheadError, OSError, ValueError) as error:
            missing.append(f"{stage}/{name} cannot be read ({error}); run the stage {stage} again")
            return None

    histories = {stage: read(stage, "history.parquet", pd.read_parquet) for stage in TRAINING_STAGES}
    for name in ("heldout.mkv", "heldout_full.mkv"):
        if not (folder / "render" / name).is_file():
            missing.append(f"render/{name} is not there; run the stage render")
    return SpeakerArtifacts(
        folder=folder,
        ingest=read("ingest", "ingest.json", read_json),
        denoise=read("denoise", "denoise.json", read_json),
        track=read("track_head", "track.safetensors", read_arrays),
        track_summary=read("track_head", "track.json", read_json),
        segment=read("segment", "segment.json", read_json),
        transient=read("flow_masks", "coverage.json", read_json),
        inpaint=read("inpaint", "coverage.json", read_json),
        histories={stage: table for stage, table in histories.items() if table is not None},
        model=read("train_torso", "model.json", read_json),
        render=read("render", "render.json", read_json),
        metrics=read("evaluate", "metrics.json", read_json),
        per_frame=read("evaluate", "per_frame.parquet", pd.read_parquet),
        missing=missing,
        ablation=read("ablation", "ablation.json", read_json) if (folder / "ablation").is_dir() else None,
    )

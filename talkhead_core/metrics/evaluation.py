"""The evaluation of a speaker: every protocol's video against the reference, in one pass and constant memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from talkhead_core.errors import NotAvailableError
from talkhead_core.metrics.bootstrap import BootstrapConfig
from talkhead_core.metrics.brisque import load_brisque
from talkhead_core.metrics.frame_scores import FrameScorer, ReferenceFrame
from talkhead_core.metrics.frechet_distance import FrechetInception, load_inception
from talkhead_core.metrics.landmark_scores import landmark_columns
from talkhead_core.metrics.lpips_weights import load_lpips
from talkhead_core.metrics.niqe import load_niqe
from talkhead_core.metrics.not_available import NEVER_SUBSTITUTED
from talkhead_core.metrics.protocol import Protocol
from talkhead_core.metrics.regions import REGION_DEFINITIONS
from talkhead_core.metrics.seam import LARGEST_SEAM_RATIO
from talkhead_core.metrics.ssim import SSIM_DEFINITION
from talkhead_core.metrics.summary import compare_protocols, summarise_protocol
from talkhead_core.parameters import require
from talkhead_core.progress import Progress, silent
from talkhead_core.types import FloatArray, Image

__all__ = ["EvaluateConfig", "ExtraMetrics", "load_extra_metrics", "metrics_document", "score_protocols", "with_landmark_scores"]


@dataclass(frozen=True, kw_only=True)
class EvaluateConfig:
    """What is measured.

    Args:
        landmarker: finds the lips in both videos, in every frame by itself; the face mesh by default.
        looks: at each frame; points are their mean. A dub, of which only lips and sound are compared, is looked at once.
        slow_every: LPIPS, BRISQUE, NIQE and FID are computed for every so many frames; 0 leaves them out.
        bootstrap: how intervals are drawn.
    """

    landmarker: str = "mediapipe_face_mesh"
    looks: int = 3
    slow_every: int = 10
    bootstrap: BootstrapConfig = field(default_factory=BootstrapConfig)

    def __post_init__(self) -> None:
        require(self.slow_every >= 0, "slow_every must be 0 or more")
        require(self.looks >= 1, f"looks must be at least 1, not {self.looks}")


@dataclass(frozen=True, kw_only=True)
class ExtraMetrics:
    """Metrics with models of their own: those that are here, and why the others are not.

    Args:
        functions: name -> function of (reference, rendered), RGB ``[H, W, 3]`` uint8.
        not_available: name -> reason.
        fid: makes an empty Fréchet distance; None where its network is not here.
        fid_of: protocol's name -> its distance, once scored.
    """

    functions: Mapping[str, Callable[[Image, Image], float]]
    not_available: Mapping[str, str]
    fid: Callable[[], FrechetInception] | None = None
    fid_of: dict[str, FrechetInception] = field(default_factory=dict)


def load_extra_metrics(weights: Path, config: EvaluateConfig) -> ExtraMetrics:
    """LPIPS, BRISQUE, NIQE and FID where their weights and packages are here.

    Args:
        weights: the folder of the weight store.
        config: what is measured.
    """
    functions: dict[str, Callable[[Image, Image], float]] = {}
    missing = dict(NEVER_SUBSTITUTED)
    if config.slow_every == 0:
        left_out = dict.fromkeys(("lpips", "brisque", "niqe", "fid"), "left out: slow_every is 0")
        return ExtraMetrics(functions=functions, not_available=missing | left_out)
    try:
        functions["lpips"] = load_lpips(weights)
    except NotAvailableError as error:
        missing["lpips"] = str(error)
    try:
        brisque = load_brisque()
        functions["brisque"] = lambda reference, rendered: brisque(rendered)
    except NotAvailableError as error:
        missing["brisque"] = str(error)
    try:
        niqe = load_niqe(weights)
        functions["niqe"] = lambda reference, rendered: niqe.score(rendered)
    except NotAvailableError as error:
        missing["niqe"] = str(error)
    try:
        network = load_inception(weights)
    except NotAvailableError as error:
        return ExtraMetrics(functions=functions, not_available={**missing, "fid": str(error)})
    return ExtraMetrics(functions=functions, not_available=missing, fid=lambda: FrechetInception(network))


def score_protocols(
    references: Iterable[ReferenceFrame],
    rendered: Mapping[Protocol, Iterator[Image]],
    frames: int,
    extra: ExtraMetrics,
    config: EvaluateConfig,
    progress: Progress = silent,
) -> pd.DataFrame:
    """One row a protocol and frame: ``protocol``, ``frame_id`` and the image columns.

    Args:
        references: the ground truth, in order.
        rendered: each protocol's frames ``[H, W, 3]`` uint8, in step with ``references``.
        frames: how many there are, for the progress.
        extra: metrics with models of their own.
        config: what is measured.
        progress: told after every frame.
    """
    scorers = {protocol: FrameScorer(protocol.regions, extra.functions, extra_every=max(config.slow_every, 1)) for protocol in rendered}
    rows: list[dict[str, Any]] = []
    for index, reference in enumerate(references):
        for protocol, images in rendered.items():
            image = next(images)
            scores = scorers[protocol].score(reference, image)
            if extra.fid is not None and index % max(config.slow_every, 1) == 0:
                extra.fid_of.setdefault(protocol.name, extra.fid()).add(reference.image, image)
            rows.append({"protocol": protocol.name, "frame_id": reference.frame_id, **scores})
        progress(index + 1, frames)
    table = pd.DataFrame(rows)
    return table.sort_values(["protocol", "frame_id"], kind="stable").reset_index(drop=True)


def with_landmark_scores(table: pd.DataFrame, reference: FloatArray, rendered: Mapping[str, FloatArray], size_px: int) -> pd.DataFrame:
    """``table`` with the columns of :func:`landmark_columns` added, protocol by protocol.

    Args:
        table: what :func:`score_protocols` returned.
        reference: landmarks of the reference frames ``[frames, P, 2 or 3]`` in order of frame id, NaN without a face.
        rendered: protocol's name -> landmarks of its frames.
        size_px: side of the frames that the landmarks were found in.
    """
    parts = []
    for name, rows in table.groupby("protocol", sort=False):
        columns = landmark_columns(reference, rendered[str(name)], size_px)
        parts.append(pd.concat([rows.reset_index(drop=True), pd.DataFrame(columns)], axis=1))
    return pd.concat(parts, ignore_index=True)


def metrics_document(
    table: pd.DataFrame, protocols: Sequence[Protocol], fps: float, extra: ExtraMetrics, config: EvaluateConfig
) -> dict[str, Any]:
    """The content of ``metrics.json``.

    Args:
        table: per-frame figures of all protocols.
        protocols: those in ``table``, in the order to show them; the first is compared with those that are controls.
        fps: frames a second.
        extra: for what is not available.
        config: what was measured, and how intervals are drawn.
    """
    figures = {
        protocol.name: summarise_protocol(
            table[table["protocol"] == protocol.name].reset_index(drop=True).drop(columns="protocol"), fps, config.bootstrap
        )
        | (extra.fid_of[protocol.name].figures() if protocol.name in extra.fid_of else {})
        for protocol in protocols
    }
    model = protocols[0].name
    comparisons = {
        f"{model} - {protocol.name}": compare_protocols(table, model, protocol.name, fps, config=config.bootstrap)
        for protocol in protocols
        if protocol.control and not protocols[0].control
    }
    columns = set(table.columns) | {name for scores in figures.values() for name in scores}
    return {
        "protocols": figures,
        "comparisons": comparisons,
        "seam_frame_ids": _seam_frame_ids(table, [protocol.name for protocol in protocols if not protocol.control]),
        "protocol_says": {protocol.name: protocol.says for protocol in protocols},
        "not_available": {name: reason for name, reason in extra.not_available.items() if name not in columns},
        "landmarker": config.landmarker,
        "looks": config.looks,
        "regions": REGION_DEFINITIONS,
        "definitions": {
            "psnr": "mean over frames of -10 log10 MSE, RGB in [0, 1]; identical pixels count as 100 dB",
            "ssim": SSIM_DEFINITION,
            "lmd_px512": "mean distance of 40 lip points, each set centred on its mean, in pixels at 512; frames without a face left out",
            "lmd_percent": "the same in per cent of the reference's distance between the outer eye corners",
            "lmd_uncentred_px512": "mean distance of the 40 lip points where they are, in pixels at 512: a shifted mouth counts",
            "mouth_opening_r": "Pearson correlation over frames of inner-lip distance / face height, render against reference",
            "mouth_opening_sd_ratio": "standard deviation of the same over frames, render / reference",
            "seam_levels": "step across the neck line that the reference does not have, 8-bit levels",
            "seam_ratio": f"gradient across the neck line, render over reference, mean over frames; a seam is above {LARGEST_SEAM_RATIO}",
            "join_ratio": "the same across the edge of the head region on neck and torso, where the rendered head meets what is under it",
            "niqe": "36 features of 96 px blocks against pristine pictures', Y of YCbCr",
            "fid": "Inception v3 of 2015-12-05, pool 3, every slow_every-th frame of both videos; biased upwards for few frames",
            "ci95": f"circular block bootstrap over frames, blocks of {config.bootstrap.block_s} s",
        },
    }


def _seam_frame_ids(table: pd.DataFrame, protocols: Sequence[str]) -> dict[str, dict[str, list[int]]]:
    """Protocol -> ratio -> ids of the frames in which it says that there is a seam."""
    columns = [column for column in ("seam_ratio", "join_ratio") if column in table]
    return {
        name: {column: [int(frame_id) for frame_id in rows.loc[rows[column] > LARGEST_SEAM_RATIO, "frame_id"]] for column in columns}
        for name, rows in ((name, table[table["protocol"] == name]) for name in protocols)
    }

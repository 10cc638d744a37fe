"""What temporal masks and inpainting are worth on footage with hands (the protocol of WildTalker's Table 1: the whole portrait):

    python -m benchmarks.wild_ablation --video V --consent "who, what for" [--work FOLDER] [--seeds 2]

The whole frame, hands and all, becomes a square portrait of 512 pixels (bars at the sides, which no score counts). It is prepared once and
its head trained once: neither reads masks or the inpainted clip. Then the torso field is trained four times a seed, with temporal masks on
and off by inpainting on and off, and the held-out frames are rendered as protocol ``full/self`` (``--size`` pixels) and scored outside the
transient regions.
Results go to ``benchmarks/results/wild_ablation.json``, the table to ``docs/footage.md`` and, with ``--speaker data/NAME``, to that
speaker's next report.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import torch
import yaml

from benchmarks.benchmark_runs import PREPARATION, REPOSITORY, BenchmarkRun, code_sha256, file_sha256
from benchmarks.machine import describe_machine
from benchmarks.wild_ablation_table import write_table
from flows.speaker_registration import consent_from_statement
from talkhead_core.artifacts import write_json
from talkhead_core.fields.torso_field import TorsoField, TorsoFieldConfig
from talkhead_core.inpaint.hand_removal import InpaintConfig, clean_frames, holes
from talkhead_core.media.ffmpeg_binary import ffmpeg_path
from talkhead_core.media.frame_access import FrameAccess
from talkhead_core.media.mask_morphology import grown
from talkhead_core.media.video_reader import read_frames, read_gray_frames, video_info
from talkhead_core.metrics.bootstrap import BlockBootstrap
from talkhead_core.metrics.evaluation import EvaluateConfig, load_extra_metrics
from talkhead_core.metrics.lip_sync import LMD_SIZE_PX, landmark_distance_px512
from talkhead_core.metrics.psnr import psnr_db, squared_error
from talkhead_core.metrics.ssim import ssim_in, ssim_map
from talkhead_core.parameters import merged
from talkhead_core.rendering.portrait_renderer import HeadLayer, PortraitRenderer
from talkhead_core.rendering.speaker_model import SpeakerModel
from talkhead_core.training.torso_training import TorsoTrainingConfig, train_torso_field
from talkhead_core.types import Image, Label
from tasks.evaluate import found_landmarks
from tasks.evaluate import write_table as write_table_file
from tasks.speaker_data import load_dataset, load_features, spoken_codes
from tasks.stage import Stage

SPEAKER, PORTRAIT_PX = "portrait", 512
_GUARD = 0.01  # of the side: how far around what is transient no score counts (shadows, motion blur)


@dataclass(frozen=True)
class Variant:
    """What a torso is trained with."""

    masks: bool
    inpainting: bool

    @property
    def name(self) -> str:
        """As tables show it."""
        return f"masks {'on' if self.masks else 'off'}, inpainting {'on' if self.inpainting else 'off'}"


VARIANTS = tuple(Variant(masks, inpainting) for masks in (True, False) for inpainting in (True, False))
FULL = VARIANTS[0]


def main(argv: list[str] | None = None) -> int:
    """Prepare, train, score, write."""
    arguments = _arguments(argv)
    arguments.work.mkdir(parents=True, exist_ok=True)
    portrait = arguments.work / "portrait.mkv"
    _square(arguments.video, portrait)
    run = BenchmarkRun(
        root=arguments.work.resolve(), speaker=SPEAKER, params=_parameters(arguments.iterations), profile="cpu", config=arguments.config,
        made_from=file_sha256(arguments.video), say=lambda text: print(text, flush=True),
    )  # fmt: skip
    run.prepare(portrait, consent_from_statement(arguments.consent))
    run.run([*PREPARATION, "train_coarse", "train_fine"])
    ablation = Ablation(run.root, arguments.video, arguments.size)
    wanted = [(variant, seed) for seed in range(arguments.seeds) for variant in VARIANTS]
    tables = [ablation.scores_once(variant, seed, arguments.torso_iterations) for variant, seed in wanted]
    document = {
        "settings": {
            "video": arguments.video.name, "size_px": arguments.size, "config": arguments.config, "seeds": arguments.seeds,
            "head_iterations": arguments.iterations, "torso_iterations": arguments.torso_iterations,
            "frames": ablation.frames, "held_out_frames": len(ablation.held_out), "scored_share": ablation.scored_share,
        },
        "variants": summary(pd.concat(tables), float(ablation.dataset.fps)),
        "not_available": ablation.not_available,
        "machine": describe_machine(),
    }  # fmt: skip
    write_json(arguments.out, document)
    if arguments.speaker:
        write_json(arguments.speaker / "ablation" / "ablation.json", document)
    write_table(arguments.out, arguments.document)
    print(f"{arguments.out}\n{arguments.document}")
    return 0


class Ablation:
    """The prepared portrait with its trained head, on which torsos are trained and scored.

    Args:
        root: the workspace.
        video: the recording, whose shape says where the bars are.
        size_px: side of the frames that torsos learn from and are scored at.
    """

    def __init__(self, root: Path, video: Path, size_px: int) -> None:
        self._stage = Stage(name="train_torso", speaker=SPEAKER, root=root)
        self.model = SpeakerModel.load(self._stage.inputs("train_fine"))
        self._size_px = size_px
        self.dataset = load_dataset(self._stage, size_px)
        self.frames, self.held_out = len(self.dataset.frames), self.dataset.held_out_ids
        transient = self._stage.inputs("flow_masks") / "transient.mkv"
        self._masks = np.stack([self._small(mask) for mask in read_gray_frames(transient)])
        self._inside = _without_bars(video, size_px)
        self._renderer = PortraitRenderer(self.model, self.dataset.track.camera(size_px))
        config = EvaluateConfig()
        extra = load_extra_metrics(REPOSITORY / "weights", config)
        self._landmarker, self._lpips = config.landmarker, extra.functions.get("lpips")
        self.not_available = {name: reason for name, reason in extra.not_available.items() if name == "lpips"}
        self.not_available |= {
            "aue": "needs OpenFace's CSV of both videos",
            "lse": "SyncNet hears lips in frames of a face alone: 'talkhead evaluate' on a dub, with its weights",
        }

    @property
    def scored_share(self) -> float:
        """Share of the portrait's held-out pixels that are scored."""
        return float(np.mean([where[self._inside].mean() for where in self._scored]))

    def scores_once(self, variant: Variant, seed: int, iterations: int) -> pd.DataFrame:
        """:meth:`scores` with ``variant`` and ``seed``, from the work folder where they were computed with the same code and head."""
        key = hashlib.sha256(f"{code_sha256('train_torso')} {file_sha256(self._stage.inputs('train_fine') / 'model.safetensors')}".encode())
        name = f"{variant.name.replace(', ', '-').replace(' ', '-')}-{seed}-{iterations}-{self._size_px}px-{key.hexdigest()[:12]}.parquet"
        path = self._stage.root / "scores" / name
        if not path.is_file():
            table = self.scores(variant, seed, iterations).assign(variant=variant.name, seed=seed)
            write_table_file(path, table)
            print(f"{variant.name}, seed {seed}: {table['psnr'].mean():.3f} dB", flush=True)
        return pd.read_parquet(path)

    def scores(self, variant: Variant, seed: int, iterations: int) -> pd.DataFrame:
        """Train one torso; a row of figures a held-out frame."""
        nothing = np.zeros_like(self._masks)
        frames = self._clean(variant.masks) if variant.inpainting else self.dataset.frames
        torch.manual_seed(seed)
        self.model.torso = TorsoField(TorsoFieldConfig())
        config = TorsoTrainingConfig(iterations=iterations, seed=seed, transient_weighting=variant.masks)
        masks = self._masks if variant.masks else nothing
        train_torso_field(self.model.torso, dataclasses.replace(self.dataset, frames=frames), masks, config)
        behind = self.dataset.plate.astype(np.float32) / 255
        track = self.dataset.track
        rendered = [
            head.over(self._renderer.torso(track.rotation[frame], track.translation_cm[frame], behind))
            for frame, head in zip(self.held_out, self._heads, strict=True)
        ]
        rows = [self._frame_scores(frame, image, where) for frame, image, where in zip(self.held_out, rendered, self._scored, strict=True)]
        points = found_landmarks(iter(rendered), self._landmarker)
        return pd.DataFrame(rows).assign(lmd_px512=landmark_distance_px512(self._reference_points, points, LMD_SIZE_PX))

    def _frame_scores(self, frame: int, rendered: Image, where: np.ndarray) -> dict[str, float]:
        reference = self.dataset.frames[frame]
        scores = {"frame_id": int(frame), "psnr": psnr_db(squared_error(reference, rendered), where)}
        scores["ssim"] = ssim_in(ssim_map(reference, rendered), where)
        if self._lpips is not None:  # a network sees whole pictures: what is not scored is the reference's in both
            scores["lpips"] = self._lpips(reference, np.where(where[..., None], rendered, reference))
        return scores

    def _clean(self, masks: bool) -> np.ndarray:
        """The clip with hands removed ``[N, size, size, 3]``: with the temporal masks, or each frame's own hands alone."""
        if masks:
            return np.stack([self._small(frame) for frame in read_frames(self._stage.inputs("inpaint") / "clean.mkv")])
        config = self._stage.section(InpaintConfig, "inpaint")
        frames, labels = self._stage.inputs("ingest") / "clip.mkv", self._stage.inputs("segment") / "labels.mkv"
        with FrameAccess(frames) as access:
            cleaned = clean_frames(
                read_frames(frames), access.__getitem__,
                lambda: holes(((mask, np.zeros_like(mask)) for mask in read_gray_frames(labels)), config), [(0, self.frames)], config,
            )  # fmt: skip
            return np.stack([self._small(filled.image) for filled, _ in cleaned])

    def _small(self, picture: np.ndarray) -> np.ndarray:
        size = (self._size_px, self._size_px)
        return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA))

    @cached_property
    def _heads(self) -> list[HeadLayer]:
        features = load_features(self._stage.inputs("speech_features") / "features.safetensors", self.frames)
        track, codes = self.dataset.track, spoken_codes(self.model, features)
        expression = self.model.expression(track.mesh_cm, track.shape_cm, track.expression)
        return [
            self._renderer.head(track.rotation[frame], track.translation_cm[frame], codes[frame], expression[frame])
            for frame in self.held_out
        ]

    @cached_property
    def _reference_points(self) -> np.ndarray:
        return found_landmarks(iter(self.dataset.frames[self.held_out]), self._landmarker)

    @cached_property
    def _scored(self) -> list[np.ndarray]:
        """Per held-out frame, the pixels ``[size, size]`` outside hands, M_i and the bars; the same for every variant."""
        moving = ((self._masks[frame] > 127) | (self.dataset.labels[frame] == Label.HANDS) for frame in self.held_out)
        return [self._inside & ~grown(where, _GUARD * self._size_px) for where in moving]


def summary(scores: pd.DataFrame, fps: float) -> dict[str, Any]:
    """Means over frames and seeds of every variant, and by how much the full method is ahead, frame by frame.

    Args:
        scores: rows with ``variant``, ``seed``, ``frame_id`` and figures.
        fps: of the clip.
    """
    figures = [name for name in ("psnr", "ssim", "lpips", "lmd_px512") if name in scores]
    by_frame = scores.groupby(["variant", "frame_id"])[figures].mean()
    by_seed = scores.groupby(["variant", "seed"])[figures].mean()
    full = by_frame.loc[FULL.name]
    bootstrap = BlockBootstrap(len(full), fps)
    result: dict[str, Any] = {}
    for variant in VARIANTS:
        own = by_frame.loc[variant.name]
        result[variant.name] = {
            name: {
                "mean": float(own[name].mean()),
                "ci95": bootstrap.mean_interval(own[name].to_numpy()),
                "by_seed": by_seed.loc[variant.name][name].tolist(),
                **({} if variant == FULL else {"full_minus_this": _difference(bootstrap, full[name], own[name])}),
            }
            for name in figures
        }
    return result


def _difference(bootstrap: BlockBootstrap, full: pd.Series, other: pd.Series) -> dict[str, Any]:
    difference = full.to_numpy() - other.to_numpy()
    return {"mean": float(np.nanmean(difference)), "ci95": bootstrap.mean_interval(difference)}


def _without_bars(video: Path, size_px: int) -> np.ndarray:
    """Boolean ``[size, size]``: where the square shows the recording."""
    info = video_info(video)
    scale = size_px / max(info.width, info.height)
    inside = np.zeros((size_px, size_px), bool)
    across, down = (int(side * scale) // 2 * 2 - 2 for side in (info.width, info.height))
    top, left = (size_px - down) // 2, (size_px - across) // 2
    inside[top : top + down, left : left + across] = True
    return inside


def _square(video: Path, portrait: Path) -> None:
    if portrait.is_file():
        return
    if not video.is_file():
        sys.exit(f"wild_ablation: {video}: is no file; give --video")
    size = f"{PORTRAIT_PX}:{PORTRAIT_PX}"
    fit = f"scale={size}:force_original_aspect_ratio=decrease:flags=area,pad={size}:-1:-1"
    command = [ffmpeg_path(), "-v", "error", "-y", "-i", str(video), "-vf", fit, "-c:v", "libx264", "-crf", "6", "-preset", "veryfast"]
    subprocess.run([*command, "-c:a", "copy", str(portrait)], check=True)


def _parameters(iterations: int) -> dict[str, Any]:
    """The repository's, for a clip that is the whole square, with a short training of the head."""
    params: Mapping[str, Any] = yaml.safe_load((REPOSITORY / "params.yaml").read_text())
    whole = {"ingest": {"footage": {"min_face_height_px": 40.0, "framing": {"crop_face_heights": 12.0}}}}
    head = {
        "train_coarse": {"size_px": PORTRAIT_PX, "head": {"iterations": iterations}, "lips": {"iterations": 150, "members": 2, "folds": 2}},
        "train_fine": {"head": {"iterations": max(1, iterations // 4)}},
    }
    return merged(params, whole, head)


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--video", type=Path, required=True, help="a portrait video with hands in front of the torso")
    parser.add_argument("--consent", required=True, help='"who, what for": that the person shown has agreed to be trained')
    parser.add_argument("--config", default="talkhead", help="whose head is trained, once")
    parser.add_argument("--iterations", type=int, default=1500, help="of the head's coarse training")
    parser.add_argument("--torso-iterations", type=int, default=800, help="of each torso's")
    parser.add_argument("--speaker", type=Path, help="a speaker's folder, data/NAME: the next report of it shows the table, too")
    parser.add_argument("--size", type=int, default=256, help="side of the frames that torsos learn from and are scored at, px")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--work", type=Path, default=REPOSITORY / ".talkhead" / "wild_ablation", help="where the run is kept")
    parser.add_argument("--out", type=Path, default=REPOSITORY / "benchmarks" / "results" / "wild_ablation.json")
    parser.add_argument("--document", type=Path, default=REPOSITORY / "docs" / "footage.md")
    return parser.parse_args(argv)


if __name__ == "__main__":
    raise SystemExit(main())

"""Train lip codes, lip encoder and the head field on independent rays."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from talkhead_core.artifacts import whole_file
from talkhead_core.face.lip_codes import LipCodes, lip_codes_for, mouth_opening_cm
from talkhead_core.face.upper_face_codes import UpperFaceCodes
from talkhead_core.fields.head_field import HeadFieldConfig
from talkhead_core.progress import silent
from talkhead_core.rendering.head_shell import HeadShell, HeadShellConfig, measured_reach
from talkhead_core.rendering.speaker_model import SpeakerModel
from talkhead_core.rendering.talking_head import TalkingHead
from talkhead_core.training.checkpoints import CheckpointStore, signature
from talkhead_core.training.head_training import HeadTrainer, HeadTrainingConfig
from talkhead_core.training.lip_training import LipTrainingConfig, predict_lip_codes, train_lip_encoder
from talkhead_core.training.portrait_dataset import PortraitDataset
from talkhead_core.types import Label
from tasks.speaker_data import load_dataset, load_features
from tasks.stage import Stage, main
from tasks.torchrun import is_first_process, training_device


@dataclass(frozen=True, kw_only=True)
class TrainCoarseConfig:
    """The section ``train_coarse``.

    Args:
        size_px: side of the frames trained on.
        head: training of the head field.
        field: its sizes; those of its inputs follow from the footage.
        shell: sizes of the shell.
        lips: training of the lip encoder.
        upper_face_codes: how many codes eyes and brows get.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
    """

    size_px: int = 256
    head: HeadTrainingConfig = dataclasses.field(default_factory=HeadTrainingConfig)
    field: HeadFieldConfig = dataclasses.field(default_factory=HeadFieldConfig)
    shell: HeadShellConfig = dataclasses.field(default_factory=HeadShellConfig)
    lips: LipTrainingConfig = dataclasses.field(default_factory=LipTrainingConfig)
    upper_face_codes: int = 6
    device: str = "auto"


def run(stage: Stage) -> None:
    """Read the prepared speaker, train, write ``model.safetensors``, ``model.json`` and ``history.parquet``."""
    config = stage.section(TrainCoarseConfig)
    dataset = load_dataset(stage, config.size_px)
    features = load_features(stage.inputs("speech_features") / "features.safetensors", len(dataset.frames))
    train_head(stage, initial_model(dataset, features, config, stage), dataset, config.head, training_device(config.device))


def initial_model(dataset: PortraitDataset, features: np.ndarray, config: TrainCoarseConfig, stage: Stage) -> SpeakerModel:
    """A model with trained lips and an untrained head."""
    track, train = dataset.track, dataset.train_ids
    lip_codes = LipCodes.fit(track.mesh_cm[train], track.shape_cm, config.lips.codes or lip_codes_for(len(train)))
    upper = UpperFaceCodes.fit(track.mesh_cm[train], track.shape_cm, lip_codes, config.upper_face_codes)
    codes = lip_codes.encode(track.mesh_cm, track.shape_cm)
    encoder = train_lip_encoder(
        features, codes, train, config.lips, stage.progress, lambda part: lip_codes.opening_cm(part, track.shape_cm)
    )
    looked_at = train[:: max(1, len(train) // 40)]
    reach = measured_reach(
        track.shape_cm,
        track.rotation[looked_at],
        track.translation_cm[looked_at],
        dataset.labels[looked_at] == Label.HEAD,
        track.camera(dataset.size_px),
        config.shell,
    )
    opening = mouth_opening_cm(track.mesh_cm)
    widest = train[np.argsort(opening[train])[-max(1, len(train) // 10) :]]
    shell = HeadShell(
        shape_cm=track.shape_cm,
        displacement_mean_cm=lip_codes.mesh_mean_cm,
        displacement_basis_cm=np.concatenate([lip_codes.mesh_basis_cm, upper.mesh_basis_cm]),
        canonical_codes=np.concatenate([codes[widest].mean(axis=0), np.zeros(len(upper.components), np.float32)]),
        reach_cm=reach,
        config=config.shell,
    )
    torch.manual_seed(config.head.seed)
    expressions = track.expression.shape[1] + len(upper.components)
    field_config = dataclasses.replace(config.field, lip_codes=codes.shape[1], expression=expressions)
    model = SpeakerModel(
        head=TalkingHead(shell, field_config, len(dataset.frames)),
        lip_encoder=encoder,
        lip_codes=lip_codes,
        upper_face_codes=upper,
        expression_mean=np.zeros(field_config.expression, np.float32),
        expression_std=np.ones(field_config.expression, np.float32),
        appearance=np.zeros(config.field.appearance, np.float32),
        size_px=config.size_px,
    )
    expression = model.expression(track.mesh_cm, track.shape_cm, track.expression)[train]
    model.expression_mean, model.expression_std = expression.mean(axis=0), expression.std(axis=0) + 1e-4
    model.record["lips"] = _lip_scores(model, features, codes, dataset)
    return model


def _lip_scores(model: SpeakerModel, features: np.ndarray, codes: np.ndarray, dataset: PortraitDataset) -> dict[str, float]:
    """How well the held-out mouth opening is heard: correlation and spread ratio."""
    held_out, shape = dataset.held_out_ids, dataset.track.shape_cm
    predicted = predict_lip_codes(model.lip_encoder, features)
    heard, seen = (model.lip_codes.opening_cm(part[held_out], shape) for part in (predicted, codes))
    moves = heard.std() > 0 and seen.std() > 0
    return {
        "held_out_opening_r": float(np.corrcoef(heard, seen)[0, 1]) if moves else 0.0,
        "held_out_opening_sd_ratio": float(heard.std() / max(seen.std(), 1e-9)),
    }


def train_head(stage: Stage, model: SpeakerModel, dataset: PortraitDataset, config: HeadTrainingConfig, device: torch.device) -> None:
    """Train the head field of ``model`` and write the stage's outputs; also serves ``train_fine``."""
    inputs = [stage.inputs("ingest") / "clip.mkv", stage.inputs("track_head") / "track.safetensors", stage.inputs("segment") / "labels.mkv"]
    if stage.name != "train_coarse":
        inputs.append(stage.inputs("train_coarse") / "model.safetensors")
    run_id = signature(
        dataclasses.asdict(config), dataclasses.asdict(model.head.config), dataclasses.asdict(model.head.shell.config), *inputs
    )
    store = CheckpointStore(stage.root / "checkpoints" / stage.speaker / stage.name / run_id)
    progress = stage.progress if is_first_process() else silent
    history = HeadTrainer.for_model(model.to(device), dataset, config, store, progress).train(progress)
    if not is_first_process():
        return
    model.appearance = model.head.appearance.detach()[dataset.train_ids].mean(dim=0).cpu().numpy()
    model.record[stage.name] = {"steps": config.iterations, "signature": run_id, "kernel": model.head.field.encoder.kernel_name}
    write_history(stage, history)
    model.save(stage.out)
    store.clear()


def write_history(stage: Stage, history: list[dict[str, float]]) -> None:
    """Write ``history.parquet``, whole."""
    with whole_file(stage.out / "history.parquet") as temporary:
        pd.DataFrame(history).assign(stage=stage.name).to_parquet(temporary, index=False)


if __name__ == "__main__":
    main(run)

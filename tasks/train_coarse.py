"""Train lip codes and the head on independent rays: our own head with its lip encoder, or one of the papers' that listens itself."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch

from talkhead_core.face.lip_codes import LipCodes, lip_codes_for, mouth_opening_cm
from talkhead_core.face.upper_face_codes import UpperFaceCodes
from talkhead_core.fields.head_field import HeadFieldConfig
from talkhead_core.kernels import denormals_as_zero
from talkhead_core.progress import silent
from talkhead_core.rendering.head_shell import HeadShell, HeadShellConfig, measured_reach
from talkhead_core.rendering.occupancy_grid import dilated_mesh
from talkhead_core.rendering.region_aware_head import RegionAwareHead, RegionAwareHeadConfig
from talkhead_core.rendering.speaker_model import SpeakerModel
from talkhead_core.rendering.talking_head import TalkingHead
from talkhead_core.training.checkpoints import CheckpointStore, signature
from talkhead_core.training.head_training import HeadTrainer, HeadTrainingConfig
from talkhead_core.training.lip_training import LipTrainingConfig, predict_lip_codes, train_lip_encoder
from talkhead_core.training.perceptual_loss import perceptual_loss
from talkhead_core.training.photometric_poses import PoseRefinementConfig
from talkhead_core.training.portrait_dataset import PortraitDataset
from talkhead_core.training.region_aware_losses import RegionAwareLossConfig
from talkhead_core.training.region_aware_training import RegionAwareTrainer
from talkhead_core.training.resumable_training import ResumableTrainer
from talkhead_core.types import Label
from tasks.speaker_data import load_channel_groups, load_dataset, load_features, write_history
from tasks.stage import Stage, main
from tasks.torchrun import is_first_process, training_device


@dataclass(frozen=True, kw_only=True)
class TrainCoarseConfig:
    """The section ``train_coarse``.

    Args:
        size_px: side of the frames trained on.
        architecture: ``shell``: ours, driven by lip codes; ``region_aware``: the papers', which listens itself.
        head: training of the head field.
        field: its sizes; those of its inputs follow from the footage.
        shell: sizes of the shell.
        lips: training of the lip encoder.
        region_aware: parts of the papers' head.
        losses: what its training minimises.
        poses: how our own head's training refines the tracked poses.
        upper_face_codes: how many codes eyes and brows get.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
    """

    size_px: int = 256
    architecture: Literal["shell", "region_aware"] = "shell"
    head: HeadTrainingConfig = dataclasses.field(default_factory=HeadTrainingConfig)
    field: HeadFieldConfig = dataclasses.field(default_factory=HeadFieldConfig)
    shell: HeadShellConfig = dataclasses.field(default_factory=HeadShellConfig)
    lips: LipTrainingConfig = dataclasses.field(default_factory=LipTrainingConfig)
    region_aware: RegionAwareHeadConfig = dataclasses.field(default_factory=RegionAwareHeadConfig)
    losses: RegionAwareLossConfig = dataclasses.field(default_factory=RegionAwareLossConfig)
    poses: PoseRefinementConfig = dataclasses.field(default_factory=PoseRefinementConfig)
    upper_face_codes: int = 6
    device: str = "auto"


@denormals_as_zero()
def run(stage: Stage) -> None:
    """Read the prepared speaker, train, write ``model.safetensors``, ``model.json`` and ``history.parquet``."""
    config = stage.section(TrainCoarseConfig)
    dataset = load_dataset(stage, config.size_px)
    speech = stage.inputs("speech_features") / "features.safetensors"
    features = load_features(speech, len(dataset.frames))
    model = initial_model(dataset, features, config, stage, load_channel_groups(speech))
    train_head(stage, model, dataset, config.head, training_device(config.device), config.losses, config.poses)


def initial_model(
    dataset: PortraitDataset, features: np.ndarray, config: TrainCoarseConfig, stage: Stage, channel_groups: tuple[int, ...]
) -> SpeakerModel:
    """A model with an untrained head, and with trained lips where lip codes drive it."""
    track, train = dataset.track, dataset.train_ids
    lip_codes = LipCodes.fit(track.mesh_cm[train], track.shape_cm, config.lips.codes or lip_codes_for(len(train)))
    upper = UpperFaceCodes.fit(track.mesh_cm[train], track.shape_cm, lip_codes, config.upper_face_codes)
    codes = lip_codes.encode(track.mesh_cm, track.shape_cm)
    encoder = None
    if config.architecture == "shell":
        encoder = train_lip_encoder(
            features, codes, train, config.lips, stage.progress, lambda part: lip_codes.opening_cm(part, track.shape_cm), channel_groups
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
    head: TalkingHead | RegionAwareHead
    if config.architecture == "shell":
        field_config = dataclasses.replace(config.field, lip_codes=codes.shape[1], expression=expressions)
        head = TalkingHead(shell, field_config, len(dataset.frames))
    else:
        moved = np.concatenate([codes, upper.encode(track.mesh_cm, track.shape_cm, lip_codes)], axis=1)[looked_at]
        parts = config.region_aware.for_speaker(window=features.shape[1], channels=features.shape[2], expression=track.expression.shape[1])
        hull = dilated_mesh(shell, moved, parts.grid)
        head = RegionAwareHead(shell, parts, len(dataset.frames), hull, lip_codes=codes.shape[1])
    model = SpeakerModel(
        head=head,
        lip_encoder=encoder,
        lip_codes=lip_codes,
        upper_face_codes=upper,
        expression_mean=np.zeros(expressions, np.float32),
        expression_std=np.ones(expressions, np.float32),
        appearance=np.zeros(head.appearance.shape[1], np.float32),
        size_px=config.size_px,
    )
    expression = model.expression(track.mesh_cm, track.shape_cm, track.expression)[train]
    model.expression_mean, model.expression_std = expression.mean(axis=0), expression.std(axis=0) + 1e-4
    if encoder is not None:
        model.record["lips"] = _lip_scores(model, predict_lip_codes(encoder, features), codes, dataset)
    return model


def _lip_scores(model: SpeakerModel, predicted: np.ndarray, codes: np.ndarray, dataset: PortraitDataset) -> dict[str, float]:
    """How well the held-out mouth opening is heard: correlation and spread ratio."""
    held_out, shape = dataset.held_out_ids, dataset.track.shape_cm
    heard, seen = (model.lip_codes.opening_cm(part[held_out], shape) for part in (predicted, codes))
    moves = heard.std() > 0 and seen.std() > 0
    return {
        "held_out_opening_r": float(np.corrcoef(heard, seen)[0, 1]) if moves else 0.0,
        "held_out_opening_sd_ratio": float(heard.std() / max(seen.std(), 1e-9)),
    }


def train_head(
    stage: Stage,
    model: SpeakerModel,
    dataset: PortraitDataset,
    config: HeadTrainingConfig,
    device: torch.device,
    losses: RegionAwareLossConfig,
    poses: PoseRefinementConfig,
) -> None:
    """Train the head of ``model``, of either kind, and write the stage's outputs; also serves ``train_fine``."""
    inputs = [stage.inputs("ingest") / "clip.mkv", stage.inputs("track_head") / "track.safetensors", stage.inputs("segment") / "labels.mkv"]
    if stage.name != "train_coarse":
        inputs.append(stage.inputs("train_coarse") / "model.safetensors")
    progress = stage.progress if is_first_process() else silent
    if isinstance(model.head, RegionAwareHead):
        config = config.for_marched_head()
    parts = [dataclasses.asdict(each) for each in (config, model.head.config, model.head.shell.config)]
    folder = stage.root / "checkpoints" / stage.speaker / stage.name
    record: dict[str, object] = {"steps": config.iterations, "kernel": model.head.field.encoder.kernel_name}
    trainer: ResumableTrainer
    if isinstance(model.head, RegionAwareHead):
        speech = stage.inputs("speech_features") / "features.safetensors"
        features = load_features(speech, len(dataset.frames))
        perceptual = perceptual_loss(losses.perceptual, stage.root / "weights", str(device))
        run_id = signature(*parts, dataclasses.asdict(losses), perceptual.name, *inputs, speech)
        record["patch_loss"] = perceptual.name if losses.patches != "none" else "none"
        trainer = RegionAwareTrainer.for_model(
            model.to(device), dataset, features, config, losses, CheckpointStore(folder / run_id), perceptual, progress
        )
    else:
        run_id = signature(*parts, dataclasses.asdict(poses), *inputs)
        trainer = HeadTrainer.for_model(model.to(device), dataset, config, CheckpointStore(folder / run_id), progress, poses)
    history = trainer.train(progress)
    if not is_first_process():
        return
    individual = model.head.appearance.detach()[dataset.train_ids]
    # the papers' configurations take the first frame's individual code at test, ours the mean of all
    model.appearance = (individual[0] if model.lip_encoder is None else individual.mean(dim=0)).cpu().numpy()
    model.record[stage.name] = {**record, "signature": run_id}
    write_history(stage, history)
    model.save(stage.out)
    trainer.store.clear()


if __name__ == "__main__":
    main(run)

"""Sharpen the head: patches under a structural or perceptual loss, rates that fade out."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from talkhead_core.kernels import denormals_as_zero
from talkhead_core.rendering.speaker_model import SpeakerModel
from talkhead_core.training.head_training import HeadTrainingConfig
from talkhead_core.training.photometric_poses import PoseRefinementConfig
from talkhead_core.training.region_aware_losses import RegionAwareLossConfig
from tasks.speaker_data import load_dataset
from tasks.stage import Stage, main
from tasks.torchrun import training_device
from tasks.train_coarse import train_head


@dataclass(frozen=True, kw_only=True)
class TrainFineConfig:
    """The section ``train_fine``.

    Args:
        head: training of the head field.
        losses: what the training of the papers' head minimises.
        poses: how our own head's training refines the poses further.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
    """

    head: HeadTrainingConfig = dataclasses.field(default_factory=HeadTrainingConfig)
    losses: RegionAwareLossConfig = dataclasses.field(default_factory=RegionAwareLossConfig)
    poses: PoseRefinementConfig = dataclasses.field(default_factory=PoseRefinementConfig)
    device: str = "auto"


@denormals_as_zero()
def run(stage: Stage) -> None:
    """Go on from ``train_coarse``; write ``model.safetensors``, ``model.json`` and ``history.parquet``."""
    config = stage.section(TrainFineConfig)
    model = SpeakerModel.load(stage.inputs("train_coarse"))
    dataset = load_dataset(stage, model.size_px)
    train_head(stage, model, dataset, config.head, training_device(config.device), config.losses, config.poses)


if __name__ == "__main__":
    main(run)

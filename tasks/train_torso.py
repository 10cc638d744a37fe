"""Train the torso field on the clean clip and complete the speaker's model."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import cv2
import numpy as np
import torch

from talkhead_core.fields.torso_field import TorsoField, TorsoFieldConfig
from talkhead_core.kernels import denormals_as_zero, select_device
from talkhead_core.media.video_reader import read_gray_frames
from talkhead_core.rendering.speaker_model import SpeakerModel
from talkhead_core.training.torso_training import TorsoTrainingConfig, train_torso_field
from tasks.speaker_data import load_dataset, write_history
from tasks.stage import Stage, main


@dataclass(frozen=True, kw_only=True)
class TrainTorsoConfig:
    """The section ``train_torso``.

    Args:
        torso: training.
        field: sizes of the torso field.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
    """

    torso: TorsoTrainingConfig = dataclasses.field(default_factory=TorsoTrainingConfig)
    field: TorsoFieldConfig = dataclasses.field(default_factory=TorsoFieldConfig)
    device: str = "auto"


@denormals_as_zero()
def run(stage: Stage) -> None:
    """Add a torso to the model of ``train_fine``; write ``model.safetensors``, ``model.json`` and ``history.parquet``."""
    config = stage.section(TrainTorsoConfig)
    model = SpeakerModel.load(stage.inputs("train_fine"))
    dataset = load_dataset(stage, model.size_px, clean=True)
    size = (model.size_px, model.size_px)
    masks = read_gray_frames(stage.inputs("flow_masks") / "transient.mkv")
    transient = np.stack([cv2.resize(mask, size, interpolation=cv2.INTER_AREA) for mask in masks])
    torch.manual_seed(config.torso.seed)
    model.torso = TorsoField(config.field).to(select_device(config.device))
    history = train_torso_field(model.torso, dataset, transient, config.torso, stage.progress)
    model.record[stage.name] = {"steps": config.torso.iterations, "parameters": dataclasses.asdict(config.torso)}
    write_history(stage, history)
    model.save(stage.out)


if __name__ == "__main__":
    main(run)

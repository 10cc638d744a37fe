"""What the training and rendering stages read of one speaker, and the history that they write."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import safetensors

from talkhead_core.artifacts import read_arrays, whole_file
from talkhead_core.errors import InputError
from talkhead_core.rendering.speaker_model import SpeakerModel
from talkhead_core.training.lip_training import predict_lip_codes
from talkhead_core.training.portrait_dataset import PortraitDataset
from talkhead_core.types import FloatArray, FrameRows
from tasks.stage import Stage

__all__ = ["load_channel_groups", "load_dataset", "load_features", "spoken_codes", "write_history"]


def load_dataset(stage: Stage, size_px: int, *, clean: bool = False) -> PortraitDataset:
    """The speaker's frames, labels, plate and track at ``size_px``; ``clean`` takes the clip with hands removed."""
    return PortraitDataset.load(
        clip=stage.inputs("inpaint") / "clean.mkv" if clean else stage.inputs("ingest") / "clip.mkv",
        labels=stage.inputs("segment") / "labels.mkv",
        plate=stage.inputs("segment") / "background.png",
        track=stage.inputs("track_head") / "track.safetensors",
        size_px=size_px,
    )


def load_features(path: Path, frames: int) -> np.ndarray:
    """Speech features ``[frames, window, channels]``, row ``i`` for frame id ``i``.

    Raises:
        InputError: a frame has no features.
    """
    arrays = read_arrays(path)
    row_of = {int(frame): row for row, frame in enumerate(arrays["frame_id"])}
    missing = [frame for frame in range(frames) if frame not in row_of]
    if missing:
        raise InputError(f"{path}: no speech features for frame {missing[0]}; rerun speech_features")
    return arrays["features"][[row_of[frame] for frame in range(frames)]]


def load_channel_groups(path: Path) -> tuple[int, ...]:
    """Channels of each of the speech features that were joined in the file ``path``; none where it does not say."""
    with safetensors.safe_open(path, framework="np") as file:  # the features beside it are read elsewhere, and large
        return tuple(file.get_tensor("channel_groups").tolist()) if "channel_groups" in file.keys() else ()  # noqa: SIM118 - not a mapping


def spoken_codes(model: SpeakerModel, features: FrameRows) -> FloatArray:
    """What drives the model's mouth ``[N, codes]``: lip codes from speech features, or what a head that listens itself hears."""
    return predict_lip_codes(model.lip_encoder, features) if model.lip_encoder is not None else model.audio_codes(features)


def write_history(stage: Stage, history: list[dict[str, float]]) -> None:
    """Write ``history.parquet``, whole."""
    with whole_file(stage.out / "history.parquet") as temporary:
        pd.DataFrame(history).assign(stage=stage.name).to_parquet(temporary, index=False)

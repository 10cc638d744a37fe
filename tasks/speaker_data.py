"""What the training and rendering stages read of one speaker, and the history that they write."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from talkhead_core.artifacts import read_arrays, whole_file
from talkhead_core.audio.features import SpeechFeatures, SpeechFeaturesConfig, TrainingStatistics, create_features
from talkhead_core.errors import InputError
from talkhead_core.rendering.speaker_model import SpeakerModel
from talkhead_core.training.lip_training import predict_lip_codes
from talkhead_core.training.portrait_dataset import PortraitDataset
from talkhead_core.types import FloatArray, FrameRows
from tasks.stage import Stage

__all__ = ["driving_speech", "load_channel_groups", "load_dataset", "load_features", "spoken_codes", "write_history"]


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
    return tuple(int(channels) for channels in read_arrays(path).get("channel_groups", ()))


def driving_speech(stage: Stage) -> tuple[SpeechFeatures, TrainingStatistics]:
    """What hears speech that drives the speaker, and what it is normalised to.

    Raises:
        InputError: the speaker was trained on other features than ``params.yaml`` now names.
    """
    path, config = stage.inputs("speech_features") / "features.safetensors", stage.section(SpeechFeaturesConfig, "speech_features")
    extractor, arrays = create_features(config), read_arrays(path)
    learned, now = arrays["features"].shape[1:], (extractor.window, extractor.channels)
    if learned != now:
        chosen = f"speech_features: {{method: {config.method}, window: {config.window}}}"
        raise InputError(
            f"{path}: {stage.speaker} was trained on windows of {learned[0]} columns and {learned[1]} channels, and {chosen} makes "
            f"{now[0]} and {now[1]}; train again with 'talkhead run --speaker {stage.speaker}', or set speech_features to "
            "what it was trained with"
        )
    return extractor, TrainingStatistics.from_arrays(arrays)


def spoken_codes(model: SpeakerModel, features: FrameRows) -> FloatArray:
    """What drives the model's mouth ``[N, codes]``: lip codes from speech features, or what a head that listens itself hears."""
    return predict_lip_codes(model.lip_encoder, features) if model.lip_encoder is not None else model.audio_codes(features)


def write_history(stage: Stage, history: list[dict[str, float]]) -> None:
    """Write ``history.parquet``, whole."""
    with whole_file(stage.out / "history.parquet") as temporary:
        pd.DataFrame(history).assign(stage=stage.name).to_parquet(temporary, index=False)

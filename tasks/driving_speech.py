"""What hears the speech that drives a trained speaker."""

from __future__ import annotations

from talkhead_core.artifacts import read_arrays
from talkhead_core.audio.features import SpeechFeatures, SpeechFeaturesConfig, TrainingStatistics, create_features
from talkhead_core.errors import InputError
from tasks.stage import Stage

__all__ = ["driving_speech"]


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

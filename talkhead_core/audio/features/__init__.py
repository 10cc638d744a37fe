"""Speech features at the video's rate: ``[frames, window, channels]``, centred on the middle of each frame."""

from talkhead_core.audio.features.driving_features import DrivingFeatures, driving_features
from talkhead_core.audio.features.normalisation import (
    ChannelStatistics,
    TrainingStatistics,
    channel_statistics,
    normalise,
    normalise_to,
)
from talkhead_core.audio.features.speech_features import FEATURES, SpeechFeatures, SpeechFeaturesConfig, channel_groups, create_features

__all__ = [
    "FEATURES",
    "ChannelStatistics",
    "DrivingFeatures",
    "SpeechFeatures",
    "SpeechFeaturesConfig",
    "TrainingStatistics",
    "channel_groups",
    "channel_statistics",
    "create_features",
    "driving_features",
    "normalise",
    "normalise_to",
]

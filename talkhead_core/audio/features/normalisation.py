"""Feature statistics: removing a speaker's own, and dressing another speaker's speech in them."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from talkhead_core.audio.features.speech_features import SpeechFeatures
from talkhead_core.audio.loudness import normalise_loudness
from talkhead_core.audio.voice_activity import VoiceActivityConfig, voice_activity
from talkhead_core.types import FloatArray

__all__ = ["ChannelStatistics", "TrainingStatistics", "channel_statistics", "driving_features", "normalise", "normalise_to"]

_LEAST_STD = 0.05
"""A channel that hardly moves (the top of a telephone's band) must not be blown up to unit variance."""

_STD_RATIO_LIMIT = 2.0
"""How far another speaker's spread may be stretched or squeezed; more would amplify a channel that holds only noise."""


@dataclass(frozen=True, kw_only=True)
class ChannelStatistics:
    """Mean and standard deviation of each channel, ``[channels]`` float32."""

    mean: FloatArray
    std: FloatArray


@dataclass(frozen=True, kw_only=True)
class TrainingStatistics:
    """What ``features.safetensors`` holds of the speaker it was made from.

    Args:
        removed: ``channel_mean`` and ``channel_std``, over all frames: what was removed.
        speech: ``speech_mean`` and ``speech_std``, over the frames that hold speech, before anything was removed.
    """

    removed: ChannelStatistics
    speech: ChannelStatistics

    @classmethod
    def from_arrays(cls, arrays: dict[str, np.ndarray]) -> TrainingStatistics:
        """From the arrays of ``features.safetensors``."""
        return cls(
            removed=ChannelStatistics(mean=arrays["channel_mean"], std=arrays["channel_std"]),
            speech=ChannelStatistics(mean=arrays["speech_mean"], std=arrays["speech_std"]),
        )


def channel_statistics(features: FloatArray, frames: np.ndarray | None = None) -> ChannelStatistics:
    """Statistics over frames and columns.

    Args:
        features: ``[frames, window, channels]``.
        frames: ``[frames]`` bool, which frames count; all where None or where none does.
    """
    chosen = features if frames is None or not frames.any() else features[frames]
    flat = chosen.reshape(-1, chosen.shape[-1])
    mean = flat.mean(axis=0, dtype=np.float64)
    std = np.maximum(flat.std(axis=0, dtype=np.float64), _LEAST_STD)
    return ChannelStatistics(mean=mean.astype(np.float32), std=std.astype(np.float32))


def normalise(features: FloatArray, statistics: ChannelStatistics) -> FloatArray:
    """``(features - mean) / std`` per channel, ``[..., channels]`` float32."""
    return np.asarray((features - statistics.mean) / statistics.std, dtype=np.float32)


def normalise_to(features: FloatArray, own: ChannelStatistics, training: ChannelStatistics) -> FloatArray:
    """Features of one speaker as if they had another's mean and spread, ``[..., channels]`` float32, not normalised.

    Args:
        features: ``[..., channels]``, not normalised.
        own: statistics of the speech the features come from.
        training: statistics of the speaker the model was trained on.
    """
    ratio = np.clip(training.std / own.std, 1 / _STD_RATIO_LIMIT, _STD_RATIO_LIMIT)
    return np.asarray((features - own.mean) * ratio + training.mean, dtype=np.float32)


def driving_features(
    audio: FloatArray,
    fps: Fraction,
    frames: int,
    extractor: SpeechFeatures,
    training: TrainingStatistics,
    *,
    prior_s: float = 2.0,
) -> FloatArray:
    """Features of any voice, ready for a model of another: loudness, timbre and spread are taken to the training speaker's.

    Statistics are compared over frames that hold speech, because recordings differ in how much of them is pause.

    Args:
        audio: mono ``[samples]`` at 16 kHz, denoised.
        fps: rate of the video to make, exact.
        frames: its number of frames.
        extractor: the feature the model was trained with.
        training: of the speaker it was trained on.
        prior_s: seconds of training speech that the driving speech's own statistics are weighed against; a few words do
            not tell a voice's mean.

    Returns:
        ``[frames, window, channels]`` float32, normalised as the training features are.
    """
    active = voice_activity(audio, fps, frames, VoiceActivityConfig())
    raw = extractor.extract(normalise_loudness(audio), fps, frames)
    own = channel_statistics(raw, active)
    weight = float(active.sum()) / (float(active.sum()) + prior_s * float(fps))
    own = ChannelStatistics(
        mean=weight * own.mean + (1 - weight) * training.speech.mean,
        std=weight * own.std + (1 - weight) * training.speech.std,
    )
    return normalise(normalise_to(raw, own, training.speech), training.removed)

"""Feature statistics: removing a speaker's own, and dressing another speaker's speech in them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from talkhead_core.types import FloatArray

__all__ = ["LEAST_STD", "ChannelStatistics", "TrainingStatistics", "channel_statistics", "normalise", "normalise_to"]

LEAST_STD = 0.05
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
    std = np.maximum(flat.std(axis=0, dtype=np.float64), LEAST_STD)
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

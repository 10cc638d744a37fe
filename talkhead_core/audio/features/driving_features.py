"""Any voice's speech as features for a model of another speaker, in constant memory however long it is."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from talkhead_core.audio.features.normalisation import LEAST_STD, ChannelStatistics, TrainingStatistics, normalise, normalise_to
from talkhead_core.audio.features.speech_features import SpeechFeatures
from talkhead_core.audio.loudness import normalise_loudness
from talkhead_core.audio.voice_activity import VoiceActivityConfig, voice_activity
from talkhead_core.types import FloatArray

__all__ = ["DrivingFeatures", "driving_features"]

_MOST_KEPT_BYTES = 128 * 2**20
"""Some eleven minutes of log-mel windows; those of longer speech are made twice instead of kept."""


class DrivingFeatures:
    """Features of a voice with loudness, timbre and spread taken to the training speaker's; slices of it are arrays.

    ``features[a:b]`` is ``[b - a, window, channels]`` float32 for the frames ``a`` to ``b``, normalised as the training features are.
    Statistics are compared over frames that hold speech, because recordings differ in how much of them is pause.

    Args:
        audio: mono ``[samples]`` at 16 kHz, denoised.
        fps: rate of the video to make, exact.
        frames: its number of frames.
        extractor: the feature the model was trained with.
        training: of the speaker it was trained on.
        prior_s: seconds of training speech that the driving speech's own statistics are weighed against; a few words do
            not tell a voice's mean.
        most_kept_bytes: how much to keep of what the statistics were taken of.
    """

    def __init__(
        self,
        audio: FloatArray,
        fps: Fraction,
        frames: int,
        extractor: SpeechFeatures,
        training: TrainingStatistics,
        *,
        prior_s: float = 2.0,
        most_kept_bytes: int = _MOST_KEPT_BYTES,
    ) -> None:
        self._audio, self._fps, self._frames = normalise_loudness(audio), fps, frames
        self._extractor, self._training = extractor, training
        keeps = 4 * frames * extractor.window * extractor.channels <= most_kept_bytes
        self._kept = np.empty((frames if keeps else 0, extractor.window, extractor.channels), np.float32)
        active = voice_activity(audio, fps, frames, VoiceActivityConfig())
        own = self._statistics(active if active.any() else np.ones(frames, dtype=bool))
        weight = float(active.sum()) / (float(active.sum()) + prior_s * float(fps))
        self._own = ChannelStatistics(
            mean=weight * own.mean + (1 - weight) * training.speech.mean,
            std=weight * own.std + (1 - weight) * training.speech.std,
        )

    def __len__(self) -> int:
        return self._frames

    def __getitem__(self, wanted: slice) -> FloatArray:
        start, stop, _ = wanted.indices(self._frames)
        if len(self._kept):
            raw = self._kept[start:stop]
        else:
            raw = self._extractor.extract(self._audio, self._fps, stop - start, start)
        return normalise(normalise_to(raw, self._own, self._training.speech), self._training.removed)

    def _statistics(self, chosen: np.ndarray) -> ChannelStatistics:
        """Of the chosen frames; keeps the features on the way where there is room."""
        channels, done, columns = self._extractor.channels, 0, 0
        total, squares = np.zeros(channels), np.zeros(channels)
        for block in self._extractor.blocks(self._audio, self._fps, self._frames):
            if len(self._kept):
                self._kept[done : done + len(block)] = block
            values = block[chosen[done : done + len(block)]].reshape(-1, channels).astype(np.float64)
            total, squares = total + values.sum(axis=0), squares + np.square(values).sum(axis=0)
            done, columns = done + len(block), columns + len(values)
        mean = total / columns
        std = np.maximum(np.sqrt(np.maximum(squares / columns - mean**2, 0.0)), LEAST_STD)
        return ChannelStatistics(mean=mean.astype(np.float32), std=std.astype(np.float32))


def driving_features(
    audio: FloatArray, fps: Fraction, frames: int, extractor: SpeechFeatures, training: TrainingStatistics, *, prior_s: float = 2.0
) -> FloatArray:
    """All of :class:`DrivingFeatures` as one array ``[frames, window, channels]``, for speech of minutes."""
    return DrivingFeatures(audio, fps, frames, extractor, training, prior_s=prior_s)[:]

"""What every speech feature is: a window of columns per video frame, and its configuration."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Protocol

import numpy as np

from talkhead_core.parameters import require
from talkhead_core.registry import Registry
from talkhead_core.types import FloatArray

__all__ = ["FEATURES", "SpeechFeatures", "SpeechFeaturesConfig", "channel_groups", "create_features"]


class SpeechFeatures(Protocol):
    """A speech feature at the video's rate.

    Args:
        window: columns in each frame's window, centred on the middle of the frame.
        weights: path of the weight file, or of the folder that holds it, for the features that need one.
    """

    window: int
    channels: int
    columns_per_second: int

    def __init__(self, *, window: int, weights: str | None = None) -> None: ...

    def blocks(self, audio: FloatArray, fps: Fraction, frames: int, first_frame: int = 0) -> Iterator[FloatArray]:
        """Yield ``[<= 512, window, channels]`` float32 in frame order: for long audio, in constant memory."""
        ...

    def extract(self, audio: FloatArray, fps: Fraction, frames: int, first_frame: int = 0) -> FloatArray:
        """Features of the frames ``first_frame`` to ``first_frame + frames``, not normalised.

        Args:
            audio: mono ``[samples]`` at 16 kHz, sample 0 at the start of frame 0; silence is assumed beyond its ends.
            fps: the video's rate, exact.
            frames: how many frames.
            first_frame: id of the first.

        Returns:
            ``[frames, window, channels]`` float32.
        """
        ...


FEATURES: Registry[type[SpeechFeatures]] = Registry(
    "speech feature",
    {
        "log_mel": "talkhead_core.audio.features.log_mel:LogMel",
        "mfcc": "talkhead_core.audio.features.mfcc:Mfcc",
        "hubert": "talkhead_core.audio.features.hubert:Hubert",
        "wav2vec2": "talkhead_core.audio.features.wav2vec2:Wav2Vec2",
        "deepspeech": "talkhead_core.audio.features.deepspeech:DeepSpeech",
        "ave": "talkhead_core.audio.features.audio_visual_encoder:AudioVisualEncoder",
        "speech_embedding": "talkhead_core.audio.features.speech_embedding:SpeechEmbedding",
    },
)


@dataclass(frozen=True, kw_only=True)
class SpeechFeaturesConfig:
    """Which speech feature drives the face.

    Args:
        method: a name in ``FEATURES``, or several joined by ``+``; lips listen to phonemes where the first is ``log_mel``.
        window: columns in each frame's window, of the fastest feature; at 100 columns a second 24 of them are 240 ms.
        weights: path of the weight file, or of the folder that holds it, for the features that need one.
    """

    method: str = "log_mel+speech_embedding"
    window: int = 24
    weights: str | None = None

    def __post_init__(self) -> None:
        for name in self.methods:
            require(name in FEATURES, f"no speech feature called {name!r}; choose of {', '.join(FEATURES)}, or join several with +")
        require(len(set(self.methods)) == len(self.methods), f"{self.method} names a speech feature twice")
        require(1 <= self.window <= 400, f"window must be 1 to 400 columns, not {self.window}")

    @property
    def methods(self) -> tuple[str, ...]:
        """Names in ``FEATURES``."""
        return tuple(self.method.split("+"))


def create_features(config: SpeechFeaturesConfig) -> SpeechFeatures:
    """The speech feature that ``config`` names, or those.

    Raises:
        ParameterError: no such feature, or features that cannot be joined.
        NotAvailableError: its package or weights are not here.
    """
    kinds = [FEATURES.get(name) for name in config.methods]
    if len(kinds) == 1:
        return kinds[0](window=config.window, weights=config.weights)
    from talkhead_core.audio.features.joined_features import JoinedFeatures, slower_window  # which is made of these

    rates = [kind.columns_per_second for kind in kinds]
    windows = [slower_window(config.window, rate, max(rates), name) for rate, name in zip(rates, config.methods, strict=True)]
    return JoinedFeatures(tuple(kind(window=window, weights=config.weights) for kind, window in zip(kinds, windows, strict=True)))


def channel_groups(features: SpeechFeatures) -> tuple[int, ...]:
    """Channels of each of the features that were joined; all channels of one that was not."""
    return getattr(features, "channel_groups", (features.channels,))


def stacked(blocks: Iterator[FloatArray], frames: int, window: int, channels: int) -> FloatArray:
    """The blocks of :meth:`SpeechFeatures.blocks` as one array ``[frames, window, channels]``."""
    features = np.empty((frames, window, channels), dtype=np.float32)
    done = 0
    for block in blocks:
        features[done : done + len(block)] = block
        done += len(block)
    return features

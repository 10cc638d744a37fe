"""The denoiser ``mss``: multi-scale spectral subtraction, always."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict

from talkhead_core.audio.denoise.denoiser import Decision, DenoiseConfig, ReadBlocks
from talkhead_core.audio.denoise.spectral_subtraction import MultiScaleSpectralSubtraction
from talkhead_core.audio.voice_activity import SpeechLevels
from talkhead_core.types import FloatArray

__all__ = ["Mss"]


class Mss:
    """Multi-scale spectral subtraction whatever the recording is like."""

    def __init__(self, config: DenoiseConfig) -> None:
        self._config = config.mss

    def prepare(self, levels: SpeechLevels, read: ReadBlocks) -> Decision:
        """See ``Denoiser.prepare``."""
        return Decision(applied="mss", reasons=["method 'mss' was asked for"], settings=asdict(self._config))

    def stream(self, blocks: Iterable[FloatArray]) -> Iterator[FloatArray]:
        """See ``Denoiser.stream``."""
        yield from MultiScaleSpectralSubtraction(self._config).stream(blocks)

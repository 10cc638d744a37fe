"""The denoiser ``none``: the recording passes untouched."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from talkhead_core.audio.denoise.denoiser import Decision, DenoiseConfig, ReadBlocks
from talkhead_core.audio.voice_activity import SpeechLevels
from talkhead_core.types import FloatArray

__all__ = ["Untouched"]


class Untouched:
    """Gives what it takes."""

    def __init__(self, config: DenoiseConfig) -> None:
        del config

    def prepare(self, levels: SpeechLevels, read: ReadBlocks) -> Decision:
        """See ``Denoiser.prepare``."""
        return Decision(applied="none", reasons=["method 'none' was asked for"])

    def stream(self, blocks: Iterable[FloatArray]) -> Iterator[FloatArray]:
        """See ``Denoiser.stream``."""
        yield from blocks

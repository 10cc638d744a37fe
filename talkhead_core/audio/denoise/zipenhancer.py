"""The denoiser ``zipenhancer``: the network of RAE-NeRF's section 3.1, with its authors' weights or with weights trained here."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from talkhead_core.audio.denoise.denoiser import Decision, DenoiseConfig, ReadBlocks
from talkhead_core.audio.denoise.zip_enhancer.chunked import enhanced_stream
from talkhead_core.audio.denoise.zip_enhancer.official_weights import WEIGHTS_FILE
from talkhead_core.audio.denoise.zip_enhancer.trained_weights import load_network
from talkhead_core.audio.voice_activity import SpeechLevels
from talkhead_core.errors import NotAvailableError
from talkhead_core.types import FloatArray

__all__ = ["ZipEnhancerDenoiser"]


class ZipEnhancerDenoiser:
    """ZipEnhancer with the weights that ``denoise.weights`` names.

    Raises:
        NotAvailableError: the weights are not here, or are not ZipEnhancer's.
    """

    def __init__(self, config: DenoiseConfig) -> None:
        if config.weights is None:
            raise NotAvailableError(
                f"denoiser 'zipenhancer' needs {WEIGHTS_FILE} (no path is set: denoise.weights); run 'talkhead models pull zipenhancer'"
            )
        self._weights = config.weights
        self._network = load_network(Path(config.weights))

    def prepare(self, levels: SpeechLevels, read: ReadBlocks) -> Decision:
        """See ``Denoiser.prepare``."""
        return Decision(applied="zipenhancer", reasons=["method 'zipenhancer' was asked for"], settings={"weights": self._weights})

    def stream(self, blocks: Iterable[FloatArray]) -> Iterator[FloatArray]:
        """See ``Denoiser.stream``."""
        yield from enhanced_stream(self._network, blocks)

"""The denoiser ``zipenhancer``: the network of RAE-NeRF's section 3.1 with its authors' weights, in overlapping chunks of 2 s."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import torch

from talkhead_core.audio.denoise.chunks import overlapping_chunks
from talkhead_core.audio.denoise.denoiser import Decision, DenoiseConfig, ReadBlocks
from talkhead_core.audio.denoise.zip_enhancer.official_weights import WEIGHTS_FILE, load_official
from talkhead_core.audio.voice_activity import SpeechLevels
from talkhead_core.errors import NotAvailableError
from talkhead_core.media.audio_file import SPEECH_SAMPLE_RATE_HZ
from talkhead_core.types import FloatArray

__all__ = ["ZipEnhancerDenoiser"]

# the chunks of the authors' own inference: 2 s, of which a quarter of a second at either end only gives context
_CORE = 3 * SPEECH_SAMPLE_RATE_HZ // 2
_CONTEXT = SPEECH_SAMPLE_RATE_HZ // 4
_SHORTEST = 2 * SPEECH_SAMPLE_RATE_HZ
_FADE = SPEECH_SAMPLE_RATE_HZ // 50


class ZipEnhancerDenoiser:
    """ZipEnhancer with the official weights.

    Raises:
        NotAvailableError: the weights are not here, or are not the official ones.
    """

    def __init__(self, config: DenoiseConfig) -> None:
        if config.weights is None:
            raise NotAvailableError(
                f"denoiser 'zipenhancer' needs {WEIGHTS_FILE} (no path is set: denoise.weights); run 'talkhead models pull zipenhancer'"
            )
        self._weights = config.weights
        self._network = load_official(Path(config.weights))

    def prepare(self, levels: SpeechLevels, read: ReadBlocks) -> Decision:
        """See ``Denoiser.prepare``."""
        return Decision(applied="zipenhancer", reasons=["method 'zipenhancer' was asked for"], settings={"weights": self._weights})

    def stream(self, blocks: Iterable[FloatArray]) -> Iterator[FloatArray]:
        """See ``Denoiser.stream``."""
        rise = np.linspace(0, 1, _FADE + 2, dtype=np.float32)[1:-1]
        tail = np.zeros(0, dtype=np.float32)  # what the chunk before made of this one's beginning
        for chunk, inner in overlapping_chunks(blocks, core=_CORE, context=_CONTEXT):
            enhanced = self._enhanced(chunk)
            wanted = enhanced[inner].copy()
            shared = min(len(tail), len(wanted))
            wanted[:shared] = tail[:shared] + rise[:shared] * (wanted[:shared] - tail[:shared])
            tail = enhanced[inner.stop : inner.stop + _FADE]
            yield wanted

    def _enhanced(self, chunk: FloatArray) -> FloatArray:
        padded = np.pad(chunk, (0, max(_SHORTEST - len(chunk), 0)))
        with torch.inference_mode():
            enhanced = self._network.enhance(torch.from_numpy(np.ascontiguousarray(padded, dtype=np.float32))[None])
        return np.asarray(enhanced[0, : len(chunk)].numpy())

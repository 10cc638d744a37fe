"""A recording of any length through the network, in the overlapping chunks of 2 s that its authors run it in."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import torch

from talkhead_core.audio.denoise.chunks import overlapping_chunks
from talkhead_core.audio.denoise.zip_enhancer.network import ZipEnhancer
from talkhead_core.media.audio_file import SPEECH_SAMPLE_RATE_HZ
from talkhead_core.types import FloatArray

__all__ = ["enhanced_stream"]

# of each chunk a quarter of a second at either end only gives context
_CORE = 3 * SPEECH_SAMPLE_RATE_HZ // 2
_CONTEXT = SPEECH_SAMPLE_RATE_HZ // 4
_SHORTEST = 2 * SPEECH_SAMPLE_RATE_HZ
_FADE = SPEECH_SAMPLE_RATE_HZ // 50


def enhanced_stream(network: ZipEnhancer, blocks: Iterable[FloatArray]) -> Iterator[FloatArray]:
    """Enhance consecutive mono ``[samples]`` at 16 kHz, of any lengths, in constant memory; gives as many samples as it took."""
    rise = np.linspace(0, 1, _FADE + 2, dtype=np.float32)[1:-1]
    tail = np.zeros(0, dtype=np.float32)  # what the chunk before made of this one's beginning
    for chunk, inner in overlapping_chunks(blocks, core=_CORE, context=_CONTEXT):
        enhanced = _enhanced(network, chunk)
        wanted = enhanced[inner].copy()
        shared = min(len(tail), len(wanted))
        wanted[:shared] = tail[:shared] + rise[:shared] * (wanted[:shared] - tail[:shared])
        tail = enhanced[inner.stop : inner.stop + _FADE]
        yield wanted


def _enhanced(network: ZipEnhancer, chunk: FloatArray) -> FloatArray:
    padded = np.pad(chunk, (0, max(_SHORTEST - len(chunk), 0)))
    device = next(network.parameters()).device
    with torch.inference_mode():
        enhanced = network.enhance(torch.from_numpy(np.ascontiguousarray(padded, dtype=np.float32))[None].to(device))
    return np.asarray(enhanced[0, : len(chunk)].cpu().numpy())

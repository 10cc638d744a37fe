"""A stream cut into overlapping chunks, so that a denoiser sees both sides of what it works on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from talkhead_core.types import FloatArray

__all__ = ["overlapping_chunks"]


def overlapping_chunks(blocks: Iterable[FloatArray], *, core: int, context: int) -> Iterator[tuple[FloatArray, slice]]:
    """Cut a stream into pieces of ``core`` samples with up to ``context`` samples of neighbourhood on each side.

    Args:
        blocks: consecutive ``[samples]`` of any lengths.
        core: samples that each chunk answers for; chunks start at multiples of it, less the context.
        context: samples before and after, fewer at the ends of the stream.

    Yields:
        ``(chunk, inner)``: the piece with its neighbourhood, and where in it the ``core`` samples lie. The cores of all
        chunks, one after the other, are the stream.
    """
    held = np.zeros(0, dtype=np.float32)
    before = 0  # samples of `held` that are already answered for
    for block in blocks:
        held = np.concatenate([held, np.asarray(block, dtype=np.float32)])
        while len(held) >= before + core + context:
            yield held[: before + core + context], slice(before, before + core)
            drop = max(before + core - context, 0)
            held, before = held[drop:], before + core - drop
    while len(held) > before:
        end = min(before + core, len(held))
        yield held[: end + context], slice(before, end)
        drop = max(end - context, 0)
        held, before = held[drop:], end - drop

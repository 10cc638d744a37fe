"""Numbers too small to be normal, which some processors are slow at."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

__all__ = ["denormals_as_zero"]


@contextmanager
def denormals_as_zero() -> Iterator[None]:
    """While the block (or the function that this decorates) runs, this thread and those that it starts take denormal numbers for zero.

    Gradients of a hash table and Adam's moments decay into such numbers. On Intel's processors arithmetic with them takes a hundred cycles,
    and a training step becomes 8 times as slow. A thread inherits the setting from the one that starts it, so the block has to begin before
    torch's and numba's pools do. It ends where training ends: MediaPipe's models cannot be loaded under it.
    """
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)

"""Limbs in every frame of a clip, detected in some and interpolated between."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

from talkhead_core.segmentation.limbs import Limbs, limbs_between
from talkhead_core.types import Image

__all__ = ["with_limbs"]


def with_limbs(frames: Iterable[Image], detect: Callable[[Image], Limbs], stride: int) -> Iterator[tuple[Image, Limbs]]:
    """Yield every frame with its limbs; ``detect`` sees every ``stride``-th frame, on a thread, ahead of the caller."""
    with ThreadPoolExecutor(1) as pool:
        pending: list[Image] = []
        current: Future[Limbs] | None = None
        for index, frame in enumerate(frames):
            if index % stride == 0:
                following = pool.submit(detect, frame)
                if current is not None:
                    yield from _interpolated(pending, current, following)
                pending, current = [], following
            pending.append(frame)
        if current is not None:
            held = current.result()
            yield from ((frame, held) for frame in pending)


def _interpolated(frames: list[Image], current: Future[Limbs], following: Future[Limbs]) -> Iterator[tuple[Image, Limbs]]:
    before = current.result()
    yield frames[0], before
    for offset, frame in enumerate(frames[1:], start=1):
        yield frame, limbs_between(before, following.result(), offset / len(frames))

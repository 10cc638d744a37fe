"""Limbs in every frame of a clip, detected in some and interpolated between."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

from talkhead_core.segmentation.limbs import Limbs, limbs_between, seen_again
from talkhead_core.types import Image

__all__ = ["with_limbs"]


def with_limbs(frames: Iterable[Image], detect: Callable[[Image], Limbs], stride: int) -> Iterator[tuple[Image, Limbs]]:
    """Yield every frame with its limbs; ``detect`` sees every ``stride``-th frame, on a thread, ahead of the caller.

    A hand that neither the detection before nor the one after shows is none: now and then a mouth looks like a palm.
    """
    with ThreadPoolExecutor(1) as pool:
        spans = _confirmed(_spans(frames, detect, stride, pool))
        span = next(spans, None)
        while span is not None:
            (pictures, before), span = span, next(spans, None)
            after = before if span is None else span[1]
            for offset, frame in enumerate(pictures):
                held = offset == 0 or span is None
                yield frame, before if held else limbs_between(before, after, offset / len(pictures))


def _spans(
    frames: Iterable[Image], detect: Callable[[Image], Limbs], stride: int, pool: ThreadPoolExecutor
) -> Iterator[tuple[list[Image], Future[Limbs]]]:
    """The frames from one detection to the next, with the detection; the next is under way by then."""
    pictures: list[Image] = []
    current: Future[Limbs] | None = None
    for index, frame in enumerate(frames):
        if index % stride == 0:
            following = pool.submit(detect, frame)
            if current is not None:
                yield pictures, current
            pictures, current = [], following
        pictures.append(frame)
    if current is not None:
        yield pictures, current


def _confirmed(spans: Iterator[tuple[list[Image], Future[Limbs]]]) -> Iterator[tuple[list[Image], Limbs]]:
    before: Limbs | None = None
    span = next(spans, None)
    while span is not None:
        (pictures, current), span = span, next(spans, None)
        found = current.result()
        beside = [limbs for limbs in (before, None if span is None else span[1].result()) if limbs is not None]
        yield pictures, seen_again(found, beside)
        before = found

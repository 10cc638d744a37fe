"""How long work tells its caller how far it is, without knowing who listens."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol, TypeVar

T = TypeVar("T")

__all__ = ["Progress", "silent", "tracked"]


class Progress(Protocol):
    """Whoever wants to know how far work is."""

    def __call__(self, done: int, total: int, note: str = "") -> None:
        """Take the units done, the units in all, and an optional note such as ``"loss 0.012"``."""


def silent(done: int, total: int, note: str = "") -> None:
    """The listener that does nothing."""


def tracked(items: Iterable[T], total: int, progress: Progress) -> Iterator[T]:
    """Yield ``items`` and report after each."""
    for index, item in enumerate(items):
        yield item
        progress(index + 1, total)

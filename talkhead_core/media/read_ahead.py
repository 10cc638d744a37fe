"""Decoding and encoding beside the work, on threads of their own, in constant memory."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Generic, TypeVar

T = TypeVar("T")

__all__ = ["WriteBehind", "read_ahead"]

_END = object()


def read_ahead(items: Iterator[T], depth: int = 8) -> Iterator[T]:
    """Yield ``items`` in order while a thread fetches up to ``depth`` of them ahead; its errors are raised here."""
    waiting: queue.Queue[object] = queue.Queue(maxsize=depth)
    abandoned = threading.Event()
    failure: list[BaseException] = []

    def offer(item: object) -> bool:
        while not abandoned.is_set():
            try:
                waiting.put(item, timeout=0.1)
                return True
            except queue.Full:
                continue
        return False

    def fetch() -> None:
        try:
            for item in items:
                if not offer(item):
                    return
        except BaseException as error:
            failure.append(error)
        offer(_END)

    thread = threading.Thread(target=fetch, daemon=True)
    thread.start()
    try:
        while (item := waiting.get()) is not _END:
            yield item  # type: ignore[misc]
        if failure:
            raise failure[0]
    finally:
        abandoned.set()
        thread.join()


class WriteBehind(Generic[T]):
    """Hand items to ``write`` on one thread, in order; errors surface in the caller, at the latest when the block ends.

    Args:
        write: what consumes an item, such as ``VideoWriter.write``.
        depth: how many items may wait.
    """

    def __init__(self, write: Callable[[T], None], depth: int = 8) -> None:
        self._write = write
        self._waiting: queue.Queue[object] = queue.Queue(maxsize=depth)
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._consume, daemon=True)

    def __call__(self, item: T) -> None:
        """Queue one item; waits while ``depth`` are queued."""
        if self._failure is not None:
            raise self._failure
        self._waiting.put(item)

    def _consume(self) -> None:
        while (item := self._waiting.get()) is not _END:
            if self._failure is None:
                try:
                    self._write(item)  # type: ignore[arg-type]
                except BaseException as error:
                    self._failure = error

    def __enter__(self) -> WriteBehind[T]:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._waiting.put(_END)
        self._thread.join()
        if kind is None and self._failure is not None:
            raise self._failure

"""Decoding and encoding on threads of their own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from talkhead_core.media.read_ahead import WriteBehind, read_ahead


def test_read_ahead_keeps_order_and_errors() -> None:
    def numbers() -> Iterator[int]:
        yield from range(20)
        raise ValueError("cut short")

    taken = []
    with pytest.raises(ValueError, match="cut short"):
        for number in read_ahead(numbers(), depth=3):
            taken.append(number)
    assert taken == list(range(20))
    unfinished = read_ahead(iter(range(10**9)), depth=2)
    assert next(unfinished) == 0
    unfinished.close()  # ends its thread


def test_write_behind_keeps_order_and_errors() -> None:
    written: list[int] = []
    with WriteBehind(written.append, depth=2) as write:
        for number in range(50):
            write(number)
    assert written == list(range(50))

    def full(number: int) -> None:
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"), WriteBehind(full, depth=2) as write:
        for number in range(5):
            write(number)

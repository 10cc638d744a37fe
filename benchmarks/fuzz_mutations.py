"""How fuzzing spoils a file: bytes cut, flipped, doubled and foreign, and documents in which one value became another.

Byte by byte a text is soon refused as no document at all; what lies behind that is reached by changing the document it holds, and
writing it again.
"""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable
from typing import Any

__all__ = ["Mutate", "bytes_changed", "json_changed", "lines_changed"]

Mutate = Callable[[bytes, random.Random], bytes]

_TOKENS = (
    *(character.encode() for character in "\0\r\"',:{}[]%\\~²é\u2028"),
    b"\xff\xfe", b"\xef\xbb\xbf", b"\x80", b"- ", b"&a", b"*a", b"<<: *a", b"!!python/object:os.system", b"../", b"/etc/passwd",
    b"-1", b"1e999", b"-inf", b"nan", b"NaN", b"0x", b"null", b"true", b"2020-99-99", b"9" * 30, b"9" * 5000,
    b"\x7f\xff\xff\xff", b"\xff" * 9 + b"\x7f", b"[" * 3000, b"a" * 70_000,
)  # fmt: skip
_VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2, 1 << 31, 1 << 63, 10**30, -(10**30), 0.5, 1e308, float("nan"), float("inf"), float("-inf"),
    "", " ", "a", "0", "nan", "../x", "/x", "a\0b", "a\nb", "é" * 40, "²", "x" * 5000, "2020-01-01",
    [], [[]], [1, "a", None], {}, {"a": {"b": []}}, [0.0] * 16, [[1, 0], [0]],
)  # fmt: skip


def bytes_changed(content: bytes, random: random.Random) -> bytes:
    """One to four changes at random places."""
    data = bytearray(content)
    for _ in range(random.choice((1, 1, 2, 4))):
        place = random.randrange(len(data) + 1)
        length = min(random.choice((1, 1, 2, 4, 8, 64, 1024)), max(len(data) - place, 0))
        kind = random.randrange(6)
        if kind == 0 and length:
            data[place] ^= 1 << random.randrange(8)
        elif kind == 1:
            del data[place:]
        elif kind == 2:
            del data[place : place + length]
        elif kind == 3:
            data[place:place] = random.choice(_TOKENS)
        elif kind == 4:
            data[place:place] = data[place : place + length] * random.choice((1, 2, 30))
        else:
            data[place : place + length] = random.randbytes(length)
    return bytes(data)


def json_changed(content: bytes, random: random.Random) -> bytes:
    """A JSON document with one or two of its values, or keys, replaced, removed or doubled; sometimes its bytes."""
    if random.random() < 0.25:
        return bytes_changed(content, random)
    document = json.loads(content)
    for _ in range(random.choice((1, 1, 2))):
        document = _changed(document, random)
    return json.dumps(document).encode()  # with NaN and Infinity, as Python's own writers leave them


def lines_changed(content: bytes, random: random.Random) -> bytes:
    """A table in which a cell became something else, a line is missing, or stands twice; sometimes its bytes."""
    if random.random() < 0.3:
        return bytes_changed(content, random)
    lines = [line.split(b",") for line in content.split(b"\n")]
    row = random.randrange(len(lines))
    kind = random.randrange(4)
    if kind == 0:
        lines.insert(row, list(lines[random.randrange(len(lines))]))
    elif kind == 1:
        del lines[row]
    elif kind == 2:
        lines[row].insert(random.randrange(len(lines[row]) + 1), b"")
    else:
        lines[row][random.randrange(len(lines[row]))] = str(random.choice(_VALUES)).encode()
    return b"\n".join(b",".join(line) for line in lines)


def _changed(document: Any, random: random.Random) -> Any:
    """A copy with one place of it changed."""
    document = copy.deepcopy(document)
    places = list(_places(document))
    if not places:
        return random.choice(_VALUES)
    holder, key = random.choice(places)
    kind = random.randrange(8)
    if kind == 0:
        del holder[key]
    elif kind == 1 and isinstance(holder, dict):
        holder[str(random.choice(_VALUES))] = holder.pop(key)
    elif kind == 2 and isinstance(holder, list):
        holder.insert(key, copy.deepcopy(holder[key]))
    elif kind == 3 and isinstance(holder[key], int | float) and not isinstance(holder[key], bool):
        holder[key] = holder[key] * random.choice((-1, 0, 1e9, 1e-9, 1.5))
    else:
        holder[key] = copy.deepcopy(random.choice(_VALUES))
    return document if random.random() > 0.02 else random.choice(_VALUES)


def _places(document: Any) -> Any:
    if isinstance(document, dict | list):
        for key in list(document) if isinstance(document, dict) else range(len(document)):
            yield document, key
            yield from _places(document[key])

"""The constants of a frozen TensorFlow graph (``.pb``), read without TensorFlow.

A ``GraphDef`` is a protocol buffer: fields of a number and a wire type, one after another. Only what leads to the constants is
read: nodes (field 1) with name (1), operation (2) and attributes (5), and in the attribute ``value`` a tensor (8) with its type (1),
shape (2) and content (4, or 5 as single floats).
"""

from __future__ import annotations

import math
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from talkhead_core.types import FloatArray

__all__ = ["frozen_constants"]

_FLOAT = 1  # DT_FLOAT
_MOST_BYTES = 1 << 30  # an archive or a tensor that claims more is a bomb: official speech networks are a fifth of it
_BLOCK_BYTES = 1 << 20


def frozen_constants(path: Path) -> dict[str, FloatArray]:
    """Name -> float32 array of every floating-point constant of the graph; a ``.zip`` holds the graph as its only ``.pb``.

    Raises:
        ValueError: it is no graph, or is cut short.
    """
    content = memoryview(_content(path))
    constants: dict[str, FloatArray] = {}
    try:
        for number, node in _fields(content):
            if number == 1 and isinstance(node, memoryview):
                name, tensor = _constant(node)
                if tensor is not None:
                    constants[name] = tensor
    except (IndexError, struct.error, UnicodeDecodeError) as error:
        raise ValueError(f"not a frozen graph, or cut short ({error})") from error
    if not constants:
        raise ValueError("no constants in it")
    return constants


def _content(path: Path) -> bytes:
    if not zipfile.is_zipfile(path):
        return path.read_bytes()
    try:
        with zipfile.ZipFile(path) as archive:
            graphs = [entry for entry in archive.infolist() if entry.filename.endswith(".pb")]
            if len(graphs) != 1:
                raise ValueError(f"{len(graphs)} graphs in the archive, not one")
            if graphs[0].file_size > _MOST_BYTES:
                raise ValueError(f"the graph in the archive would be {graphs[0].file_size >> 20} MiB")
            content = bytearray()
            with archive.open(graphs[0]) as graph:  # in blocks: what the entry says of its size is not to be trusted either
                while len(content) <= _MOST_BYTES and (block := graph.read(_BLOCK_BYTES)):
                    content += block
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError) as error:  # the last: encrypted, or packed in an unknown way
        raise ValueError(f"a damaged archive ({error})") from error
    if len(content) > _MOST_BYTES:
        raise ValueError(f"the graph in the archive is more than {_MOST_BYTES >> 20} MiB")
    return bytes(content)


def _constant(node: memoryview) -> tuple[str, FloatArray | None]:
    name, operation, tensor = "", "", None
    for number, value in _fields(node):
        if number == 1 and isinstance(value, memoryview):
            name = bytes(value).decode()
        elif number == 2 and isinstance(value, memoryview):
            operation = bytes(value).decode()
        elif number == 5 and isinstance(value, memoryview):
            entry = dict(_fields(value))
            key, attribute = entry.get(1), entry.get(2)
            if isinstance(key, memoryview) and isinstance(attribute, memoryview) and bytes(key) == b"value":
                tensor = dict(_fields(attribute)).get(8)
    if operation != "Const" or not isinstance(tensor, memoryview):
        return name, None
    return name, _tensor(tensor)


def _tensor(message: memoryview) -> FloatArray | None:
    kind, shape, content = 0, [], b""
    for number, value in _fields(message):
        if number == 1 and isinstance(value, int):
            kind = value
        elif number == 2 and isinstance(value, memoryview):
            shape = [_dimension(part) for field, part in _fields(value) if field == 2 and isinstance(part, memoryview)]
        elif number in (4, 5) and isinstance(value, memoryview):
            content += bytes(value)
    if kind != _FLOAT:
        return None
    values = np.frombuffer(content, "<f4")
    count = math.prod(shape)
    if not 0 <= 4 * count <= _MOST_BYTES:
        raise ValueError(f"a tensor of {shape}")
    if len(values) == 1 and count > 1:  # one value stands for all
        values = np.repeat(values, count)
    if len(values) != count:
        raise ValueError(f"a tensor of {shape} holds {len(values)} values")
    return values.reshape(shape).astype(np.float32)


def _dimension(message: memoryview) -> int:
    size = dict(_fields(message)).get(1, 0)
    if not isinstance(size, int):
        raise ValueError("not a frozen graph: a side of a tensor is no number")
    return size


def _fields(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Number and value of each field: an int, or the bytes of text, a message, packed numbers or a fixed-size number."""
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        kind = key & 7
        if kind == 0:
            value, at = _varint(message, at)
            yield key >> 3, value
            continue
        if kind == 2:
            size, at = _varint(message, at)
        elif kind in (1, 5):
            size = 8 if kind == 1 else 4
        else:
            raise ValueError(f"not a frozen graph: wire type {kind}")
        if at + size > len(message):
            raise ValueError("not a frozen graph, or cut short")
        yield key >> 3, message[at : at + size]
        at += size


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
        if shift > 63:
            raise ValueError("not a frozen graph")

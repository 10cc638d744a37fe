"""Files are written whole or not at all, and read without pickle.

A half-written artifact would poison every stage after it: everything here is written to a temporary sibling,
flushed to disk and then moved into place.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from talkhead_core.errors import InputError

__all__ = ["read_arrays", "read_json", "whole_file", "write_arrays", "write_json", "write_text"]


@contextmanager
def whole_file(path: str | Path) -> Iterator[Path]:
    """A temporary path with the same suffix that replaces ``path`` when the block ends well, and is removed when not."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=".writing-", suffix=path.suffix, dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        mask = os.umask(0)
        os.umask(mask)
        temporary.chmod(0o666 & ~mask)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: str | Path, text: str) -> None:
    """Write UTF-8 text, whole."""
    with whole_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: str | Path, value: Any) -> None:
    """Write JSON with sorted keys, whole; numpy scalars and arrays become plain numbers and lists."""
    write_text(path, json.dumps(value, indent=2, sort_keys=True, default=_plain, allow_nan=False) + "\n")


def read_json(path: str | Path) -> Any:
    """Read JSON.

    Raises:
        InputError: the file is not JSON.
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:  # not UTF-8, not JSON, a number of thousands of digits, nested too deeply
        raise InputError(f"{path}: not valid JSON ({error}); remove it and rerun the stage that writes it") from error


def write_arrays(path: str | Path, arrays: Mapping[str, np.ndarray], metadata: Mapping[str, str] | None = None) -> None:
    """Write named arrays as safetensors, whole. Rows are keyed by an array called ``frame_id`` where there are frames."""
    contiguous = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    with whole_file(path) as temporary:
        save_file(contiguous, temporary, metadata=dict(metadata or {}))


def read_arrays(path: str | Path) -> dict[str, np.ndarray]:
    """Read what :func:`write_arrays` wrote.

    Raises:
        InputError: the file is not safetensors or is cut short.
    """
    try:
        return load_file(path)
    except SafetensorError as error:
        raise InputError(f"{path}: not a whole safetensors file ({error}); rerun the stage that writes it") from error


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} is not JSON")

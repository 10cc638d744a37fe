"""Folders to work in that are gone afterwards, also when their owner was killed.

A folder belongs to the process that holds the lock (``flock``) on the folder itself; the lock falls with the process, however it
ends. A folder of which nobody holds the lock was left behind by a process that was killed, and the next to come removes it.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["folders_at_work", "remove_abandoned", "work_folder"]


@contextmanager
def work_folder(parent: Path, prefix: str, gate: Path) -> Iterator[Path]:
    """A new folder in ``parent``, removed when the block ends; those that killed processes left there are removed first.

    Args:
        parent: an existing folder.
        prefix: what the folder's name begins with; nothing else in ``parent`` is called so.
        gate: a lock file, held while folders are made and removed, and by whoever must not meet a new one.

    Raises:
        FileNotFoundError: ``parent`` is not there any more.
    """
    with _held(gate):
        remove_abandoned(parent, prefix)
        folder = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
        owner = os.open(folder, os.O_RDONLY)
        fcntl.flock(owner, fcntl.LOCK_EX | fcntl.LOCK_NB)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(owner)


def remove_abandoned(parent: Path, prefix: str) -> None:
    """Remove the folders that nobody works in; only while the gate is held."""
    for folder in parent.glob(f"{prefix}*"):
        if folder.is_dir() and not folder.is_symlink() and not _at_work(folder):
            shutil.rmtree(folder, ignore_errors=True)


def folders_at_work(parent: Path, prefix: str) -> list[Path]:
    """The folders that a process works in now."""
    return [folder for folder in sorted(parent.glob(f"{prefix}*")) if folder.is_dir() and _at_work(folder)]


def _at_work(folder: Path) -> bool:
    try:
        handle = os.open(folder, os.O_RDONLY)
    except FileNotFoundError:
        return False  # its owner has just ended
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False


@contextmanager
def _held(gate: Path) -> Iterator[None]:
    gate.parent.mkdir(parents=True, exist_ok=True)
    with gate.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield

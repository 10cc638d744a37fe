"""``dvc.lock`` survives a disk that fills while DVC writes it.

DVC writes the file in place; cut short, it no longer validates and every later command fails on it. A copy of the last good
one is kept, and put back when the file is spoiled: at worst, stages that had run are restored from the run cache.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml

from flows.workspace import Workspace
from talkhead_core.artifacts import write_text
from talkhead_core.errors import TalkheadError

__all__ = ["kept_dvc_lock"]


@contextmanager
def kept_dvc_lock(workspace: Workspace) -> Iterator[None]:
    """Restore ``dvc.lock`` from the kept copy if it is spoiled now, and keep a new copy when the block ends.

    Raises:
        TalkheadError: it is spoiled and there is no copy.
    """
    lock, copy = workspace.root / "dvc.lock", workspace.private / "dvc.lock.good"
    if lock.exists() and _content(lock) is None:
        good = _content(copy)
        if good is None:
            raise TalkheadError("dvc.lock is not valid and no copy was kept; remove it (results come back from DVC's run cache)")
        write_text(lock, good)
    try:
        yield
    finally:
        content = _content(lock)
        if content is not None and content != _content(copy):
            write_text(copy, content)


def _content(path: Path) -> str | None:
    try:
        text = path.read_text(encoding="utf-8")
        valid = isinstance(yaml.load(text, Loader=_LOADER), dict)
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return None
    return text if valid else None


_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times as fast, just as safe

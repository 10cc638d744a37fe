"""DVC's own files survive what can happen to it.

``dvc.lock`` (what has run) is written in place; cut short by a full disk, it no longer validates and every later command fails
on it. A copy of the last good one is kept, and put back when the file is spoiled: at worst, stages that had run are restored
from the run cache.

``.dvc/tmp/rwlock`` (who is at work on which file) keeps the entries of a killed DVC until its process number is free, which a
zombie is not: where nothing reaps orphans, as in many containers, the next run would be refused for ever.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import yaml
import zc.lockfile

from flows.workspace import Workspace
from talkhead_core.artifacts import write_text
from talkhead_core.errors import TalkheadError
from talkhead_core.safe_yaml import parse_yaml

__all__ = ["kept_dvc_lock", "release_dead_holders"]

_SECONDS_TO_WAIT = 10.0
_SCHEMA = "2.0"
_STAGE_KEYS = {"cmd", "deps", "outs", "params"}
_FILE_KEYS = {"path", "hash", "md5", "size", "nfiles", "isexec"}
_HASH = re.compile(r"[0-9a-f]{32}(\.dir)?")


@contextmanager
def kept_dvc_lock(workspace: Workspace) -> Iterator[None]:
    """Restore ``dvc.lock`` from the kept copy if it is spoiled now, or set it aside, and keep a new copy when the block ends."""
    lock, copy = workspace.root / "dvc.lock", workspace.private / "dvc.lock.good"
    if lock.exists() and _content(lock) is None:
        _restore(workspace, lock, copy)
    try:
        yield
    finally:
        content = _content(lock)
        if content is not None and content != _text(copy):
            with suppress(OSError):  # a full disk: the older copy stays
                write_text(copy, content)


def _restore(workspace: Workspace, lock: Path, copy: Path) -> None:
    guard = workspace.root / ".dvc" / "tmp" / "lock"
    guard.parent.mkdir(parents=True, exist_ok=True)
    with _guarded(guard):  # a DVC at work may be in the middle of writing it
        if _content(lock) is not None:
            return
        good = _content(copy)
        if good is not None:
            write_text(lock, good)
        else:  # stages that had run come back from the run cache
            copy.parent.mkdir(parents=True, exist_ok=True)
            lock.replace(copy.with_name("dvc.lock.spoiled"))


def release_dead_holders(workspace: Workspace) -> None:
    """Take the entries of DVC processes that no longer work out of ``.dvc/tmp/rwlock``, under DVC's own guard."""
    path = workspace.root / ".dvc" / "tmp" / "rwlock"
    if not path.is_file() or path.read_bytes() in (b'{"write": {}, "read": {}}', b'{"read": {}, "write": {}}'):
        return
    with _guarded(path.with_name("rwlock.lock")):
        try:
            entries: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            entries = {}
        written = {name: holder for name, holder in entries.get("write", {}).items() if _works(holder)}
        read = {name: [holder for holder in holders if _works(holder)] for name, holders in entries.get("read", {}).items()}
        write_text(path, json.dumps({"write": written, "read": {name: holders for name, holders in read.items() if holders}}))


def _works(holder: dict[str, Any]) -> bool:
    """Whether the process is there, is no zombie, and is a DVC: numbers are used again."""
    try:
        process = psutil.Process(int(holder["pid"]))
        words = process.cmdline()  # none while it is being started
        return process.status() != psutil.STATUS_ZOMBIE and (not words or any("dvc" in word for word in words))
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:
        return True


@contextmanager
def _guarded(path: Path) -> Iterator[None]:
    deadline = time.monotonic() + _SECONDS_TO_WAIT
    while True:
        try:
            guard = zc.lockfile.LockFile(str(path))
            break
        except zc.lockfile.LockError as error:
            if time.monotonic() > deadline:
                raise TalkheadError(f"{path} is held by another process for more than {_SECONDS_TO_WAIT:.0f} s; try again") from error
            time.sleep(0.05)
    try:
        yield
    finally:
        guard.close()


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None


def _content(path: Path) -> str | None:
    """The file's text when it is a lock as DVC writes it, else None."""
    text = _text(path)
    try:
        valid = text is not None and _is_lock(parse_yaml(text))
    except yaml.YAMLError:
        return None
    return text if valid else None


def _is_lock(content: Any) -> bool:
    """Whether DVC would take it: cut short between two words, a file is still YAML, and no lock."""
    known = isinstance(content, dict) and set(content) <= {"schema", "stages"} and content.get("schema") == _SCHEMA
    stages = content.get("stages", {}) if known else None
    return isinstance(stages, dict) and all(isinstance(entry, dict) and _is_stage(entry) for entry in stages.values())


def _is_stage(entry: dict[str, Any]) -> bool:
    listed = [entry[name] for name in ("deps", "outs") if name in entry]
    files = [file for group in listed if isinstance(group, list) for file in group]
    whole = all(isinstance(file, dict) and set(file) <= _FILE_KEYS and isinstance(file.get("path"), str) for file in files)
    hashed = whole and all(_HASH.fullmatch(str(file.get("md5", "0" * 32))) and isinstance(file.get("hash", ""), str) for file in files)
    sized = whole and all(isinstance(file.get(key, 0), int) for file in files for key in ("size", "nfiles"))
    lists = set(entry) <= _STAGE_KEYS and all(isinstance(group, list) for group in listed)
    return isinstance(entry.get("cmd"), str) and lists and hashed and sized and _has_params(entry)


def _has_params(entry: dict[str, Any]) -> bool:
    params = entry.get("params", {})
    return isinstance(params, dict) and all(isinstance(values, dict) for values in params.values())

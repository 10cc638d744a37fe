"""What DVC keeps of each speaker, in its cache and in its remotes: objects by hash, and the records of runs that name them.

A store is a folder, here or in a bucket, with objects in ``files/md5`` and one YAML file a run in ``runs``.
"""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from flows.workspace import Workspace
from talkhead_core.errors import TalkheadError, without_password
from talkhead_core.safe_yaml import parse_yaml

__all__ = ["References", "Store", "is_of_speaker", "lock_references", "open_stores"]

_STALE_S = 600.0
_DIGEST = re.compile(r"[0-9a-f]{32}(\.dir)?")


@dataclass(frozen=True, kw_only=True)
class References:
    """Hashes that records name: of the speaker's own files, and of everybody else's."""

    own: frozenset[str]
    others: frozenset[str]

    def __or__(self, more: References) -> References:
        return References(own=self.own | more.own, others=self.others | more.others)

    @property
    def only_own(self) -> frozenset[str]:
        """Hashes that nobody else refers to."""
        return self.own - self.others


class Store:
    """DVC's cache or one of its remotes.

    Args:
        name: for people.
        filesystem: DVC's, for this kind of place.
        path: of the store there.
    """

    def __init__(self, name: str, filesystem: Any, path: str) -> None:
        self.name, self._fs, self._path = name, filesystem, path

    def __repr__(self) -> str:
        return f"Store({self.name})"  # not its address, which may hold a secret

    def run_records(self, speaker: str) -> tuple[list[str], References]:
        """The files of the runs of ``speaker``, and the hashes that all runs name.

        Raises:
            TalkheadError: the store cannot be read.
        """
        own_files, own, others = [], set(), set()
        for file in self._find("runs"):
            record = self._record(file)
            if is_of_speaker(record, speaker):
                own_files.append(file)
            mine, theirs = _hashes(record, speaker)
            own |= mine
            others |= theirs
        return own_files, References(own=frozenset(own), others=frozenset(others))

    def held(self, digests: Iterable[str]) -> list[str]:
        """The files of those objects that are in this store."""
        return [file for digest in sorted(digests) if self._exists(file := self._object(digest))]

    def unfinished(self) -> list[str]:
        """What killed processes left half-written in a cache on this disk, and nobody writes to any more."""
        folder = Path(self._path) / "files"
        if not folder.is_dir():
            return []
        stale_before_s = time.time() - _STALE_S
        return [str(path) for path in sorted(folder.rglob("*.tmp")) if path.is_file() and path.stat().st_mtime < stale_before_s]

    def children(self, digests: Iterable[str]) -> set[str]:
        """The hashes that folder objects among ``digests`` list."""
        found: set[str] = set()
        for digest in digests:
            if digest.endswith(".dir") and self._exists(self._object(digest)):
                with self._fs.open(self._object(digest), "rb") as file:
                    found |= {entry["md5"] for entry in json.loads(file.read())}
        return found

    def remove(self, files: Iterable[str]) -> None:
        """Remove files, and folders of runs that are empty then.

        Raises:
            TalkheadError: the store refused.
        """
        try:
            for file in files:
                self._fs.remove(file)
                if Path(file).parent.is_dir() and not any(Path(file).parent.iterdir()):
                    Path(file).parent.rmdir()
        except Exception as error:
            raise TalkheadError(f"{self.name}: something could not be removed ({_short(error)}); run the same command again") from error

    def _object(self, digest: str) -> str:
        return str(self._fs.join(self._path, "files", "md5", digest[:2], digest[2:]))

    def _exists(self, file: str) -> bool:
        try:
            return bool(self._fs.exists(file))
        except Exception as error:  # every kind of remote has errors of its own
            raise self._unreadable(error) from error

    def _find(self, folder: str) -> list[str]:
        path = self._fs.join(self._path, folder)
        try:
            return [str(file) for file in self._fs.find(path)] if self._fs.exists(path) else []
        except Exception as error:
            raise self._unreadable(error) from error

    def _record(self, file: str) -> dict[str, Any]:
        try:
            with self._fs.open(file, "rb") as opened:
                content = parse_yaml(opened.read())
        except yaml.YAMLError:
            return {}
        except Exception as error:
            raise self._unreadable(error) from error
        return content if isinstance(content, dict) else {}

    def _unreadable(self, error: Exception) -> TalkheadError:
        return TalkheadError(f"{self.name} cannot be read ({_short(error)}); nothing was removed from it, make it reachable and try again")


def open_stores(workspace: Workspace) -> list[Store]:
    """DVC's cache, then every remote that is configured, whether it answers or not.

    Raises:
        TalkheadError: the workspace has no DVC.
    """
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    try:
        with Repo(str(workspace.root)) as repo:
            stores = [Store("DVC's cache", repo.cache.legacy.fs, repo.cache.legacy.path)]
            for name in repo.config.get("remote", {}):
                remote = repo.cloud.get_remote_odb(name, "forget", hash_name="md5-dos2unix")
                stores.append(Store(f"remote {name!r}", remote.fs, remote.path))
            return stores
    except DvcException as error:
        raise TalkheadError(f"DVC does not open this workspace ({_short(error)})") from error


def lock_references(workspace: Workspace, speaker: str) -> References:
    """Hashes in ``dvc.lock`` as it is, in the kept copy of it, and in every version of it that git knows."""
    own: set[str] = set()
    others: set[str] = set()
    for content in _lock_versions(workspace):
        try:
            stages = (parse_yaml(content) or {}).get("stages") or {}
        except (yaml.YAMLError, AttributeError):
            continue
        for entry in stages.values():
            mine, theirs = _hashes(entry, speaker)
            own |= mine
            others |= theirs
    return References(own=frozenset(own), others=frozenset(others))


def is_of_speaker(record: dict[str, Any], speaker: str) -> bool:
    """Whether a run was one of this speaker's."""
    return any(str(output.get("path", "")).startswith(f"data/{speaker}/") for output in record.get("outs") or [])


def _lock_versions(workspace: Workspace) -> Iterator[str]:
    for path in (workspace.root / "dvc.lock", workspace.private / "dvc.lock.good"):
        if path.is_file():
            yield path.read_text(encoding="utf-8", errors="replace")
    listed = _git(workspace, "log", "--all", "--format=%H", "--", "dvc.lock")
    for revision in listed.split():
        yield _git(workspace, "show", f"{revision}:dvc.lock")


def _git(workspace: Workspace, *arguments: str) -> str:
    result = subprocess.run(["git", *arguments], cwd=workspace.root, capture_output=True, text=True, check=False)  # noqa: S603, S607
    return result.stdout if result.returncode == 0 else ""


def _hashes(record: dict[str, Any], speaker: str) -> tuple[set[str], set[str]]:
    """Hashes that a record names: of this speaker's files, and of all else."""
    own: set[str] = set()
    others: set[str] = set()
    for entry in [*(record.get("outs") or []), *(record.get("deps") or [])]:
        if _DIGEST.fullmatch(digest := str(entry.get("md5", ""))):
            (own if str(entry.get("path", "")).startswith(f"data/{speaker}/") else others).add(digest)
    return own, others


def _short(error: Exception) -> str:
    """What went wrong, on one line, without a password that an address may hold."""
    return without_password(" ".join(str(error).split())) or type(error).__name__

"""What one machine has made, another need not: results go to DVC's remote while the next stage runs.

Results lie where DVC itself looks for them (``files/md5`` and ``runs`` of its remote), so that ``dvc fetch --run-cache`` and
``dvc pull`` work by hand. DVC's own ``push --run-cache`` asks the store about every run there ever was, and holds the workspace's
lock meanwhile; here a list of each speaker's entries stands beside them, and only what is new is sent.
"""

from __future__ import annotations

import queue
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from flows.object_transfer import download, upload
from flows.store_settings import SharedStore, shared_store
from flows.workspace import Workspace
from talkhead_core.errors import TalkheadError
from talkhead_core.safe_yaml import parse_yaml

__all__ = ["SharedCache"]

_PARALLEL = 8


class SharedCache:
    """The results of one speaker, shared with other machines; does nothing where no store is set.

    Args:
        workspace: whose results.
        speaker: of which speaker.
    """

    def __init__(self, workspace: Workspace, speaker: str) -> None:
        self._workspace = workspace
        self._speaker = speaker
        self._shared: SharedStore | None = shared_store(workspace)
        self._known: set[tuple[str, str]] = set()
        self._waiting: queue.Queue[str | None] = queue.Queue()
        self._failure: Exception | None = None
        self._thread: threading.Thread | None = None

    @property
    def available(self) -> bool:
        """Whether a store is set."""
        return self._shared is not None

    def fetch(self) -> None:
        """Learn which runs of this speaker other machines have made; their results come when a stage wants them.

        Raises:
            TalkheadError: the store does not answer.
        """
        if self._shared is None:
            return
        shared = self._shared
        entries = [info.uri.key.split("/")[-2:] for info in shared.store.list(shared.runs / self._speaker)]
        self._known = {(key, value) for key, value in entries}
        missing = [(key, value) for key, value in sorted(self._known) if not self._run_file(key, value).is_file()]
        with ThreadPoolExecutor(_PARALLEL) as pool:
            list(pool.map(lambda one: download(shared.store, _run_uri(shared, *one), self._run_file(*one)), missing))

    def push_later(self, target: str) -> None:
        """Send what ``target`` (``stage@speaker``) wrote, behind the back of the next stage."""
        if self._shared is None:
            return
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name=f"push {self._speaker}", daemon=True)
            self._thread.start()
        self._waiting.put(target)

    def finish(self) -> None:
        """Send whatever of this speaker the store does not have yet, and wait until all is there.

        Raises:
            TalkheadError: something could not be sent; what was made is still in this workspace.
        """
        if self._shared is None:
            return
        for target in self._entries():
            self.push_later(target)
        self._waiting.put(None)
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure

    def _work(self) -> None:
        while (target := self._waiting.get()) is not None:
            try:
                self._push(target)
            except Exception as error:  # noqa: BLE001 - told by finish, in the thread that waits
                self._failure = error

    def _push(self, target: str) -> None:
        assert self._shared is not None
        entry = self._entries().get(target)
        if entry is None:
            return
        key, value = _run_names(entry)
        if (key, value) in self._known:
            return
        run_file = self._run_file(key, value)
        if not run_file.is_file():
            raise TalkheadError(f"{target}: DVC kept no record of this run; run 'dvc push --run-cache' by hand")
        store = self._shared.store
        hashes = {out["md5"] for out in entry["outs"]}
        objects = [(self._cache_file(md5), self._shared.dvc / _object_name(md5)) for md5 in sorted(hashes)]
        with ThreadPoolExecutor(_PARALLEL) as pool:
            list(pool.map(lambda pair: upload(store, *pair), objects))
        # the record last, so that nobody finds a run whose results are still on their way
        upload(store, run_file, _run_uri(self._shared, key, value))
        store.write(self._shared.runs / self._speaker / key / value, b"{}")
        self._known.add((key, value))

    def _entries(self) -> dict[str, Any]:
        """This speaker's stages as ``dvc.lock`` has them."""
        lock = self._workspace.root / "dvc.lock"
        stages = (parse_yaml(lock.read_text(encoding="utf-8")) or {}).get("stages") or {} if lock.is_file() else {}
        return {name: entry for name, entry in stages.items() if name.endswith(f"@{self._speaker}")}

    def _run_file(self, key: str, value: str) -> Path:
        return self._workspace.root / ".dvc" / "cache" / "runs" / key[:2] / key / value

    def _cache_file(self, md5: str) -> Path:
        return self._workspace.root / ".dvc" / "cache" / _object_name(md5)


def _object_name(md5: str) -> str:
    return f"files/md5/{md5[:2]}/{md5[2:]}"


def _run_uri(shared: SharedStore, key: str, value: str) -> Any:
    return shared.dvc / "runs" / key[:2] / key / value


def _run_names(entry: dict[str, Any]) -> tuple[str, str]:
    """The names under which DVC keeps a run: a hash of what went in, and one of what went in and came out."""
    from dvc.utils import dict_sha256

    sizes = ["size", "nfiles"]
    inputs = {**entry, "outs": [out["path"] for out in entry.get("outs", [])]}
    return dict_sha256(inputs, exclude=sizes), dict_sha256(entry, exclude=sizes)

"""Where things are: the folder with ``dvc.yaml``, and what lies in it."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from talkhead_core.errors import InputError, TalkheadError

__all__ = ["Workspace"]

_ROOT_VARIABLE = "TALKHEAD_ROOT"


@dataclass(frozen=True)
class Workspace:
    """One clone of talkhead with its speakers.

    Args:
        root: the folder that holds ``dvc.yaml``, ``params.yaml``, ``speakers.yaml``, ``data/`` and ``out/``.
    """

    root: Path

    @classmethod
    def here(cls) -> Workspace:
        """``TALKHEAD_ROOT``, else the nearest folder upward with a ``dvc.yaml`` of talkhead's, else the clone that is installed.

        Raises:
            InputError: none of them is a workspace.
        """
        named = os.environ.get(_ROOT_VARIABLE)
        if named:
            candidates = [Path(named)]
        else:
            current = Path.cwd()
            candidates = [current, *current.parents, Path(__file__).resolve().parents[1]]
        for folder in candidates:
            if (folder / "dvc.yaml").is_file() and (folder / "speakers.yaml").is_file() and (folder / "tasks").is_dir():
                return cls(folder.resolve())
        raise InputError(f"no talkhead workspace in {candidates[0]}; change into a clone of talkhead or set {_ROOT_VARIABLE}")

    @property
    def params(self) -> Path:
        """The parameters of every stage."""
        return self.root / "params.yaml"

    @property
    def speakers(self) -> Path:
        """The register of speakers."""
        return self.root / "speakers.yaml"

    @property
    def weights(self) -> Path:
        """The official weight files that were fetched; not in git."""
        return self.root / "weights"

    @property
    def private(self) -> Path:
        """Logs, locks and records that are nobody's result; not in git, not in DVC."""
        return self.root / ".talkhead"

    def stage_folder(self, speaker: str, stage: str) -> Path:
        """Where a stage writes; ``raw`` holds what the speaker was registered with."""
        return self.root / "data" / speaker / stage

    def log_folder(self, speaker: str) -> Path:
        """One log per stage, of its last run."""
        return self.private / "logs" / speaker

    @contextmanager
    def locked(self, name: str, *, refuse: str | None = None) -> Iterator[None]:
        """Hold the lock called ``name`` (across processes; it falls with its holder).

        Args:
            name: what is locked, such as ``"speakers"``.
            refuse: the error to raise at once when another process holds it; None: wait.
        """
        path = self.private / "locks" / f"{name}.lock"
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | (fcntl.LOCK_NB if refuse else 0))
            except BlockingIOError as error:
                raise TalkheadError(refuse or "") from error
            yield

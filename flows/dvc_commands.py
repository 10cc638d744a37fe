"""DVC's commands as this workspace runs them, one at a time, in a DVC that stays loaded between them."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from types import TracebackType

from flows.child_process import started
from flows.dvc_process import ENDED
from flows.workspace import Workspace

__all__ = ["Dvc", "DvcCommand"]


class DvcCommand:
    """One command at work: iterate over what it says, then read ``code``.

    Args:
        process: the DVC that runs it.
    """

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.code: int | None = None

    def __iter__(self) -> Iterator[str]:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith(ENDED):
                self.code = int(line.removeprefix(ENDED))
                return
            yield line.rstrip("\n")
        self.code = self.process.wait() or 1  # it was killed before it could tell


class Dvc:
    """DVC for one workspace, as a context; it loads while its caller goes on, and anew after a command that was cut short.

    Args:
        workspace: where.
    """

    def __init__(self, workspace: Workspace) -> None:
        self._root = workspace.root
        self._held = ExitStack()
        self._process: subprocess.Popen[str] | None = None
        self._one_at_a_time = threading.Lock()

    def __enter__(self) -> Dvc:
        self._ready()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stop()

    @contextmanager
    def command(self, arguments: Sequence[str]) -> Iterator[DvcCommand]:
        """``dvc`` with these arguments; when the block ends too soon, it is ended with all that it has started."""
        with self._one_at_a_time:
            process = self._ready()
            command = DvcCommand(process)
            try:
                assert process.stdin is not None
                process.stdin.write(json.dumps(list(arguments)) + "\n")
                process.stdin.flush()
                yield command
            finally:
                if command.code is None or process.poll() is not None:
                    self._stop()

    def _ready(self) -> subprocess.Popen[str]:
        if self._process is None or self._process.poll() is not None:
            self._stop()
            self._process = self._held.enter_context(
                started([sys.executable, "-m", "flows.dvc_process"], self._root, stdin=subprocess.PIPE)
            )
        return self._process

    def _stop(self) -> None:
        self._process = None
        self._held.close()

"""DVC's command line with its libraries loaded once: ``python -m flows.dvc_process``, one command a line on stdin, each in a fork.

A fresh ``dvc`` spends more than half of its time on loading itself, before each stage. A fork has all of it already, and leaves
nothing behind for the next. stdout holds what the commands say; after each stands a line of ``ENDED`` and its exit code.

``dvc repro --pull`` first copies the records of every run of every speaker there ever was from the remote, for each stage again.
Here it takes the run cache as it lies: those of the speaker at hand have been fetched (``flows.shared_cache``); results are still
pulled by DVC, as a stage wants them.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from contextlib import suppress
from typing import Any

from flows.child_process import end_with_parent

__all__ = ["ENDED", "main"]

ENDED = "DVC ENDED "


def main() -> None:
    """Serve until stdin ends."""
    from dvc.cli import main as dvc
    from dvc.cli.parser import get_main_parser
    from dvc.commands import repro  # noqa: F401 - loaded for the forks, as is what follows
    from dvc.repo import Repo  # noqa: F401
    from dvc.stage.cache import StageCache

    def nothing_to_copy(self: StageCache, remote: str | None, odb: Any = None) -> list[tuple[str, str]]:
        return []

    StageCache.pull = nothing_to_copy
    get_main_parser()
    for line in sys.stdin:
        code = _in_a_fork(dvc, list(json.loads(line)))
        sys.stdout.write(f"{ENDED}{code}\n")
        sys.stdout.flush()


def _in_a_fork(dvc: Any, arguments: list[str]) -> int:
    die_with_parent = end_with_parent()
    pid = os.fork()
    if pid:
        interrupted = False
        while True:
            try:
                _, status = os.waitpid(pid, 0)
                break
            except KeyboardInterrupt:  # sent to the whole group: DVC and the stage end first
                interrupted = True
        if interrupted:
            raise SystemExit(128 + signal.SIGINT)
        return os.waitstatus_to_exitcode(status)
    code = 1
    try:
        if die_with_parent is not None:
            die_with_parent()
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        code = int(dvc(arguments))
    except SystemExit as request:
        code = request.code if isinstance(request.code, int) else 1
    finally:
        with suppress(OSError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):  # ended while it waited
        main()

"""A process that dubs one speech after another: model, track and libraries are loaded once, not once a dub."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from flows.child_process import started
from flows.stage_runs import Outcome, StageEvent, StageFailedError, deadline, task_failure, told_by

__all__ = ["DubProcess", "DubSource"]

_SECONDS_TO_END = 10.0


@dataclass(frozen=True, kw_only=True)
class DubSource:
    """What dubs are made from, beside the speech; another one needs another process.

    Args:
        root: the workspace, or that of a version.
        speaker: who speaks.
        options: of ``tasks.dub_requests``.
        signature: of model, parameters and code.
    """

    root: Path
    speaker: str
    options: tuple[str, ...]
    signature: str


class DubProcess:
    """``tasks.dub_requests`` at work; ended when the block ends.

    It starts with the first dub, and anew with the next one after it has died or was ended, and for another source.
    """

    def __init__(self) -> None:
        self._at_work = ExitStack()
        self._process: subprocess.Popen[str] | None = None
        self._source: DubSource | None = None

    def __enter__(self) -> DubProcess:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._end(at_once=kind is not None)

    def dub(self, source: DubSource, audio: Path, out: Path, show: Callable[[StageEvent], None], *, timeout_s: float | None = None) -> None:
        """Make the dub ``out`` from ``audio``, and the page beside it; a page that cannot be written is said and leaves the dub alone.

        Args:
            source: what to make it from.
            audio: the speech.
            out: the video to write.
            show: called with every event.
            timeout_s: the longest that the dub, and that its page, may take; None: for ever.

        Raises:
            StageFailedError: the dub failed; the message is the task's own.
        """
        process = self._working(source)
        assert process.stdin is not None
        with suppress(BrokenPipeError):  # it has just died: reading will tell
            process.stdin.write(json.dumps({"audio": str(audio.resolve()), "out": str(out.resolve())}) + "\n")
            process.stdin.flush()
        self._follow(process, "dub", show, timeout_s)
        try:
            self._follow(process, "report_dub", show, timeout_s)
        except StageFailedError as error:
            show(StageEvent(stage="report_dub", line=str(error)))

    def _follow(self, process: subprocess.Popen[str], task: str, show: Callable[[StageEvent], None], timeout_s: float | None) -> None:
        show(StageEvent(stage=task))
        lines: list[str] = []
        assert process.stdout is not None
        with deadline(process, timeout_s) as late:
            for line in process.stdout:
                said = line.rstrip("\n")
                if said == f"ENDED {task}":
                    show(StageEvent(stage=task, outcome=Outcome.RAN))
                    return
                if said == f"FAILED {task}":
                    raise task_failure(task, lines, None)
                event = told_by(task, said)
                show(event)
                if event.line is not None:
                    lines.append(event.line)
            code = process.wait()
        raise task_failure(task, lines, code, timeout_s if late.is_set() else None)

    def _working(self, source: DubSource) -> subprocess.Popen[str]:
        if self._process is None or self._process.poll() is not None or self._source != source:
            self._end()
            command = [sys.executable, "-m", "tasks.dub_requests", "--speaker", source.speaker, *source.options]
            self._process = self._at_work.enter_context(started(command, source.root, stdin=subprocess.PIPE))
            self._source = source
        return self._process

    def _end(self, *, at_once: bool = False) -> None:
        process, self._process = self._process, None
        if process is not None and process.stdin is not None:
            with suppress(OSError):
                process.stdin.close()
            if not at_once:
                with suppress(subprocess.TimeoutExpired):
                    process.wait(_SECONDS_TO_END)
        self._at_work.close()

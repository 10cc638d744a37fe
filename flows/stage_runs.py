"""Running stages through DVC, and what happens told as events."""

from __future__ import annotations

import re
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, TextIO

from flows.child_process import end_group, started
from flows.dvc_commands import Dvc
from flows.dvc_locks import kept_dvc_lock, release_dead_holders
from flows.free_space import check_free_space
from flows.stage_graph import last_stages, read_stage_graph
from flows.workspace import Workspace
from talkhead_core.errors import TalkheadError

__all__ = ["Outcome", "StageEvent", "StageFailedError", "deadline", "reproduce", "run_task", "task_failure", "told_by"]

_RUNNING = re.compile(r"Running stage '(?P<stage>[\w-]+)@(?P<speaker>[\w-]+)':$")
_UNCHANGED = re.compile(r"Stage '(?P<stage>[\w-]+)@(?P<speaker>[\w-]+)' didn't change, skipping$")
_RESTORED = re.compile(r"Stage '(?P<stage>[\w-]+)@(?P<speaker>[\w-]+)' is cached - skipping run")
_PROGRESS = re.compile(r"PROGRESS (?P<done>\d+)/(?P<total>\d+) (?P<left>\d+)s ?(?P<note>.*)$")
_EXCEPTION = re.compile(r"[A-Za-z_][\w.]*(Error|Exception|Interrupt|Warning|Exit)\b")
_CHATTER = re.compile(
    r"(Updating|Generating) lock file|To track the changes with git|To enable auto staging|Use `dvc push`|\s+git add |\s+dvc config |> |$"
)


class Outcome(StrEnum):
    """What became of a stage."""

    RAN = "Ran"
    RESTORED = "Restored"
    UNCHANGED = "Unchanged"


class StageFailedError(TalkheadError):
    """A stage of the graph failed; the message is the stage's own.

    Args:
        message: one line for a person.
        worth_retrying: it stopped unexpectedly, and did not itself say what is wrong, which would be wrong again.
    """

    def __init__(self, message: str, *, worth_retrying: bool = False) -> None:
        super().__init__(message)
        self.worth_retrying = worth_retrying


@dataclass(frozen=True, kw_only=True)
class StageEvent:
    """Something that happened to a stage: it started, came along, said something, or ended.

    Args:
        stage: the stage's name.
        outcome: set when the stage ended.
        done: units done, with ``total``; None when this is not about progress.
        total: units in all.
        seconds_left: as the stage estimates.
        note: what the stage says beside its progress.
        line: any other line of its output.
    """

    stage: str
    outcome: Outcome | None = None
    done: int | None = None
    total: int | None = None
    seconds_left: int | None = None
    note: str = ""
    line: str | None = None


def reproduce(
    workspace: Workspace,
    speaker: str,
    stages: Sequence[str],
    *,
    alone: bool = False,
    pull: bool = False,
    timeout_s: float | None = None,
    dvc: Dvc | None = None,
) -> Iterator[StageEvent]:
    """Bring ``stages`` of ``speaker`` up to date, with all that they depend on.

    Args:
        workspace: where.
        speaker: a registered speaker.
        stages: the stages wanted.
        alone: run only these, for a caller that orders the stages itself.
        pull: take what another machine has made from the DVC remote instead of running it again, as far as its runs are known
            here (``SharedCache.fetch``).
        timeout_s: end it all after so long; None: never.
        dvc: one that is loaded already; None: one of its own.

    Raises:
        StageFailedError: a stage failed; what it wrote before is kept, and its log is named.
        TalkheadError: the disk is too full to start.
    """
    release_dead_holders(workspace)
    options = [*(["--single-item"] if alone else []), *(["--pull"] if pull else [])]
    targets = stages if alone else last_stages(read_stage_graph(workspace.root), stages)
    arguments = ["--wait-for-lock", "repro", *options, *(f"{stage}@{speaker}" for stage in targets)]
    with ExitStack() as stack:
        stack.enter_context(kept_dvc_lock(workspace))
        check_free_space(workspace, speaker, stages)
        command = stack.enter_context((dvc or stack.enter_context(Dvc(workspace))).command(arguments))
        transcript = stack.enter_context(_Transcript(workspace, speaker))
        with deadline(command.process, timeout_s) as late:
            for line in command:
                yield from transcript.read(line)
        if late.is_set():
            raise StageFailedError(f"{'/'.join(stages)}: stopped after {timeout_s:.0f} s, the most that it may take", worth_retrying=True)
        if command.code:
            raise StageFailedError(transcript.failure(command.code), worth_retrying=transcript.stopped_unexpectedly)
        yield from transcript.end()


@contextmanager
def deadline(process: Any, seconds: float | None) -> Iterator[threading.Event]:
    """End the process group when the block takes longer; the event says whether that came to pass."""
    late = threading.Event()
    if seconds is None:
        yield late
        return

    def end() -> None:
        late.set()
        end_group(process)

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
    try:
        yield late
    finally:
        timer.cancel()


def told_by(stage: str, line: str) -> StageEvent:
    """What one line of a stage's output says: progress, or anything else."""
    if found := _PROGRESS.match(line):
        return StageEvent(
            stage=stage, done=int(found["done"]), total=int(found["total"]), seconds_left=int(found["left"]), note=found["note"]
        )
    return StageEvent(stage=stage, line=line)


def run_task(
    workspace: Workspace,
    task: str,
    arguments: Sequence[str | Path],
    show: Callable[[StageEvent], None],
    *,
    timeout_s: float | None = None,
) -> list[str]:
    """Run ``python -m tasks.<task> arguments``, a task that is not a stage of the graph, in a process of its own.

    Args:
        workspace: where.
        task: the module's name.
        arguments: its arguments.
        show: called with every event.
        timeout_s: end it after so long; None: never.

    Returns:
        What it printed beside its progress.

    Raises:
        StageFailedError: it failed; the message is the task's own.
    """
    show(StageEvent(stage=task))
    lines: list[str] = []
    with started([sys.executable, "-m", f"tasks.{task}", *arguments], workspace.root) as process, deadline(process, timeout_s) as late:
        assert process.stdout is not None
        for line in process.stdout:
            event = told_by(task, line.rstrip("\n"))
            show(event)
            if event.line is not None:
                lines.append(event.line)
        code = process.wait()
    if late.is_set() or code != 0:
        raise task_failure(task, lines, code, timeout_s if late.is_set() else None)
    show(StageEvent(stage=task, outcome=Outcome.RAN))
    return lines


def task_failure(task: str, lines: list[str], code: int | None, stopped_after_s: float | None = None) -> StageFailedError:
    """Why a task failed, by what it printed.

    Args:
        task: the module's name.
        lines: what it printed beside its progress.
        code: its exit code; None when it still works.
        stopped_after_s: after how long it was ended, if it was.
    """
    if stopped_after_s is not None:
        return StageFailedError(f"{task}: stopped after {stopped_after_s:.0f} s, the most that it may take", worth_retrying=True)
    own = _own_error(task, lines)
    unexpected = f"{task}: stopped unexpectedly ({_exception(lines) or f'exit code {code}'})"
    return StageFailedError(own or unexpected, worth_retrying=own is None)


def _own_error(stage: str, lines: list[str]) -> str | None:
    return next((line for line in reversed(lines) if line.startswith(f"{stage}: ")), None)


def _exception(lines: list[str]) -> str | None:
    return next((line.strip() for line in reversed(lines) if _EXCEPTION.match(line)), None)


class _Transcript:
    """Turns DVC's output and that of the stages in it into events, and keeps a log per stage."""

    def __init__(self, workspace: Workspace, speaker: str) -> None:
        self._folder = workspace.log_folder(speaker)
        self._root = workspace.root
        self._stage: str | None = None
        self._log: TextIO | None = None
        self._last_lines: list[str] = []
        self._dvc_errors: list[str] = []

    def __enter__(self) -> _Transcript:
        self._folder.mkdir(parents=True, exist_ok=True)
        return self

    def __exit__(self, *exception: object) -> None:
        self._close()

    def read(self, line: str) -> Iterator[StageEvent]:
        for pattern, outcome in ((_UNCHANGED, Outcome.UNCHANGED), (_RESTORED, Outcome.RESTORED)):
            if found := pattern.match(line):
                yield from self.end()
                yield StageEvent(stage=found["stage"], outcome=outcome)
                return
        if found := _RUNNING.match(line):
            yield from self.end()
            self._open(found["stage"])
            yield StageEvent(stage=found["stage"])
        elif line.startswith("ERROR: "):
            self._dvc_errors.append(line.removeprefix("ERROR: "))
        elif self._stage is None or _CHATTER.match(line):
            return
        else:
            yield self._said(self._stage, line)

    def _said(self, stage: str, line: str) -> StageEvent:
        event = told_by(stage, line)
        if event.line is not None and self._log is not None:
            with suppress(OSError):  # a full disk: the stage itself will say so, and the lines are shown anyway
                self._log.write(line + "\n")
                self._log.flush()
            self._last_lines = [*self._last_lines[-40:], line]
        return event

    def end(self) -> Iterator[StageEvent]:
        """The stage at work, if any, has ended well."""
        if self._stage is not None:
            yield StageEvent(stage=self._stage, outcome=Outcome.RAN)
        self._close()

    @property
    def stopped_unexpectedly(self) -> bool:
        """Whether the stage at work did not itself say what is wrong."""
        return self._stage is None or _own_error(self._stage, self._last_lines) is None

    def failure(self, code: int) -> str:
        """One line: what the stage said last, or else what DVC said."""
        if self._stage is None:
            return self._dvc_errors[-1] if self._dvc_errors else f"dvc stopped with exit code {code} and said nothing"
        own = _own_error(self._stage, self._last_lines)
        if own:
            return own
        log = (self._folder / f"{self._stage}.log").relative_to(self._root)
        cause = _exception(self._last_lines) or (self._dvc_errors[-1] if self._dvc_errors else f"exit code {code}")
        return f"{self._stage}: stopped unexpectedly ({cause}); its output is in {log}"

    def _open(self, stage: str) -> None:
        self._stage, self._last_lines = stage, []
        self._log = (self._folder / f"{stage}.log").open("w", encoding="utf-8")

    def _close(self) -> None:
        if self._log is not None:
            with suppress(OSError):
                self._log.close()
        self._stage, self._log = None, None

"""What a person sees while stages run: a bar with the time left, or plain lines where there is no terminal."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from types import TracebackType

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from flows.stage_runs import Outcome, StageEvent

__all__ = ["StageDisplay"]

_VERB = {Outcome.RAN: "done", Outcome.RESTORED: "restored", Outcome.UNCHANGED: "up to date"}


class StageDisplay:
    """Shows stage events on stderr, which leaves stdout to results.

    Args:
        stages: the names of all stages to come, for the count.
        quiet: show nothing.
        lines: without a terminal, show a line for each beginning and end.
    """

    def __init__(self, stages: Iterable[str], *, quiet: bool = False, lines: bool = True) -> None:
        self._names = list(stages)
        self._console = Console(stderr=True, highlight=False, soft_wrap=True)
        self._console.quiet = quiet or not (lines or self._console.is_terminal)
        self._progress = Progress(
            TextColumn("{task.fields[place]:>7} {task.description:<16}"),
            BarColumn(bar_width=30),
            TextColumn("{task.percentage:>3.0f} %"),
            TimeElapsedColumn(),
            TextColumn("{task.fields[left]}"),
            TextColumn("[dim]{task.fields[note]}"),
            console=self._console,
            transient=True,
            disable=quiet or not self._console.is_terminal,
        )
        self._bar: TaskID | None = None
        self._started_s: dict[str, float] = {}

    def __enter__(self) -> StageDisplay:
        self._progress.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._remove_bar()
        self._progress.stop()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """The terminal is free for a question while the block runs."""
        self._remove_bar()
        self._progress.stop()
        yield
        self._progress.start()

    def show(self, event: StageEvent) -> None:
        """Take one event."""
        if event.outcome is not None:
            self._ended(event.stage, event.outcome)
        elif event.done is not None and event.total is not None:
            self._came_along(event)
        elif event.line is None:
            self._began(event.stage)

    def _place(self, stage: str) -> str:
        return f"{self._names.index(stage) + 1}/{len(self._names)}" if stage in self._names else ""

    def _began(self, stage: str) -> None:
        self._started_s[stage] = time.monotonic()
        self._remove_bar()
        self._bar = self._progress.add_task(stage, total=None, place=self._place(stage), left="", note="")
        if not self._console.is_terminal:
            self._console.print(f"{self._place(stage):>7} {stage:<16} ...")

    def _came_along(self, event: StageEvent) -> None:
        if self._bar is None:
            self._began(event.stage)
        assert self._bar is not None
        left = "" if event.seconds_left is None else f"{event.seconds_left // 60}:{event.seconds_left % 60:02d} left"
        self._progress.update(self._bar, completed=event.done, total=event.total, left=left, note=escape(event.note))

    def _ended(self, stage: str, outcome: Outcome) -> None:
        self._remove_bar()
        took = f" in {time.monotonic() - self._started_s[stage]:.1f} s" if stage in self._started_s else ""
        self._console.print(f"{self._place(stage):>7} {stage:<16} {_VERB[outcome]}{took}")

    def _remove_bar(self) -> None:
        if self._bar is not None:
            self._progress.remove_task(self._bar)
            self._bar = None

"""What a stage says, taken to Prefect: its progress to an artifact, its lines to the run's log."""

from __future__ import annotations

import re
import time
from contextlib import suppress
from typing import Any

import httpx
from prefect import get_run_logger
from prefect.artifacts import create_progress_artifact, update_progress_artifact

from flows.stage_runs import Outcome, StageEvent

__all__ = ["StageListener", "artifact_key"]

_SECONDS_BETWEEN_UPDATES = 2.0


def artifact_key(*parts: str) -> str:
    """A name that Prefect takes for an artifact: lower-case letters, digits and dashes."""
    return re.sub(r"[^a-z0-9]+", "-", "-".join(parts).lower()).strip("-")


class StageListener:
    """Takes the events of one stage (or dub) inside a Prefect task; ``outcome`` is what became of it.

    Args:
        stage: the stage's name.
        speaker: the speaker's name.
    """

    def __init__(self, stage: str, speaker: str) -> None:
        self.outcome = Outcome.UNCHANGED
        self._title = f"{stage} of {speaker}"
        self._key = artifact_key("progress", speaker, stage)
        self._logger: Any = get_run_logger()
        self._artifact: Any = None
        self._updated_s = 0.0

    def __enter__(self) -> StageListener:
        return self

    def __exit__(self, kind: type[BaseException] | None, *exception: object) -> None:
        if kind is None and self._artifact is not None:
            with suppress(httpx.HTTPError):
                update_progress_artifact(self._artifact, 100.0, description=f"{self._title}: {self.outcome}")

    def __call__(self, event: StageEvent) -> None:
        """Take one event."""
        if event.outcome is not None:
            self.outcome = event.outcome
        elif event.done is not None and event.total:
            self._show(100.0 * event.done / event.total, event)
        elif event.line:
            self._logger.info(event.line)

    def _show(self, percent: float, event: StageEvent) -> None:
        now = time.monotonic()
        if now - self._updated_s < _SECONDS_BETWEEN_UPDATES:
            return
        self._updated_s = now
        minutes, seconds = divmod(event.seconds_left or 0, 60)
        description = f"{self._title}: {minutes}:{seconds:02d} left {event.note}".rstrip()
        with suppress(httpx.HTTPError):  # a server that is away must not end the training that it cannot be told of
            if self._artifact is None:
                self._artifact = create_progress_artifact(min(percent, 100.0), key=self._key, description=description)
            else:
                update_progress_artifact(self._artifact, min(percent, 100.0), description=description)

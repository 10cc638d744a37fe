"""Which stage works on which speaker on which machine, seen from outside by looking at the host's processes."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import psutil

__all__ = ["StageRun", "StageWatch"]

_SECONDS_BETWEEN_LOOKS = 0.1


@dataclass
class StageRun:
    """One process of a stage (or dub): ``ended_s`` is when it was last seen."""

    machine: str
    stage: str
    speaker: str
    started_s: float
    ended_s: float

    @property
    def seconds(self) -> float:
        """How long it ran."""
        return self.ended_s - self.started_s


@dataclass
class StageWatch:
    """Looks ten times a second, as a context.

    Args:
        roots: the machines' workspaces, by machine.
    """

    roots: dict[str, Path]
    runs: dict[tuple[int, float], StageRun] = field(default_factory=dict)
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def __enter__(self) -> StageWatch:
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def of(self, stage: str) -> list[StageRun]:
        """Every process of ``stage`` that was seen."""
        return [run for run in list(self.runs.values()) if run.stage == stage]

    def working(self, stage: str) -> list[StageRun]:
        """The processes of ``stage`` that work now."""
        return [run for run in self.of(stage) if time.time() - run.ended_s < 5 * _SECONDS_BETWEEN_LOOKS]

    def overlaps(self) -> list[tuple[StageRun, StageRun]]:
        """Pairs of stages of one speaker that worked at once; dubs may."""
        runs = sorted((run for run in self.runs.values() if "dub" not in run.stage), key=lambda run: run.started_s)
        return [
            (one, other)
            for i, one in enumerate(runs)
            for other in runs[i + 1 :]
            if one.speaker == other.speaker and other.started_s < one.ended_s - 2 * _SECONDS_BETWEEN_LOOKS
        ]

    def _look(self) -> None:
        machines = {str(root): name for name, root in self.roots.items()}
        while not self._stop.wait(_SECONDS_BETWEEN_LOOKS):
            for process in psutil.process_iter(["pid", "create_time", "cmdline", "status"]):
                words = process.info["cmdline"] or []
                module = next((word for word in words if word.startswith("tasks.")), None)
                if module is None or "-m" not in words or "--speaker" not in words or process.info["status"] == psutil.STATUS_ZOMBIE:
                    continue
                try:
                    machine = machines.get(process.cwd().split("/data/")[0])
                except (psutil.Error, OSError):
                    continue
                if machine is None:
                    continue
                key = (process.info["pid"], process.info["create_time"])
                run = self.runs.setdefault(
                    key,
                    StageRun(machine, module.removeprefix("tasks."), words[words.index("--speaker") + 1], process.info["create_time"], 0.0),
                )
                run.ended_s = time.time()

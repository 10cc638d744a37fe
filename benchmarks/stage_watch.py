"""Which stage works on which speaker on which machine, seen from outside by looking at the host's processes."""

from __future__ import annotations

import os
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import psutil

__all__ = ["StageRun", "StageWatch"]

_SECONDS_BETWEEN_LOOKS = 0.1
_SECONDS_TO_BECOME_A_STAGE = 10.0  # a process becomes another program after it has begun
_ORCHESTRATION = ("prefect.engine", "flows.dvc_process", "dvc")


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
        runs: every process of a stage that was seen, by process number and start.
        load: the host's load average over a minute, again and again.
    """

    roots: dict[str, Path]
    runs: dict[tuple[int, float], StageRun] = field(default_factory=dict)
    load: list[float] = field(default_factory=list)
    _look_s: float = 0.0
    _around: dict[tuple[int, float], float] = field(default_factory=dict)
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
        return [run for run in self.working_now() if run.stage == stage]

    def working_now(self) -> list[StageRun]:
        """The processes of any stage that work now; on a busy host a look takes long."""
        return [run for run in list(self.runs.values()) if time.time() - run.ended_s < max(0.5, 3 * self._look_s)]

    def overlaps(self) -> list[tuple[StageRun, StageRun]]:
        """Pairs of stages of one speaker that worked at once; dubs may."""
        runs = sorted((run for run in self.runs.values() if "dub" not in run.stage), key=lambda run: run.started_s)
        return [
            (one, other)
            for i, one in enumerate(runs)
            for other in runs[i + 1 :]
            if one.speaker == other.speaker and other.started_s < one.ended_s - 2 * _SECONDS_BETWEEN_LOOKS
        ]

    def orchestration_cpu_s(self) -> float:
        """Processor time of all that was no stage: the flows' processes and DVC's."""
        return sum(list(self._around.values()))

    def _look(self) -> None:
        machines = {str(root): name for name, root in self.roots.items()}
        known: dict[int, psutil.Process | None] = {}
        looks = 0
        while not self._stop.wait(_SECONDS_BETWEEN_LOOKS):
            if looks % 100 == 0:
                self.load.append(os.getloadavg()[0])
            looks += 1
            began_s = time.monotonic()
            there = {int(name) for name in os.listdir("/proc") if name.isdigit()}  # noqa: PTH208 - ten times a second
            known = {pid: process for pid, process in known.items() if pid in there}
            for pid in there:
                try:
                    self._look_at(pid, known, machines)
                except (psutil.Error, OSError):
                    continue
            self._look_s = time.monotonic() - began_s

    def _look_at(self, pid: int, known: dict[int, psutil.Process | None], machines: dict[str, str]) -> None:
        """``known`` holds None for what is of no interest, so that most processes cost nothing."""
        process = known.get(pid) if pid in known else psutil.Process(pid)
        if process is None or process.status() == psutil.STATUS_ZOMBIE:
            return
        seen_s = time.time()
        words = process.cmdline()
        began_s = process.create_time()
        module = next((word for word in words if word.startswith("tasks.")), None)
        stage = module is not None and "-m" in words and "--speaker" in words
        around = any(Path(word).name in _ORCHESTRATION for word in words[:4])
        if not stage and not around:
            known[pid] = None if time.time() - began_s > _SECONDS_TO_BECOME_A_STAGE else process
            return
        machine = machines.get(process.cwd().split("/data/")[0])
        known[pid] = process if machine else None
        if machine and stage and module:
            speaker = words[words.index("--speaker") + 1]
            if (pid, began_s) not in self.runs:
                self.runs[pid, began_s] = StageRun(machine, module.removeprefix("tasks."), speaker, seen_s - _age_s(pid), seen_s)
            self.runs[pid, began_s].ended_s = seen_s
        elif machine:
            times = process.cpu_times()
            self._around[(pid, began_s)] = times.user + times.system


def _age_s(pid: int) -> float:
    """Seconds since the process began; what psutil says of that is up to a second early, because it knows the boot to a second."""
    since_boot = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
    return time.clock_gettime(time.CLOCK_BOOTTIME) - since_boot / os.sysconf("SC_CLK_TCK")

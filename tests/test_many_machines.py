"""What ``benchmarks.many_machines`` makes of the server's records; the benchmark itself needs root and a quarter of an hour."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from benchmarks.machine_promises import kept_promises, takeover, timings
from benchmarks.many_machines_table import tables
from benchmarks.stage_watch import StageRun, StageWatch
from flows.stage_graph import read_stage_graph
from tests.toy_workspace import REPOSITORY

STAGES = [node.name for node in read_stage_graph(REPOSITORY)]


def _at(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()


def _task(stage: str, start: float, end: float, state: str = "Ran") -> dict[str, Any]:
    return {"name": stage, "flow_run_id": "run", "start_time": _at(start), "end_time": _at(end), "state_name": state}


def _watch(*runs: StageRun) -> StageWatch:
    return StageWatch({}, runs={(number, 0.0): run for number, run in enumerate(runs)}, load=[1.0, 3.0])


def _server(tasks: list[dict[str, Any]]) -> Callable[..., Any]:
    return lambda path, **body: tasks


_NOTHING_TO_DO = {"total_run_time": 4.0, "created": _at(50.0), "end_time": _at(56.0)}


def test_a_task_counts_from_the_end_of_the_one_before_it() -> None:
    """Both were ready at 100; the second waited for the first, and that is no overhead of its own."""
    watch = _watch(StageRun("m1", "landmarks", "s1", 101.0, 109.0), StageRun("m1", "segment", "s1", 111.5, 118.0))
    tasks = [_task("landmarks", 100, 110), _task("segment", 100, 120), _task("report", 120, 121, "Unchanged")]
    figures = timings(_server(tasks), watch, ["s1"], _NOTHING_TO_DO)
    assert figures["overhead_per_stage_s"] == {"median": 3.5, "largest": 3.5, "measured": 2}
    assert (figures["up_to_date_graph_s"], figures["up_to_date_graph_from_request_s"], figures["own_work_s"]) == (4.0, 6.0, 14.5)
    assert figures["load"] == {"mean": 2.0, "largest": 3.0}


def _once() -> tuple[StageWatch, list[dict[str, Any]]]:
    runs = [StageRun("m2", stage, "s1", 10.0 * i, 10.0 * i + 9) for i, stage in enumerate(STAGES)]
    return _watch(*runs), [_task(stage, 0, 1) for stage in STAGES]


def _broken(watch: StageWatch, tasks: list[dict[str, Any]], machines: int = 1) -> dict[str, list[str]]:
    found = kept_promises(_server(tasks), watch, ["s1"], {"m1"}, machines)["broken_promises"]
    return {promise: breaches for promise, breaches in found.items() if breaches}


def test_promises_that_are_kept() -> None:
    watch, tasks = _once()
    watch.runs[99, 0.0] = StageRun("m1", "train_coarse", "s1", -50.0, -40.0)
    assert _broken(watch, tasks) == {}, "what a killed machine had begun must be begun again"


@pytest.mark.parametrize(
    ("spoil", "promise"),
    [
        (lambda watch, tasks: tasks.pop(), "nothing was lost"),
        (lambda watch, tasks: tasks.append(tasks[3]), "each stage ran exactly as often as needed"),
        (
            lambda watch, tasks: watch.runs.update({(98, 0.0): StageRun("m3", "ingest", "s1", -9.0, -5.0)}),
            "each stage ran exactly as often as needed",
        ),
        (
            lambda watch, tasks: watch.runs.update({(98, 0.0): StageRun("m1", "render", "s1", 5.0, 7.0)}),
            "no two stages of a speaker worked at once",
        ),
        (lambda watch, tasks: watch.runs.clear(), "every machine worked"),
    ],
)
def test_promises_that_are_broken(spoil: Any, promise: str) -> None:
    watch, tasks = _once()
    spoil(watch, tasks)
    assert promise in _broken(watch, tasks)


def test_toy_stages_are_counted_by_what_they_wrote(tmp_path: Path) -> None:
    """They end too soon to be seen every time."""
    for machine, lines in (("m2", [f"{stage}@s1" for stage in STAGES]), ("m3", ["ingest@s1"])):
        (tmp_path / machine).mkdir()
        (tmp_path / machine / "ran.txt").write_text("\n".join(lines) + "\n")
    watch, tasks = _once()
    watch.roots.update({"m2": tmp_path / "m2", "m3": tmp_path / "m3"})
    assert _broken(watch, tasks) == {"each stage ran exactly as often as needed": ["ingest@s1 worked on m2, m3"]}


def test_takeover_is_told_step_by_step() -> None:
    states = [(50, "Running"), (210, "Crashed"), (225, "AwaitingRetry"), (231, "Pending"), (236, "Running")]
    told = takeover([{"timestamp": _at(moment), "name": name} for moment, name in states], 100.0, 250.0)
    assert told == {"called_dead": 110.0, "scheduled_again": 125.0, "taken": 131.0, "at_work": 150.0}


def test_the_table_says_what_was_broken() -> None:
    watch, tasks = _once()
    tasks.pop()
    figures = {**timings(_server(tasks), watch, ["s1"], _NOTHING_TO_DO), **kept_promises(_server(tasks), watch, ["s1"], set(), 1)}
    figures |= {"machines": 1, "speakers": 1, "dubs": 2, "training_wall_s": 7.5, "dubs_wall_s": 3.0}
    figures |= {"measured_on": {"processor": "any", "cores": 2}, "up_to_date_graph_cpu_s": 2.0}
    page = tables({"toy": figures})
    assert "| nothing was lost | no: report@s1 ended as {} |" in page and "| no two stages of a speaker worked at once | yes |" in page
    assert "| training, s | 7.5 | not run |" in page and "load 2.0 in the mean, 3.0 at most" in page


def test_watch_knows_when_a_stage_began_and_ended(tmp_path: Path) -> None:
    words = ["-c", "import time; time.sleep(1)", "-m", "tasks.report", "--speaker", "s1"]
    with StageWatch({"m1": tmp_path}) as watch:
        began_s = time.time()
        subprocess.run([sys.executable, *words], cwd=tmp_path, check=True)
        ended_s = time.time()
    (run,) = watch.of("report")
    assert (run.machine, run.speaker) == ("m1", "s1")
    assert abs(run.started_s - began_s) < 0.2 and began_s < run.ended_s < ended_s + 0.2

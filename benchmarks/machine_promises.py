"""What the processes of a host and the server's records say of the promises of many machines."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from benchmarks.stage_watch import StageRun, StageWatch
from flows.stage_graph import read_stage_graph

__all__ = ["broken_promises", "timings"]

Ask = Callable[..., Any]


def timings(ask: Ask, watch: StageWatch, names: list[str]) -> dict[str, Any]:
    """Overhead: what a task took beyond its stage's own process; and a run of a graph that is up to date."""
    tasks = ask("task_runs/filter", flow_runs={"name": {"any_": [f"speaker {name}" for name in names]}}, limit=200)
    own: dict[str, list[StageRun]] = {}
    for run in watch.runs.values():
        own.setdefault(run.stage, []).append(run)
    overheads = []
    for row in tasks:
        if row["state_name"] != "Ran":
            continue
        start = _seconds(row["start_time"])
        inside = [run for run in own.get(str(row["name"]), []) if start <= run.started_s <= _seconds(row["end_time"])]
        if len(inside) == 1:
            overheads.append(float(row["total_run_time"]) - inside[0].seconds)
    runs = ask("flow_runs/filter", flow_runs={"name": {"any_": [f"speaker {names[0]}"]}}, sort="START_TIME_DESC")
    overheads.sort()
    return {
        "overhead_per_stage_s": {
            "median": round(overheads[len(overheads) // 2], 2) if overheads else None,
            "largest": round(overheads[-1], 2) if overheads else None,
            "measured": len(overheads),
        },
        "up_to_date_graph_s": round(float(runs[0]["total_run_time"]), 2),
        "own_work_s": round(sum(run.seconds for run in watch.runs.values()), 1),
    }


def broken_promises(ask: Ask, watch: StageWatch, names: list[str], hurt: set[str], machines: int) -> list[str]:
    """Every promise that does not hold.

    Each stage came to its end once: the server's records say ``Ran`` once, or, where the machine died before it could tell,
    ``Restored`` from what it had sent. A stage was seen more often only where a machine in ``hurt`` lost it. No two stages of a
    speaker worked at once. All machines worked.
    """
    stages = [node.name for node in read_stage_graph(Path(__file__).resolve().parents[1])]
    ended = _ended(ask, names)
    broken = []
    for speaker in names:
        for stage in stages:
            states = ended[(speaker, stage)]
            if states["Ran"] > 1 or states["Ran"] + states["Restored"] == 0:
                broken.append(f"{stage}@{speaker} ended as {dict(states)}")
            seen = [run for run in watch.of(stage) if run.speaker == speaker]
            elsewhere = [run.machine for run in seen if run.machine not in hurt]
            if len(elsewhere) > 1:
                broken.append(f"{stage}@{speaker} worked on {', '.join(elsewhere)}")
    broken += [f"{a.stage} ({a.machine}) and {b.stage} ({b.machine}) of {a.speaker} worked at once" for a, b in watch.overlaps()]
    spread = {run.machine for run in watch.runs.values() if "dub" not in run.stage}
    return broken + ([f"only {sorted(spread)} worked"] if len(spread) < min(machines, len(names)) else [])


def _ended(ask: Ask, names: list[str]) -> dict[tuple[str, str], Counter[str]]:
    """How the tasks of each speaker and stage ended, over all attempts."""
    found: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for name in names:
        for row in ask("task_runs/filter", flow_runs={"name": {"any_": [f"speaker {name}"]}}, limit=200):
            found[(name, str(row["name"]))][str(row["state_name"])] += 1
    return found


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()

"""What the processes of a host and the server's records say of the promises of many machines."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from benchmarks.stage_watch import StageWatch
from flows.stage_graph import read_stage_graph

__all__ = ["kept_promises", "takeover", "timings"]

Ask = Callable[..., Any]
_STAGES = [node.name for node in read_stage_graph(Path(__file__).resolve().parents[1])]


def timings(ask: Ask, watch: StageWatch, names: list[str], nothing_to_do: dict[str, Any]) -> dict[str, Any]:
    """Overhead: what a stage's task took beyond its own process; and a run of a graph that is up to date.

    The tasks of a run work one at a time and wait for each other, so a task's time counts from the end of the one before it.

    Args:
        ask: questions to the server.
        watch: what was seen at work.
        names: the speakers.
        nothing_to_do: a run of ``talkhead`` for one of them that found everything done.
    """
    by_run: dict[str, list[Any]] = defaultdict(list)
    for row in _tasks(ask, names):
        if row["start_time"] and row["end_time"]:
            by_run[row["flow_run_id"]].append(row)
    overheads = []
    for rows in by_run.values():
        free_s = 0.0
        for row in sorted(rows, key=lambda row: _seconds(row["end_time"])):
            began_s, ended_s = max(_seconds(row["start_time"]), free_s), _seconds(row["end_time"])
            free_s = ended_s
            if row["state_name"] == "Ran":
                own = [run.seconds for run in watch.of(str(row["name"])) if began_s - 1 <= run.started_s <= ended_s]
                overheads.append(ended_s - began_s - max(own, default=0.0))
    overheads.sort()
    ran = sum(1 for rows in by_run.values() for row in rows if row["state_name"] in ("Ran", "Restored"))
    return {
        "overhead_per_stage_s": {
            "median": round(overheads[len(overheads) // 2], 2) if overheads else None,
            "largest": round(overheads[-1], 2) if overheads else None,
            "measured": len(overheads),
        },
        "orchestration_cpu_s_per_stage": round(watch.orchestration_cpu_s() / max(ran, 1), 2),
        "up_to_date_graph_s": round(float(nothing_to_do["total_run_time"]), 2),
        "up_to_date_graph_from_request_s": round(_seconds(nothing_to_do["end_time"]) - _seconds(nothing_to_do["created"]), 2),
        "own_work_s": round(sum(run.seconds for run in watch.runs.values()), 1),
        "load": {"mean": round(sum(watch.load) / max(len(watch.load), 1), 1), "largest": round(max(watch.load, default=0.0), 1)},
    }


def kept_promises(ask: Ask, watch: StageWatch, names: list[str], hurt: set[str], machines: int) -> dict[str, Any]:
    """Each promise, with what broke it, and how often stages worked.

    Each stage came to its end once: the server's records say ``Ran`` once, or, where the machine died before it could tell,
    ``Restored`` from what it had sent. A stage worked more often only where a machine in ``hurt`` lost it.
    """
    ended, began = _ended(ask, names), _began(watch)
    again = {key: where for key in sorted(began) if len(where := began[key]) > 1}
    too_often = [f"{stage}@{speaker} ended as {dict(ended[speaker, stage])}" for speaker in names for stage in _STAGES
                 if ended[speaker, stage]["Ran"] > 1]  # fmt: skip
    too_often += [f"{key} worked on {', '.join(where)}" for key, where in again.items() if sum(one not in hurt for one in where) > 1]
    lost = [f"{stage}@{speaker} ended as {dict(ended[speaker, stage])}" for speaker in names for stage in _STAGES
            if ended[speaker, stage]["Ran"] + ended[speaker, stage]["Restored"] == 0]  # fmt: skip
    overlaps = [f"{a.stage} ({a.machine}) and {b.stage} ({b.machine}) of {a.speaker}" for a, b in watch.overlaps()]
    spread = {where for key, machines_of in began.items() if "dub" not in key for where in machines_of}
    idle = [f"only {sorted(spread)} worked"] if len(spread) < min(machines, len(names)) else []
    return {
        "stages_begun": {"needed": len(names) * len(_STAGES), "begun": sum(map(len, began.values())), "begun_again": again},
        "broken_promises": {
            "each stage ran exactly as often as needed": too_often,
            "nothing was lost": lost,
            "no two stages of a speaker worked at once": overlaps,
            "every machine worked": idle,
        },
    }


def takeover(states: list[dict[str, Any]], killed_s: float, first_stage_s: float) -> dict[str, float]:
    """When, after a machine was killed, its run was called dead, scheduled again, taken by another machine and at work: seconds.

    Args:
        states: of the run, as the server tells them.
        killed_s: when the machine was killed.
        first_stage_s: when a stage worked on another machine.
    """
    after = sorted((_seconds(state["timestamp"]), str(state["name"])) for state in states)
    found = {}
    since_s = killed_s
    for title, names in (
        ("called_dead", ("Crashed", "AwaitingRetry")),
        ("scheduled_again", ("AwaitingRetry",)),
        ("taken", ("Pending", "Running")),
    ):
        since_s = next((moment for moment, name in after if moment >= since_s and name in names), since_s)
        found[title] = round(since_s - killed_s, 1)
    return {**found, "at_work": round(first_stage_s - killed_s, 1)}


def _began(watch: StageWatch) -> dict[str, list[str]]:
    """``stage@speaker`` -> the machines on which it was begun; toy stages write a line each, others were seen at work."""
    found: dict[str, list[str]] = defaultdict(list)
    logs = {name: root / "ran.txt" for name, root in watch.roots.items()}
    if any(log.is_file() for log in logs.values()):
        for machine, log in logs.items():
            for line in log.read_text().splitlines() if log.is_file() else []:
                found[line].append(machine)
    else:
        for run in watch.runs.values():
            found[f"{run.stage}@{run.speaker}"].append(run.machine)
    return {key: where for key, where in found.items() if key.split("@")[0] in _STAGES}


def _ended(ask: Ask, names: list[str]) -> dict[tuple[str, str], Counter[str]]:
    """How the tasks of each speaker and stage ended, over all attempts."""
    found: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for name in names:
        for row in _tasks(ask, [name]):
            found[(name, str(row["name"]))][str(row["state_name"])] += 1
    return found


def _tasks(ask: Ask, names: list[str]) -> list[Any]:
    return [row for name in names for row in ask("task_runs/filter", flow_runs={"name": {"any_": [f"speaker {name}"]}}, limit=200)]


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()

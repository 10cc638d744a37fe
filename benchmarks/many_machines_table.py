"""The results of ``benchmarks.many_machines`` as Markdown, for the document."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

__all__ = ["DOCUMENT", "RESULTS", "tables"]

RESULTS = Path(__file__).with_name("results") / "many_machines.json"
DOCUMENT = Path(__file__).parents[1] / "docs" / "many_machines.md"
_KINDS = {"toy": "Stand-ins for the stages", "smoke": "Real stages, smoke profile"}


def tables(results: dict[str, Any]) -> str:
    """A section for each kind of stages.

    Args:
        results: kind of stages -> figures.
    """
    return "\n\n".join(_section(_KINDS[kind], results[kind]) for kind in _KINDS if kind in results)


def _section(title: str, figures: dict[str, Any]) -> str:
    rows = [("promise", "kept")]
    rows += [(promise, "no: " + "; ".join(broken) if broken else "yes") for promise, broken in sorted(figures["broken_promises"].items())]
    lines = [f"### {title}: {figures['speakers']} speakers, {figures['dubs']} dubs, {figures['machines']} machines", "", *_table(rows), ""]
    faults, one, stages = figures.get("faults"), figures.get("one_machine"), figures["stages_begun"]
    again = ", ".join(f"{name} ({' then '.join(where)})" for name, where in stages["begun_again"].items()) or "none"
    both = [_measured(given) for given in (figures, one) if given is not None]
    wall: list[tuple[str, ...]] = [("figure", "many machines", "one machine, undisturbed")]
    wall += [(name, *(column[name] for column in both), *(["not run"] if one is None else [])) for name in both[0]]
    lines += [*_table(wall), ""]
    told: list[tuple[str, ...]] = [
        ("figure", "value"),
        ("stages needed, begun", f"{stages['needed']}, {stages['begun']}"),
        ("begun again, and where", again),
    ]
    if faults:
        names = {"called_dead": "called dead", "scheduled_again": "scheduled again", "taken": "taken", "at_work": "at work"}
        seconds = ", ".join(f"{title} {faults['taken_over_after_s'][name]:g}" for name, title in names.items())
        told.append((f"{', '.join(faults['in_flight'])}, whose machine was killed: seconds until", seconds))
    machine, load = figures["measured_on"], figures["load"]
    where = f"{machine['processor']}, {machine['cores']} cores; load {load['mean']} in the mean, {load['largest']} at most."
    return "\n".join([*lines, *_table(told), "", f"Measured on {where}"])


def _measured(figures: dict[str, Any]) -> dict[str, str]:
    """What many machines and one have both been timed at."""
    overhead = figures["overhead_per_stage_s"]
    idle = "; ".join(str(figures[f"up_to_date_graph_{name}"]) for name in ("s", "from_request_s", "cpu_s"))
    return {
        "training, s": str(figures["training_wall_s"]),
        "dubs, s": str(figures["dubs_wall_s"]),
        "overhead of a stage: median, largest, s": f"{overhead['median']}, {overhead['largest']} (of {overhead['measured']})",
        "processor time around a stage, s": str(figures["orchestration_cpu_s_per_stage"]),
        "talkhead/full when nothing is to be done, s: the run; from asking for it to its end; processor time": idle,
        "load of the host, mean": str(figures["load"]["mean"]),
    }


def _table(rows: Sequence[tuple[str, ...]]) -> list[str]:
    head, *rest = ["| " + " | ".join(row) + " |" for row in rows]
    return [head, "|" + "---|" * len(rows[0]), *rest]

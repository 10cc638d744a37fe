"""The results of ``benchmarks.scaling`` as Markdown, for ``infra/README.md``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

__all__ = ["DOCUMENT", "scaling_table"]

DOCUMENT = Path(__file__).parents[1] / "infra" / "README.md"
_KINDS = {"cpu": "two cores", "gpu": "16 cores and a GPU"}
_ROWS = {
    "machines, one of them dead": "machines",
    "machine hours a day": "machine_hours_a_day",
    "of that dubbing": "of_that_dubbing",
    "of that training": "of_that_training",
    "95 % of the dub runs begin within, s": "wait_p95_s",
    "GB of speakers in the store": "stored_gb_of_speakers",
    "GB of dubs in a month": "stored_gb_of_dubs_a_month",
    "GB moved a day": "transferred_gb_a_day",
    "runs a day": "runs_a_day",
    "runs a minute at the peak": "runs_a_minute_at_the_peak",
}


def scaling_table(results: dict[str, Any]) -> str:
    """A table with a column for each kind of machine, and which times it is made of.

    Args:
        results: ``load`` and, by kind, ``machines``, as in ``results/scaling.json``.
    """
    load, kinds = results["load"], results["machines"]
    lines = [
        f"{load['speakers']:,} speakers with {load['footage_s'] / 60:g} minutes of footage, trained every {load['retrain_days']:g} days; "
        f"{load['dubs_a_day']:,} dubs of {load['dub_s']:g} s a day, {load['dubs_per_run']} in a run, at the peak {load['peak']:g} times "
        "the average:",
        "",
        "| | " + " | ".join(_KINDS[kind] for kind in kinds) + " |",
        "|---" * (1 + len(kinds)) + "|",
    ]
    for title, name in _ROWS.items():
        lines.append(f"| {title} | " + " | ".join(_short(figures[name]) for figures in kinds.values()) + " |")
    for kind, figures in kinds.items():
        title = _KINDS[kind][0].upper() + _KINDS[kind][1:]
        lines += ["", f"{title}: {_times(figures, 'measured')}; {_times(figures, 'assumed')}."]
    return "\n".join(lines)


def _times(figures: dict[str, Any], how: str) -> str:
    told = [f"`{name}` {figures['times'][name]:,.10g}" for name, origin in sorted(figures["from"].items()) if origin.startswith(how)]
    return f"{how} {', '.join(told) or 'nothing'}"


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 20 else f"{value:,.1f}".removesuffix(".0")

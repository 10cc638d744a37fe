"""``docs/soak.md`` and its plot, made from what ``benchmarks.soak`` noted."""

from __future__ import annotations

from typing import Any

from matplotlib.figure import Figure

from benchmarks.prepared_speaker import REPOSITORY
from talkhead_core.artifacts import read_json, whole_file, write_text

__all__ = ["measured", "table", "write_page"]

DOCUMENT, PLOT = REPOSITORY / "docs" / "soak.md", REPOSITORY / "docs" / "soak.svg"
WARMTH = REPOSITORY / "benchmarks" / "results" / "dub_batch.json"
_NAMES = {"memory_mib": "memory, MiB", "open_files": "open files", "processes": "processes", "temporary_files": "temporary files"}
_TEXT = """# Does anything grow?

`python -m benchmarks.soak` dubs many short pieces of speech in one `talkhead dub --manifest`, and one long one, and notes each second
what the whole family of processes uses. Flat: by the slope after the first quarter, the rest of the run adds less than a tenth, or
less than two. One process makes all dubs of a speaker in a batch, so what a dub left behind would add up. By default the program takes two
hundred dubs and an hour of speech.

{measured}

{table}

{warmth}

![Memory and open files over time](soak.svg)
"""


def write_page(results: dict[str, Any]) -> None:
    """Write the page and its plot."""
    write_text(DOCUMENT, _TEXT.format(measured=measured(results), table=table(results), warmth=_warmth()))
    with whole_file(PLOT) as temporary:
        _plot(results).savefig(temporary, format="svg", metadata={"Date": None})


def measured(results: dict[str, Any]) -> str:
    """On what it was measured, and what the figures therefore do not say."""
    machine, side = results["machine"], results.get("long", {}).get("side_px")
    busy = machine["load_before"] > machine["cores"]
    size = f"at frames of {side} px, so memory is that of small frames" if side else "at the frame size of the workspace's profile"
    host = "others were at work, so the minutes say nothing of speed" if busy else "nothing else was at work"
    return f"Measured {size}, on {machine['cores']} cores with a load of {machine['load_before']:.0f} when the last run began: {host}."


def table(results: dict[str, Any]) -> str:
    """What was run, and the slope of everything, as Markdown."""
    lines = [f"- {_run(kind, results[kind])}" if kind in results else f"- {kind}: not run yet" for kind in ("batch", "long")]
    lines += ["", "| run | quantity | median | most | a minute (95 %) | over the run | |", "|---|---|---|---|---|---|---|"]
    for kind in ("batch", "long"):
        for name, says in _NAMES.items():
            row = results.get(kind, {}).get(name)
            if row:
                low, high = row["slope_ci95"]
                slope = f"{row['slope_per_minute']:+.2f} ({low:+.2f} to {high:+.2f})"
                lines.append(f"| {kind} | {says} | {row['median']:g} | {row['most']:g} | {slope} "
                             f"| {100 * row['growth']:+.1f} % | {'flat' if row['flat'] else 'GROWS'} |")  # fmt: skip
    return "\n".join(lines)


def _warmth() -> str:
    """What one process for all dubs is worth, as ``benchmarks.dub_batch`` measured it."""
    if not WARMTH.is_file():
        return ""
    found = read_json(WARMTH)
    rates = found["dubs_a_minute"]
    return (
        f"`python -m benchmarks.dub_batch`: {found['dubs']} short dubs in one batch, its start included, go at {rates['batch']:g} a "
        f"minute, by a command each at {rates['alone']:g}: {found['ratio']:g} times as fast."
    )


def _run(kind: str, run: dict[str, Any]) -> str:
    if kind == "batch":
        what = f"{run['made']} of {run['asked']} short dubs made"
    else:
        what = f"one dub of {run['minutes']:g} minutes, {run.get('frames', 0)} frames of {run.get('side_px', 0)} px,"
    left = "nothing was left behind" if not run["left"] else f"left behind: {', '.join(run['left'][:3])}"
    return f"{kind}: {what} in {run['seconds'] / 60:.1f} minutes, exit code {run['exit_code']}; {left}."


def _plot(results: dict[str, Any]) -> Figure:
    kinds = [kind for kind in ("batch", "long") if kind in results]
    figure = Figure(figsize=(9, 2.4 * len(kinds)), layout="constrained")
    for axes, kind in zip(figure.subplots(len(kinds), 1, squeeze=False)[:, 0], kinds, strict=True):
        course = results[kind]["course"]
        minutes = [second / 60 for second in course["seconds"]]
        axes.plot(minutes, course["memory_mib"], color="tab:blue", linewidth=1)
        axes.set(title=kind, xlabel="minutes", ylabel="memory, MiB", ylim=(0, None))
        files = axes.twinx()
        files.plot(minutes, course["open_files"], color="tab:orange", linewidth=1)
        files.set(ylabel="open files", ylim=(0, None))
    return figure

"""The benchmark's result as one page to read in a browser: every clip's figures side by side, quality against minutes of training."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from talkhead_core.artifacts import write_text
from talkhead_core.report.html_page import render_page
from talkhead_core.report.plots import Plot
from talkhead_core.report.tables import COLUMNS, Table, flat_rows, interval_text
from talkhead_core.report.themed_svg import SERIES, themed_figure, to_svg
from talkhead_core.report.verdict import MODEL

__all__ = ["over_time_table", "write_page"]


def write_page(results: Mapping[str, Any], page: Path) -> None:
    """Write the page of one result file; it loads nothing."""
    clips = [(clip, _tables(clip, result), [plot for plot in (_plot(clip, result),) if plot]) for clip, result in results["clips"].items()]
    settings, failures = flat_rows(results["settings"]), list(results["failures"].items())
    links = [(f"clip-{index}", clip, True) for index, clip in enumerate(results["clips"], start=1)] + [
        ("made", "How it was measured", True)
    ]
    values = {"clips": clips, "clip_links": links, "settings": settings, "machine": flat_rows(results["machine"]), "failures": failures}
    write_text(page, render_page("benchmark_page.html", title="Quality under equal time: talkhead", **values))


def _tables(clip: str, result: Mapping[str, Any]) -> list[Table]:
    runs = result["runs"]
    own = [run["protocols"][MODEL] for run in runs.values()]
    rows = [[column.title, *cells] for column in COLUMNS if any(cells := [interval_text(figures, column) for figures in own])]
    steps = [" / ".join(str(count) for count in run["steps"].values()) for run in runs.values()]
    rows += [["Steps, coarse / fine / torso", *steps], ["Minutes of training", *(f"{run['training_minutes']:g}" for run in runs.values())]]
    tables = [Table(caption=f"{clip}: figures under {MODEL}, with 95 % intervals over frames", head=["Figure", *runs], rows=rows)]
    gains = [
        (control, column) for control in _controls(runs) for column in COLUMNS if column.key in ("psnr_mouth", "psnr_face", "lmd_px512")
    ]
    rows = [
        [f"{column.title} over {control}"]
        + [interval_text(run["comparisons"].get(f"{MODEL} - {control}", {}), column, signed=True) or "–" for run in runs.values()]
        for control, column in gains
    ]
    if rows:
        tables.append(Table(caption=f"{clip}: difference to the controls, frame by frame", head=["Figure", *runs], rows=rows))
    over_time = over_time_table(clip, result)
    return [*tables, over_time] if over_time else tables


def _controls(runs: Mapping[str, Any]) -> list[str]:
    return list(dict.fromkeys(name.partition(" - ")[2] for run in runs.values() for name in run["comparisons"]))


def over_time_table(clip: str, result: Mapping[str, Any]) -> Table | None:
    """Held-out face PSNR of whole trainings of several lengths; None where there was one length."""
    curves = result.get("over_time", {})
    marks = sorted({mark for curve in curves.values() for mark in curve}, key=float)
    if len(marks) < 2:
        return None
    face = next(column for column in COLUMNS if column.key == "psnr_face")
    rows = [
        [config, *(interval_text(curve[mark][MODEL], face) if mark in curve else "–" for mark in marks)] for config, curve in curves.items()
    ]
    caption = f"{clip}: held-out face PSNR, dB, against minutes of training ({MODEL}); each a whole training"
    return Table(caption=caption, head=["Configuration", *(f"{mark} min" for mark in marks)], rows=rows)


def _plot(clip: str, result: Mapping[str, Any]) -> Plot | None:
    if over_time_table(clip, result) is None:
        return None
    with themed_figure(7.5, 3.4) as figure:
        axes, ends = figure.subplots(), []
        for index, (config, curve) in enumerate(result["over_time"].items()):
            points = sorted((row["training_minutes"], row[MODEL]["psnr_face"]) for row in curve.values())
            axes.plot(*zip(*points, strict=True), marker="o", color=SERIES[index % len(SERIES)], label=config)
            ends.append(f"{config} {points[-1][1]:.1f} dB after {points[-1][0]:.1f} minutes")
        axes.set(xlabel="minutes of training", ylabel="dB")
        axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=len(SERIES), handlelength=1.2)
        says = f"Held-out face PSNR ({MODEL}) against minutes of training: {'; '.join(ends)}."
        return Plot(title=f"{clip}: quality against time", svg=to_svg(figure, f"time-{clip}", says), says=says)

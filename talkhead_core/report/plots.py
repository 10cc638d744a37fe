"""The report's plots, each an inline SVG with the sentence that says what to see in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from talkhead_core.report.plot_series import head_angles_deg
from talkhead_core.report.themed_svg import SERIES, themed_figure, to_svg

__all__ = ["Plot", "coverage_plot", "mouth_opening_plot", "per_frame_plot", "pose_plot", "training_plot"]

_SMOOTHING_STEPS = 9
_LEGEND_LETTERS = 40


@dataclass(frozen=True, kw_only=True)
class Plot:
    """One plot.

    Args:
        title: its heading.
        svg: an ``<svg>`` element.
        says: the same in a sentence, which is also its description for a screen reader.
    """

    title: str
    svg: str
    says: str


def training_plot(
    histories: Mapping[str, pd.DataFrame],
    column: str,
    title: str,
    unit: str,
    *,
    logarithmic: bool = False,
    one_after_another: bool = True,
) -> Plot | None:
    """One column of ``history.parquet`` of all training stages against minutes of training.

    Args:
        histories: stage -> columns ``step, seconds`` and more.
        column: what to draw; stages without it are left out.
        title: of the plot.
        unit: of the column.
        logarithmic: scale of the vertical axis.
        one_after_another: the histories follow each other in time, as stages do; False: they all begin at 0, as runs do.
    """
    present = {stage: table for stage, table in histories.items() if column in table and table[column].notna().any()}
    if not present:
        return None
    with themed_figure() as figure:
        axes = figure.subplots()
        minutes, ends = 0.0, []
        for index, (stage, table) in enumerate(present.items()):
            rows = table[table[column].notna()]
            times = minutes + rows["seconds"].to_numpy(dtype=np.float64) / 60.0
            values = rows[column].to_numpy(dtype=np.float64)
            colour = SERIES[index % len(SERIES)]
            if len(values) > 3 * _SMOOTHING_STEPS:
                axes.plot(times, values, color=colour, alpha=0.3, linewidth=0.8)
                values = rows[column].rolling(_SMOOTHING_STEPS, center=True, min_periods=1).median().to_numpy()
            axes.plot(times, values, color=colour, label=stage.removeprefix("train_"))
            ends.append(f"{stage.removeprefix('train_')} ends at {values[-1]:.4g} {unit}".rstrip())
            minutes += float(table["seconds"].max()) / 60.0 if one_after_another else 0.0
        axes.set(xlabel="minutes of training", ylabel=unit or column)
        if logarithmic:
            axes.set_yscale("log")
        _legend(axes, len(present))
        says = f"{title} against minutes of training: {'; '.join(ends)}."
        return Plot(title=title, svg=to_svg(figure, f"training-{column}", says), says=says)


def per_frame_plot(table: pd.DataFrame, column: str, title: str, unit: str, protocols: Sequence[str]) -> Plot | None:
    """A column of ``per_frame.parquet`` over the held-out frames, one line a protocol."""
    present = [name for name in protocols if column in table and table.loc[table["protocol"] == name, column].notna().any()]
    if not present:
        return None
    with themed_figure() as figure:
        axes = figure.subplots()
        means = []
        for index, name in enumerate(present):
            rows = table[table["protocol"] == name]
            axes.plot(rows["frame_id"], rows[column], color=SERIES[index % len(SERIES)], label=name, zorder=3 - index)
            means.append(f"{name} {rows[column].mean():.2f} {unit}")
        axes.set(ylabel=unit)
        _frame_axis(axes)
        _legend(axes, len(present))
        says = f"{title} over the held-out frames; means: {', '.join(means)}."
        return Plot(title=title, svg=to_svg(figure, f"frames-{column}", says), says=says)


def mouth_opening_plot(table: pd.DataFrame, protocol: str, figures: Mapping[str, Any]) -> Plot | None:
    """Mouth opening of recording and render over the held-out frames."""
    rows = table[table["protocol"] == protocol]
    if "mouth_opening" not in rows or rows["mouth_opening"].notna().sum() < 2:
        return None
    with themed_figure() as figure:
        axes = figure.subplots()
        axes.plot(rows["frame_id"], 100 * rows["mouth_opening_reference"], color=SERIES[1], label="recording")
        axes.plot(rows["frame_id"], 100 * rows["mouth_opening"], color=SERIES[0], label="render")
        axes.set(ylabel="% of the face height")
        _frame_axis(axes)
        _legend(axes, 2)
        parts = []
        if "mouth_opening_r" in figures:
            parts.append(f"correlation r = {figures['mouth_opening_r']:.2f}")
        if "mouth_opening_sd_ratio" in figures:
            parts.append(f"amplitude {figures['mouth_opening_sd_ratio']:.2f} of the recording's")
        says = f"Mouth opening of recording and render ({protocol}): {', '.join(parts) or 'no movement to compare'}."
        return Plot(title="Mouth opening", svg=to_svg(figure, "mouth-opening", says), says=says)


def pose_plot(track: Mapping[str, np.ndarray], held_out: Sequence[int]) -> Plot | None:
    """Yaw, pitch and roll of the head over the clip, the held-out part marked.

    Args:
        track: arrays of ``track.safetensors``.
        held_out: the frame ids that training never saw; may be empty.
    """
    if "rotation" not in track:
        return None
    angles = head_angles_deg(track["rotation"])
    ids = track["frame_id"]
    with themed_figure() as figure:
        axes = figure.subplots()
        for index, name in enumerate(("yaw", "pitch", "roll")):
            axes.plot(ids, angles[:, index], color=SERIES[index], label=name, linewidth=1.0)
        if held_out:
            axes.axvspan(min(held_out), max(held_out), color=SERIES[0], alpha=0.08, linewidth=0)
        axes.set(ylabel="degrees")
        _frame_axis(axes, " (held out: shaded)" if held_out else "")
        _legend(axes, 3)
        low, high = angles.min(axis=0), angles.max(axis=0)
        ranges = [f"{name} {low[i]:.0f} to {high[i]:.0f}" for i, name in enumerate(("yaw", "pitch", "roll"))]
        says = f"Tracked head pose in degrees: {', '.join(ranges)}."
        return Plot(title="Head pose", svg=to_svg(figure, "pose", says), says=says)


def coverage_plot(transient: Mapping[str, Any] | None, inpaint: Mapping[str, Any] | None) -> Plot | None:
    """Share of the frame that is masked as transient, that is hands, and that was removed."""
    series = [
        (label, source[key])
        for source, key, label in ((transient, "transient", "moving (M_i)"), (transient, "hands", "hands"), (inpaint, "removed", "removed"))
        if source and isinstance(source.get(key), list) and source[key]
    ]
    if not series:
        return None
    with themed_figure() as figure:
        axes = figure.subplots()
        for index, (label, shares) in enumerate(series):
            axes.plot(np.arange(len(shares)), 100 * np.asarray(shares), color=SERIES[index], label=label, linewidth=1.0)
        axes.set(ylabel="% of the frame")
        _frame_axis(axes)
        _legend(axes, len(series))
        says = "Share of the frame: " + ", ".join(f"{label} {100 * np.mean(shares):.2f} % on average" for label, shares in series) + "."
        filled_by = (inpaint or {}).get("filled_by_percent_of_removed", {})
        if filled_by:
            most_first = sorted(filled_by.items(), key=lambda item: -item[1])
            shares_said = ", ".join(f"{name.replace('_', ' ')} {share:.1f} %" for name, share in most_first)
            says += f" What was removed is filled by: {shares_said}."
        return Plot(title="Masked area", svg=to_svg(figure, "coverage", says), says=says)


def _frame_axis(axes: Axes, note: str = "") -> None:
    axes.set_xlabel(f"frame{note}")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def _legend(axes: Axes, entries: int) -> None:
    if entries > 1:
        letters = sum(len(text) for text in axes.get_legend_handles_labels()[1])
        columns = entries if letters <= _LEGEND_LETTERS else 2  # one row of long names is wider than the plot
        axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=columns, handlelength=1.2, columnspacing=1.2)

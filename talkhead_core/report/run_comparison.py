"""Two runs on one speaker, or on two, beside each other: which frames they share, what differs, and by how much."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from talkhead_core.metrics.summary import compare_protocols
from talkhead_core.report.speaker_artifacts import SpeakerArtifacts
from talkhead_core.report.tables import COLUMNS, Table, flat_rows, interval_text

__all__ = ["Run", "difference_table", "paired_differences", "parameter_table", "per_frame_of_both", "shared_frames"]

_MANY_COLUMNS = tuple(column.key for column in COLUMNS)


@dataclass(frozen=True, kw_only=True)
class Run:
    """One run.

    Args:
        label: what to call it.
        artifacts: what its stages wrote.
        parameters: section -> resolved parameters; empty where not known.
    """

    label: str
    artifacts: SpeakerArtifacts
    parameters: Mapping[str, Any]

    @property
    def source_sha256(self) -> str | None:
        """Of the recording, or None."""
        found = (self.artifacts.ingest or {}).get("source", {}).get("sha256")
        return str(found) if found else None


def shared_frames(first: Run, second: Run) -> list[int]:
    """Held-out frame ids that both rendered of one and the same recording; empty where the recordings differ."""
    if first.source_sha256 != second.source_sha256:
        return []
    ids = [[int(frame_id) for frame_id in (run.artifacts.render or {}).get("frame_ids", [])] for run in (first, second)]
    clips = [(run.artifacts.ingest or {}).get("clip", {}) for run in (first, second)]
    if clips[0].get("fps") != clips[1].get("fps"):
        return []
    both = set(ids[1])
    return [frame_id for frame_id in ids[0] if frame_id in both]


def per_frame_of_both(first: Run, second: Run, protocol: str) -> pd.DataFrame | None:
    """Per-frame figures of one protocol in both runs; the column ``protocol`` holds ``A`` and ``B``. None where one has none."""
    parts = []
    for label, run in (("A", first), ("B", second)):
        table = run.artifacts.per_frame
        rows = None if table is None else table[table["protocol"] == protocol]
        if rows is None or rows.empty:
            return None
        parts.append(rows.assign(protocol=label))
    return pd.concat(parts, ignore_index=True)


def paired_differences(first: Run, second: Run, protocol: str, fps: float) -> dict[str, Any]:
    """Mean of B minus A, frame by frame, with intervals; empty where the two do not share their frames."""
    table = per_frame_of_both(first, second, protocol)
    shared = shared_frames(first, second)
    if table is None or not shared:
        return {}
    return compare_protocols(table[table["frame_id"].isin(shared)], "B", "A", fps, columns=_MANY_COLUMNS)


def difference_table(first: Run, second: Run, protocol: str, fps: float) -> Table | None:
    """Every figure of one protocol in A and in B, and their difference."""
    figures = [(run.artifacts.metrics or {}).get("protocols", {}).get(protocol) for run in (first, second)]
    if figures[0] is None or figures[1] is None:
        return None
    paired = paired_differences(first, second, protocol, fps)
    rows = []
    for column in COLUMNS:
        values = [each.get(column.key) for each in figures]
        if values[0] is None and values[1] is None:
            continue
        if column.key in paired:
            change = interval_text(paired, column, signed=True)
        elif None in values:
            change = ""
        else:
            change = f"{values[1] - values[0]:+.{column.digits}f} (unpaired)"
        rows.append([column.title, *(interval_text(each, column) or "–" for each in figures), change or "–"])
    caption = f"{protocol}: A, B and B minus A; differences over the same frames carry their own 95 % intervals"
    return Table(caption=caption, head=["Figure", "A", "B", "B − A"], rows=rows)


def parameter_table(first: Run, second: Run) -> Table | None:
    """The parameters that differ; None where none does or they are not known."""
    flat = [dict(flat_rows(run.parameters)) for run in (first, second)]
    keys = [key for key in {**flat[0], **flat[1]} if flat[0].get(key) != flat[1].get(key)]
    if not keys:
        return None
    rows = [[key, *(each.get(key, "–") for each in flat)] for key in keys]
    return Table(caption="Parameters that differ", head=["Parameter", "A", "B"], rows=rows)


def most_changed(table: pd.DataFrame, column: str, count: int, apart_frames: int) -> Sequence[tuple[int, float]]:
    """(frame id, B minus A) of the frames that lost most from A to B, ``apart_frames`` from each other, worst first.

    Args:
        table: what :func:`per_frame_of_both` returned.
        column: higher is better.
        count: how many.
        apart_frames: so that not all of them show one moment.
    """
    sides = [table[table["protocol"] == label].set_index("frame_id")[column] for label in ("A", "B")]
    change = (sides[1] - sides[0]).dropna().sort_values(kind="stable")
    chosen: list[tuple[int, float]] = []
    for frame_id, value in change.items():
        if all(abs(int(str(frame_id)) - other) >= apart_frames for other, _ in chosen):
            chosen.append((int(str(frame_id)), float(np.round(value, 6))))
        if len(chosen) == count:
            break
    return chosen

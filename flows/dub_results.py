"""The table of a batch's results, written beside the dubs as they come."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass

from flows.dub_batch import BatchRow, is_remote
from flows.object_store import ObjectUri
from flows.store_settings import object_store
from flows.workspace import Workspace
from talkhead_core.artifacts import write_text

__all__ = ["DubRow", "write_results"]


@dataclass(frozen=True, kw_only=True)
class DubRow:
    """What became of one dub.

    Args:
        row: what was asked for.
        state: ``Waiting``, ``Ran``, ``Unchanged`` or ``Failed``.
        error: why it failed.
    """

    row: BatchRow
    state: str
    error: str | None = None


def write_results(workspace: Workspace, out: str, rows: list[DubRow]) -> None:
    """Write ``results.csv`` to ``out``, a folder or an ``s3://`` prefix, whole."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["speaker", "audio", "out", "result", "error"])
    for one in rows:
        writer.writerow([one.row.speaker, one.row.audio, one.row.out, one.state, one.error or ""])
    if is_remote(out):
        object_store(workspace).write(ObjectUri.parse(out) / "results.csv", text.getvalue().encode(), "text/csv")
    else:
        write_text(workspace.root / out / "results.csv", text.getvalue())

"""``talkhead models``: the official weight files of optional back ends."""

from __future__ import annotations

from typing import Annotated

import typer

from flows.command_output import JsonOption, tell
from flows.stage_display import StageDisplay
from flows.stage_runs import StageEvent
from flows.workspace import Workspace
from talkhead_core.weights.store import pull, stored_files, verify, weight_set

__all__ = ["models"]

models = typer.Typer(help="The official weight files of optional back ends.", rich_markup_mode=None)


@models.command("list")
def models_list(as_json: JsonOption = False) -> None:
    """List the official weight files that optional back ends need, and which are here."""
    rows = stored_files(Workspace.here().weights)
    table = [
        {
            "name": row.weight_set.name,
            "file": str(row.path),
            "source": row.file.source,
            "sha256": row.file.sha256,
            "licence": row.weight_set.licence,
            "size_bytes": row.size_bytes,
            "present": row.size_bytes is not None,
        }
        for row in rows
    ]
    lines = [
        f"{row.weight_set.name:<16} {'here' if row.size_bytes is not None else '-':<5} {row.file.file:<30} {row.weight_set.licence}"
        for row in rows
    ]
    tell(table, lines, as_json=as_json)


@models.command("pull")
def models_pull(name: Annotated[str, typer.Argument(help="a name of 'talkhead models list'")]) -> None:
    """Fetch weights from their publisher, once, and say how to use them."""
    wanted, folder = weight_set(name), Workspace.here().weights
    with StageDisplay([], lines=False) as display:
        paths = pull(folder, wanted, lambda done, total, note="": display.show(StageEvent(stage="pull", done=done, total=total, note=note)))
    tell(None, [*(str(path) for path in paths), f"to use it, set in params.yaml: {wanted.use}"], as_json=False)


@models.command("verify")
def models_verify(as_json: JsonOption = False) -> None:
    """Check that every weight file that is here is the official one."""
    folder = Workspace.here().weights
    here = [row for row in stored_files(folder) if row.size_bytes is not None]
    digests = {str(row.path): verify(folder, row) for row in here}
    tell(digests, [f"{path}  {digest}" for path, digest in digests.items()] or ["no weight files are here"], as_json=as_json)

"""``talkhead models``: the official weight files of optional back ends; and who may use them for what."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from flows.command_output import JsonOption, tell
from flows.stage_display import StageDisplay
from flows.stage_runs import StageEvent
from flows.workspace import Workspace
from talkhead_core.speakers import speaker_parameters
from talkhead_core.weights.catalogue import CATALOGUE, WeightSet
from talkhead_core.weights.store import Origin, pull, stored_files, verify, weight_set
from talkhead_core.weights.usage import check_commercial

__all__ = ["CommercialSafeOption", "models", "refuse_non_commercial"]

_MIRROR_VARIABLE, _OFFLINE_VARIABLE = "TALKHEAD_MIRROR", "TALKHEAD_OFFLINE"

models = typer.Typer(help="The official weight files of optional back ends.", rich_markup_mode=None)

CommercialSafeOption = Annotated[
    bool, typer.Option("--commercial-safe", help="refuse back ends whose weights may not be used commercially")
]


def refuse_non_commercial(workspace: Workspace, speakers: Iterable[str]) -> None:
    """Check what the parameters of these speakers rest on.

    Raises:
        ParameterError: a back end's weights may not be used commercially.
    """
    sections = sorted({section for each in CATALOGUE.values() for section, _, _ in each.chosen_by})
    for speaker in dict.fromkeys(speakers):
        check_commercial({section: speaker_parameters(workspace.root, speaker, section) for section in sections})


@models.command("list")
def models_list(as_json: JsonOption = False) -> None:
    """List the official weight files that optional back ends need, which are here, and whether commercial use is allowed."""
    rows = stored_files(Workspace.here().weights)
    table = [
        {
            "name": row.weight_set.name,
            "file": str(row.path),
            "source": row.file.source,
            "sha256": row.file.sha256,
            "licence": row.weight_set.licence,
            "commercial_use": row.weight_set.commercial,
            "used_by": _used_by(row.weight_set),
            "about_mb": row.file.size_mb,
            "size_bytes": row.size_bytes,
            "present": row.size_bytes is not None,
        }
        for row in rows
    ]
    lines = [
        f"{row.weight_set.name:<16} {'here' if row.size_bytes is not None else '-':<5} {row.file.file:<38} {row.file.size_mb:>7g} MB  "
        f"{', '.join(_used_by(row.weight_set)):<38} {_licence(row.weight_set)}"
        for row in rows
    ]
    tell(table, lines, as_json=as_json)


def _licence(weights: WeightSet) -> str:
    return weights.licence if weights.commercial else f"NOT FOR COMMERCIAL USE: {weights.licence}"


def _used_by(weights: WeightSet) -> list[str]:
    return [f"{section}.{key}: {value}" for section, key, value in weights.chosen_by] or ["evaluate"]


@models.command("pull")
def models_pull(
    names: Annotated[list[str], typer.Argument(help="names of 'talkhead models list'")],
    mirror: Annotated[
        str | None, typer.Option(envvar=_MIRROR_VARIABLE, help="a web address or folder with the files under their names here")
    ] = None,
    offline: Annotated[
        bool, typer.Option("--offline", help=f"fetch nothing from the network; {_OFFLINE_VARIABLE}=1 does the same")
    ] = False,
) -> None:
    """Fetch weights from their publisher, once, and say how to use them; a broken download goes on where it ended."""
    wanted, folder = [weight_set(name) for name in names], Workspace.here().weights
    origin = Origin(mirror=mirror, offline=offline or os.environ.get(_OFFLINE_VARIABLE, "0") not in ("", "0"))
    lines: list[str] = []
    for each in wanted:
        paths: list[Path] = []
        with StageDisplay([], lines=False) as display:

            def show(done: int, total: int, note: str = "", display: StageDisplay = display) -> None:
                display.show(StageEvent(stage="pull", done=done, total=total, note=note))

            paths = pull(folder, each, show, origin)
        lines += [*(str(path) for path in paths), f"to use it, set in params.yaml: {each.use}"]
        if not each.commercial:
            lines.append(f"not for commercial use: {each.licence}")
    tell(None, lines, as_json=False)


@models.command("verify")
def models_verify(as_json: JsonOption = False) -> None:
    """Check that every weight file that is here is the official one."""
    folder = Workspace.here().weights
    here = [row for row in stored_files(folder) if row.size_bytes is not None]
    digests = {str(row.path): verify(folder, row) for row in here}
    tell(digests, [f"{path}  {digest}" for path, digest in digests.items()] or ["no weight files are here"], as_json=as_json)

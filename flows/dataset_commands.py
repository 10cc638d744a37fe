"""``talkhead export`` and ``talkhead import``: speakers as datasets in other programs' layouts, both ways."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from flows.command_output import JsonOption, tell
from flows.speaker_registration import Registration, consent_from_document, consent_from_statement, register
from flows.stage_display import StageDisplay
from flows.stage_runs import StageEvent, StageFailedError, run_task
from flows.workspace import Workspace
from talkhead_core.consent import Consent
from talkhead_core.errors import ConsentError, InputError
from talkhead_core.speakers import check_speaker_name

__all__ = ["export_command", "import_command", "recording_with_action_units"]


def export_command(
    speaker: Annotated[str, typer.Option(help="a prepared speaker")],
    out: Annotated[Path, typer.Option(help="a new folder")],
    layout: Annotated[str, typer.Option("--format", help="ad-nerf: the layout of AD-NeRF, ER-NeRF and SyncTalk")] = "ad-nerf",
    size: Annotated[int | None, typer.Option(help="side of the images in pixels; the clip's own by default")] = None,
    as_json: JsonOption = False,
) -> None:
    """Write a prepared speaker as a dataset that other programs train on."""
    if layout != "ad-nerf":
        raise typer.BadParameter(f"no format {layout!r}; there is ad-nerf", param_hint="'--format'")
    workspace = Workspace.here()
    arguments: list[str | Path] = [
        "--speaker",
        check_speaker_name(speaker),
        "--out",
        out.resolve(),
        *(["--size", str(size)] if size else []),
    ]
    with StageDisplay(["export_dataset"], quiet=as_json, lines=False) as display:
        try:
            told = json.loads(run_task(workspace, "export_dataset", arguments, display.show)[-1])
        except StageFailedError as error:
            raise InputError(str(error).removeprefix("export_dataset: ")) from error
    lines = [f"{out}: {told['frames']} frames, {told['posed_frames']} with a pose, {told['size_px']} px"]
    tell(told, [*lines, *(f"{name}: {what}" for name, what in told["files"].items())], as_json=as_json)


def import_command(
    folder: Annotated[Path, typer.Option("--dir", help="a dataset in the layout of AD-NeRF, ER-NeRF or SyncTalk")],
    speaker: Annotated[str | None, typer.Option(help="its name; the folder's by default")] = None,
    config: Annotated[str | None, typer.Option(help="architecture: a configuration of params.yaml")] = None,
    profile: Annotated[str | None, typer.Option(help="size and budget: a profile of params.yaml")] = None,
    consent: Annotated[Path | None, typer.Option(help="consent record in JSON, or a signed document")] = None,
    i_have_consent: Annotated[str | None, typer.Option(help='"who, what for"')] = None,
    replace: Annotated[bool, typer.Option(help="take the place of a known speaker of that name")] = False,
    as_json: JsonOption = False,
) -> None:
    """Take a dataset as a speaker, with its head poses; 'talkhead run --speaker NAME' then trains it."""
    workspace, name = Workspace.here(), check_speaker_name(speaker) if speaker else _speaker_of_folder(folder)
    if consent is None and i_have_consent is None:
        raise ConsentError(f'speaker {name!r} needs a consent record: give --consent FILE or --i-have-consent "who, what for"')

    def record() -> Consent:
        if consent is not None:
            return consent_from_document(consent, i_have_consent, name)
        return consent_from_statement(i_have_consent or "")

    with (
        StageDisplay(["import_dataset", "doctor"], quiet=as_json, lines=False) as display,
        _recording(workspace, folder, display.show) as (video, told),
    ):
        request = Registration(speaker=name, video=video, profile=profile, config=config, replace=replace)
        register(workspace, request, record, display.show)
    done = f"speaker {name}: {told['frames']} frames, {told['posed_frames']} with a pose; run 'talkhead run --speaker {name}'"
    tell({"speaker": name, **told}, [done], as_json=as_json)


@contextmanager
def _recording(workspace: Workspace, folder: Path, show: Callable[[StageEvent], None]) -> Iterator[tuple[Path, dict[str, Any]]]:
    """The dataset as one video that carries its poses, in a folder that is removed afterwards; and what was said of it."""
    workspace.private.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=workspace.private, prefix="import-") as scratch:
        video = Path(scratch) / "recording.mkv"
        try:
            lines = run_task(workspace, "import_dataset", ["--dir", folder.resolve(), "--out", video], show)
        except StageFailedError as error:
            raise InputError(str(error).removeprefix("import_dataset: ")) from error
        yield video, json.loads(lines[-1])


@contextmanager
def recording_with_action_units(workspace: Workspace, video: Path, csv: Path, show: Callable[[StageEvent], None]) -> Iterator[Path]:
    """``video`` as a recording that carries OpenFace's CSV, in a folder that is removed afterwards; the same again for the same files."""
    workspace.private.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=workspace.private, prefix="action-units-") as scratch:
        recording = Path(scratch) / "recording.mkv"
        try:
            run_task(workspace, "attach_action_units", ["--video", video.resolve(), "--csv", csv.resolve(), "--out", recording], show)
        except StageFailedError as error:
            raise InputError(str(error).removeprefix("attach_action_units: ")) from error
        yield recording


def _speaker_of_folder(folder: Path) -> str:
    name = re.sub(r"[^a-z0-9_-]+", "-", folder.resolve().name.lower()).strip("-_")
    if not name:
        raise InputError(f"{folder}: no speaker's name can be made of that; give --speaker NAME")
    return check_speaker_name(name)

"""``talkhead consent`` and ``talkhead forget``: what a person who was filmed may ask for."""

from __future__ import annotations

import sys
from dataclasses import replace
from datetime import UTC, datetime
from typing import Annotated

import typer

from flows.command_output import JsonOption, tell
from flows.forgetting import forget
from flows.workspace import Workspace
from talkhead_core.consent import read_consent, write_consent
from talkhead_core.errors import ConsentError, InputError
from talkhead_core.speakers import check_speaker_name

__all__ = ["consent_command", "forget_command"]

_Speaker = Annotated[str, typer.Option("--speaker", help="lower-case letters, digits, - and _")]


def consent_command(
    speaker: _Speaker,
    withdraw: Annotated[bool, typer.Option("--withdraw", help="from now on nothing is trained or dubbed with this speaker")] = False,
    as_json: JsonOption = False,
) -> None:
    """Show who agreed to what, or withdraw the agreement."""
    path = Workspace.here().stage_folder(check_speaker_name(speaker), "raw") / "consent.json"
    record = read_consent(path, speaker)
    if withdraw and record.withdrawn_on is None:
        record = replace(record, withdrawn_on=datetime.now(UTC).date().isoformat())
        write_consent(path, record)
    try:
        record.check(speaker)
        state = "holds"
    except ConsentError as error:
        state = str(error)
    shown = {name: value for name, value in record.as_json().items() if value is not None}
    tell(
        {**record.as_json(), "state": state}, [f"{name:<16} {value}" for name, value in {**shown, "state": state}.items()], as_json=as_json
    )


def forget_command(
    speaker: _Speaker,
    yes: Annotated[bool, typer.Option("--yes", help="do not ask")] = False,
    as_json: JsonOption = False,
) -> None:
    """Remove every artifact, cache object, remote copy, dub and record of a speaker, and show that they are gone."""
    workspace = Workspace.here()
    check_speaker_name(speaker)
    if not yes:
        if not sys.stdin.isatty():
            raise InputError(f"nobody can be asked here whether speaker {speaker!r} is to be forgotten; give --yes")
        typer.confirm(
            f"Remove everything of speaker {speaker!r}, here and in every DVC remote? This cannot be undone", err=True, abort=True
        )
    gone = forget(workspace, speaker)
    lines = [*(f"removed  {name}" for name in gone.files)]
    lines += [f"removed  {store}: {file}" for store, files in gone.objects.items() for file in files]
    lines += [f"kept     {digest}: another speaker's records name it too" for digest in gone.shared]
    lines += [f"changed  {path}: made of this speaker, and not as it was written; look at it yourself" for path in gone.changed]
    counts = f"{len(gone.files)} files and {sum(map(len, gone.objects.values()))} objects and records in {', '.join(gone.objects)}"
    lines += [f"speaker {speaker!r} is gone: {counts}; looked again, and nothing is left"]
    if (workspace.root / ".git").exists():
        lines += ["git's history still holds the name and the hashes in old versions of speakers.yaml and dvc.lock"]
    tell(vars(gone), lines, as_json=as_json)

"""``talkhead versions``: which model of a speaker dubs are made with, and going back to an earlier one."""

from __future__ import annotations

from typing import Annotated

import typer

from flows.command_output import JsonOption, tell
from flows.model_versions import add_version, kept_history, move_pointer
from flows.speaker_exchange import publish_speaker
from flows.version_workspace import make_version_workspace
from flows.workspace import Workspace
from talkhead_core.speakers import check_speaker_name, registered_speaker

__all__ = ["versions"]

versions = typer.Typer(help="Versions of a speaker's model: list, promote, roll back.", rich_markup_mode=None)

SpeakerOption = Annotated[str, typer.Option("--speaker", help="a registered speaker")]
_SHOWN = ("psnr_face", "lmd_px512")


@versions.command("list")
def list_versions(speaker: SpeakerOption, as_json: JsonOption = False) -> None:
    """List the versions of a speaker's model; the one in use is marked. Scores of two recordings do not compare."""
    workspace = Workspace.here()
    registered_speaker(workspace.speakers, check_speaker_name(speaker))
    history = kept_history(workspace, speaker)
    table, lines = [], []
    for version in history.versions:
        used = version.number == history.current
        scores = {name: version.scores[name] for name in _SHOWN if name in version.scores}
        kept = {name: getattr(version, name) for name in ("made_on", "reason", "recording_sha256")}
        table.append({"version": version.number, "in_use": used, "scores": scores, **kept})
        shown = "  ".join(f"{name} {value:.4g}" for name, value in scores.items())
        recording = f"recording {version.recording_sha256[:8]}"
        lines.append("  ".join([f"{'*' if used else ' '} {version.number:>3}", version.made_on, recording, shown, version.reason]))
    tell(table, lines, as_json=as_json)


@versions.command()
def promote(speaker: SpeakerOption, as_json: JsonOption = False) -> None:
    """Use what was trained last from now on, whatever it scores."""
    workspace = Workspace.here()
    registered_speaker(workspace.speakers, check_speaker_name(speaker))
    version = add_version(workspace, speaker, "promoted by hand")
    make_version_workspace(workspace, speaker, version)
    publish_speaker(workspace, speaker)
    tell({"speaker": speaker, "version": version.number}, [f"{speaker}: version {version.number} is in use"], as_json=as_json)


@versions.command()
def rollback(
    speaker: SpeakerOption,
    to: Annotated[int | None, typer.Option(help="a version; by default the one before the version in use")] = None,
    as_json: JsonOption = False,
) -> None:
    """Use an earlier version from now on; nothing is removed."""
    workspace = Workspace.here()
    registered_speaker(workspace.speakers, check_speaker_name(speaker))
    history = kept_history(workspace, speaker)
    version = history.before() if to is None else history.version(to)
    make_version_workspace(workspace, speaker, version)  # before the pointer moves: its artifacts may be gone
    move_pointer(workspace, speaker, version.number)
    publish_speaker(workspace, speaker)
    tell({"speaker": speaker, "version": version.number}, [f"{speaker}: version {version.number} is in use"], as_json=as_json)

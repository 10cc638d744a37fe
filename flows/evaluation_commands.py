"""``talkhead evaluate``, ``compare``, ``report``, ``index`` and ``tables``: figures and the pages that show them."""

from __future__ import annotations

import tempfile
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from flows.dvc_locks import kept_dvc_lock
from flows.run_checkout import check_out_run
from flows.stage_display import StageDisplay
from flows.stage_runs import reproduce
from flows.task_commands import existing_path, hand_over_to
from flows.workspace import Workspace
from talkhead_core.errors import InputError
from talkhead_core.speakers import check_speaker_name, registered_speaker

__all__ = ["add_evaluation_commands"]


class TableFormat(StrEnum):
    """How the papers' tables are written."""

    markdown = "markdown"
    latex = "latex"


def add_evaluation_commands(app: typer.Typer) -> None:
    """Register the commands of this module."""
    for name, command in (("evaluate", evaluate), ("compare", compare), ("report", report), ("index", index), ("tables", tables)):
        app.command(name)(command)


def evaluate(
    reference: Annotated[Path | None, typer.Option(help="the recording, or a folder of recordings")] = None,
    rendered: Annotated[Path | None, typer.Option(help="the video to score, or a folder with the same file names")] = None,
    speaker: Annotated[list[str] | None, typer.Option(help="a trained speaker: its held-out frames; may be given many times")] = None,
    audio: Annotated[Path | None, typer.Option(help="with --rendered alone: the speech that it was made from")] = None,
    reference_audio: Annotated[Path | None, typer.Option(help="clean speech, or a folder of it")] = None,
    enhanced_audio: Annotated[Path | None, typer.Option(help="speech to score, or a folder with the same file names")] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="write every figure to this file")] = None,
    csv: Annotated[Path | None, typer.Option(help="write one row a video and protocol to this file")] = None,
    per_frame: Annotated[Path | None, typer.Option(help="write one row a frame to this CSV file (one pair)")] = None,
    markdown: Annotated[Path | None, typer.Option(help="write the papers' tables with these figures to this file")] = None,
    latex: Annotated[Path | None, typer.Option(help="the same in LaTeX")] = None,
) -> None:
    """Score videos against their recordings, a dub by itself, trained speakers, or enhanced speech.

    --reference and --rendered: two videos of any size and rate, or two folders; aligned in time, the offset reported. Refused where
    their aspect ratios differ by more than 2 %: another cut-out of the picture.

    --rendered alone: a dub or a folder of dubs, to which there is no recording (with --audio and --speaker where known).

    --speaker: its held-out frames under every protocol, with the controls.

    --reference-audio and --enhanced-audio: speech quality.
    """
    files = _options(json=json_file, csv=csv, markdown=markdown, latex=latex)
    if per_frame and not (reference and rendered):
        raise typer.BadParameter("--per-frame goes with --reference and --rendered")
    if reference_audio or enhanced_audio:
        if not (reference_audio and enhanced_audio) or reference or rendered or speaker or audio:
            raise typer.BadParameter("--reference-audio and --enhanced-audio go together, and with nothing else to score")
        sounds = ["--reference-audio", str(existing_path(reference_audio)), "--enhanced-audio", str(existing_path(enhanced_audio))]
        hand_over_to("evaluate_speech", [*sounds, *files])
    elif reference:
        if not rendered or speaker or audio:
            raise typer.BadParameter("--reference goes with --rendered, and with nothing else to score")
        videos = ["--reference", str(existing_path(reference)), "--rendered", str(existing_path(rendered))]
        hand_over_to("evaluate_pair", [*videos, *_options(per_frame=per_frame), *files])
    elif rendered:
        if speaker and len(speaker) > 1:
            raise typer.BadParameter("a dub is of one --speaker")
        known = [*_options(audio=existing_path(audio) if audio else None), *(["--speaker", speaker[0]] if speaker else [])]
        hand_over_to("evaluate_dub", ["--rendered", str(existing_path(rendered)), *known, *files])
    elif speaker and not audio:
        for name in speaker:
            _bring_up_to_date(name, ["render", "evaluate"])
        hand_over_to("evaluate_speaker", [*(word for name in speaker for word in ("--speaker", name)), *files])
    else:
        raise typer.BadParameter("give --reference and --rendered, --rendered, --speaker, or --reference-audio and --enhanced-audio")


def compare(
    first: Annotated[str, typer.Argument(help="a speaker, SPEAKER@REVISION (a commit or an experiment of DVC), or a speaker's folder")],
    second: Annotated[str, typer.Argument(help="another, or the same at another revision")],
    out: Annotated[Path, typer.Option(help="the page to write")] = Path("out/compare.html"),
) -> None:
    """Write a page with two runs side by side: videos, paired differences, training, what differs in the parameters."""
    with tempfile.TemporaryDirectory(prefix="compare-") as scratch:
        runs = [_run_folder(name, Path(scratch) / side) for name, side in ((first, "first"), (second, "second"))]
        hand_over_to("compare_runs", [*runs, "--label", first, second, "--out", str(out.resolve())])


def report(
    speaker: Annotated[str | None, typer.Option(help="whose report; with --dub, whose dub")] = None,
    dub: Annotated[Path | None, typer.Option(help="write the page of this dub instead")] = None,
    audio: Annotated[Path | None, typer.Option(help="with --dub: the speech that it was made from")] = None,
    out: Annotated[Path | None, typer.Option(help="with --dub: the page; beside the dub by default")] = None,
) -> None:
    """Bring a speaker's report up to date and say where it is, or write the page of a dub."""
    if dub is not None:
        known = [*(["--speaker", speaker] if speaker else []), *_options(audio=existing_path(audio) if audio else None, out=out)]
        hand_over_to("report_dub", ["--video", str(existing_path(dub)), *known])
    elif speaker is None or audio or out:
        raise typer.BadParameter("give --speaker, or --dub with --audio, --speaker and --out as you like")
    else:
        _bring_up_to_date(speaker, ["render", "evaluate", "report"])
        typer.echo(str(Workspace.here().stage_folder(speaker, "report") / "report.html"))


def index(out: Annotated[Path | None, typer.Option(help="the page; out/index.html by default")] = None) -> None:
    """Write the page over all speakers and dubs."""
    hand_over_to("report_index", _options(out=out or Workspace.here().root / "out" / "index.html"))


def tables(
    speaker: Annotated[list[str] | None, typer.Option(help="an evaluated speaker; may be given many times")] = None,
    pairs: Annotated[Path | None, typer.Option(help="JSON that 'talkhead evaluate' wrote for a pair or a folder of pairs")] = None,
    speech: Annotated[Path | None, typer.Option(help="JSON that 'talkhead evaluate' wrote for speech")] = None,
    table: Annotated[list[str] | None, typer.Option(help="only this table, such as wildtalker-1; may be given many times")] = None,
    style: Annotated[TableFormat, typer.Option("--format", help="markdown or latex")] = TableFormat.markdown,
    out: Annotated[Path | None, typer.Option(help="write to this file instead of printing")] = None,
) -> None:
    """Print the papers' tables with our figures beside the published ones."""
    words = [word for option, values in (("--speaker", speaker), ("--table", table)) for value in values or [] for word in (option, value)]
    given = {"pairs": existing_path(pairs) if pairs else None, "speech": existing_path(speech) if speech else None, "out": out}
    hand_over_to("paper_tables", [*words, *_options(**given), "--format", style.value])


def _run_folder(name: str, scratch: Path) -> str:
    """A run as the task takes it: a folder, or the speaker's own name; a revision is checked out first."""
    speaker, at, revision = name.partition("@")
    if not at or "/" in speaker:
        return str(existing_path(Path(name))) if "/" in name else name
    scratch.mkdir()
    return str(check_out_run(Workspace.here(), check_speaker_name(speaker), revision, scratch))


def _options(**paths: Path | None) -> list[str]:
    """``--name PATH`` for each path that was given, made absolute: tasks work in the workspace."""
    given = ((f"--{name.replace('_', '-')}", path) for name, path in paths.items())
    return [word for option, path in given if path is not None for word in (option, str(path.resolve()))]


def _bring_up_to_date(speaker: str, stages: list[str]) -> None:
    """Run those of ``stages`` that are not up to date, but train nothing."""
    workspace = Workspace.here()
    registered_speaker(workspace.speakers, check_speaker_name(speaker))
    if not (workspace.stage_folder(speaker, "train_torso") / "model.safetensors").is_file():
        raise InputError(f"speaker {speaker!r} is not trained yet; run 'talkhead run --speaker {speaker}'")
    busy = f"another talkhead is at work on speaker {speaker!r}; wait for it to end"
    with StageDisplay(stages, lines=False) as display, workspace.locked(f"run-{speaker}", refuse=busy), kept_dvc_lock(workspace):
        for event in reproduce(workspace, speaker, stages, alone=True):
            display.show(event)

"""The command ``talkhead``: thin, scriptable; stages and dubs run as processes, so nothing heavy is loaded here."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any

import typer

from flows.command_output import JsonOption, tell
from flows.consent_commands import consent_command, forget_command
from flows.dataset_commands import export_command, import_command, recording_with_action_units
from flows.demo_speaker import DEMO_PROFILE, DEMO_SPEAKER, demo_speech, make_demo_speaker
from flows.dub_process import DubProcess
from flows.dubbing import DubFrame, dub, dub_all, dub_if_changed, read_manifest
from flows.evaluation_commands import add_evaluation_commands
from flows.model_commands import CommercialSafeOption, models, refuse_non_commercial
from flows.model_versions import add_version, read_history
from flows.speaker_registration import Registration, consent_from_document, consent_from_statement, register
from flows.speaker_runs import bring_up_to_date
from flows.stage_display import StageDisplay
from flows.stage_graph import read_stage_graph
from flows.stage_status import speaker_status
from flows.store_commands import store
from flows.task_commands import existing_file, hand_over_to
from flows.training_commands import train_denoiser_command
from flows.version_commands import versions
from flows.version_workspace import make_version_workspace
from flows.workspace import Workspace
from talkhead_core.consent import Consent
from talkhead_core.errors import ConsentError, InputError, TalkheadError, said_of_the_system
from talkhead_core.speakers import check_speaker_name

__all__ = ["app", "main"]

app = typer.Typer(
    name="talkhead",
    help="A portrait video of a speaker and any speech become a new video of that speaker saying it.",
    rich_markup_mode=None,
    add_completion=False,
    pretty_exceptions_enable=False,
)

app.add_typer(models, name="models")
app.command("export")(export_command)
app.command("import")(import_command)
app.command("consent")(consent_command)
app.command("forget")(forget_command)
app.command("train-denoiser")(train_denoiser_command)
app.add_typer(store, name="store")
app.add_typer(versions, name="versions")

_INTERRUPTED = 130  # what shells and typer call a Ctrl-C
_USAGE_ERROR: Any = typer.BadParameter.__mro__[1]  # the base of all usage errors, which typer does not export

SpeakerOption = Annotated[str, typer.Option("--speaker", help="lower-case letters, digits, - and _")]
FrameOption = Annotated[
    DubFrame | None, typer.Option("--frame", help="what dubs show: crop, or full, pasted back into the source frame; by params.yaml")
]


def main() -> None:
    """Entry point: errors for people are one line on stderr and exit code 1; bad usage exits with 2."""
    debug = "--debug" in sys.argv
    arguments = [argument for argument in sys.argv[1:] if argument != "--debug"]
    try:
        code = app(args=arguments, prog_name="talkhead", standalone_mode=False)
    except _USAGE_ERROR as error:
        path = error.ctx.command_path if error.ctx is not None else "talkhead"
        sys.stderr.write(f"talkhead: {' '.join(error.format_message().split()).rstrip('.')}; see '{path} --help'\n")
        raise SystemExit(2) from None
    except (TalkheadError, OSError, MemoryError) as error:
        line = str(error) if isinstance(error, TalkheadError) else said_of_the_system(error)
        if debug or line is None:
            raise
        sys.stderr.write(f"talkhead: {' '.join(line.split())}\n")
        raise SystemExit(1) from None
    except (KeyboardInterrupt, typer.Abort):
        code = _INTERRUPTED
    if code == _INTERRUPTED:
        sys.stderr.write("talkhead: stopped; the same command picks up where it stood\n")
    raise SystemExit(code)


@app.callback(invoke_without_command=True)
def _options(
    context: typer.Context, debug: Annotated[bool, typer.Option("--debug", help="show tracebacks (may stand anywhere)")] = False
) -> None:
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


@app.command()
def doctor(
    video: Annotated[Path | None, typer.Option(help="footage to check; without it, the installation is checked")] = None,
    as_json: JsonOption = False,
) -> None:
    """Check the installation, or whether footage can be trained on, and say what to do."""
    arguments = ["--video", str(existing_file(video).resolve())] if video is not None else []
    hand_over_to("doctor", [*arguments, *(["--json"] if as_json else [])])


@app.command()
def demo(
    profile: Annotated[str, typer.Option(help="size and budget: a profile of params.yaml")] = DEMO_PROFILE,
    config: Annotated[str | None, typer.Option(help="architecture: a configuration of params.yaml")] = None,
    out: Annotated[Path | None, typer.Option(help="where the dub goes; out/demo by default")] = None,
    as_json: JsonOption = False,
) -> None:
    """Make the demo speaker, run everything, and print where the dubbed video and the report are."""
    workspace = Workspace.here()
    with StageDisplay(["make_demo", *_steps(workspace), "dub"], quiet=as_json) as display:
        make_demo_speaker(workspace, profile, config, display.show)
        dubs = _bring_up_to_date(workspace, DEMO_SPEAKER, [demo_speech(workspace)], out, display)
    _tell_results(workspace, DEMO_SPEAKER, dubs, as_json=as_json)


@app.command()
def run(
    speaker: SpeakerOption,
    video: Annotated[Path | None, typer.Option(help="portrait video; may be left out once the speaker is registered")] = None,
    audio: Annotated[list[Path] | None, typer.Option(help="speech to dub; may be given many times")] = None,
    config: Annotated[str | None, typer.Option(help="architecture: a configuration of params.yaml")] = None,
    profile: Annotated[str | None, typer.Option(help="size and budget: a profile of params.yaml")] = None,
    out: Annotated[Path | None, typer.Option(help="where the dubs go; out/SPEAKER by default")] = None,
    frame: FrameOption = None,
    consent: Annotated[Path | None, typer.Option(help="consent record in JSON, or a signed document")] = None,
    i_have_consent: Annotated[str | None, typer.Option(help='"who, what for"')] = None,
    consent_until: Annotated[str | None, typer.Option(help="the last day it holds, such as 2030-01-31")] = None,
    action_units: Annotated[Path | None, typer.Option(help="OpenFace's CSV of --video, which the speaker then carries")] = None,
    replace: Annotated[bool, typer.Option(help="train a known speaker anew on another video")] = False,
    commercial_safe: CommercialSafeOption = False,
    as_json: JsonOption = False,
) -> None:
    """Register a speaker, train, evaluate and report, and dub each audio."""
    workspace = Workspace.here()
    check_speaker_name(speaker)
    audios = audio or []
    for path in audios:
        existing_file(path)
    if action_units is not None and video is None:
        raise InputError("--action-units goes with --video: they are stored together")
    with StageDisplay(["doctor"], quiet=as_json, lines=False) as display, ExitStack() as scratch:
        if action_units is not None and video is not None:
            carrying = recording_with_action_units(workspace, existing_file(video), existing_file(action_units), display.show)
            video = scratch.enter_context(carrying)
        source = _consent_source(workspace, speaker, consent, i_have_consent, consent_until, display)
        request = Registration(speaker=speaker, video=video, profile=profile, config=config, replace=replace)
        register(workspace, request, source, display.show)
    if commercial_safe:
        refuse_non_commercial(workspace, [speaker])
    with StageDisplay([*_steps(workspace), *(["dub"] if audios else [])], quiet=as_json) as display:
        dubs = _bring_up_to_date(workspace, speaker, audios, out, display, _frame_options(frame))
    _tell_results(workspace, speaker, dubs, as_json=as_json)


@app.command("dub")
def dub_command(
    speaker: Annotated[str | None, typer.Option(help="a trained speaker")] = None,
    audio: Annotated[Path | None, typer.Option(help="the speech")] = None,
    out: Annotated[Path | None, typer.Option(help="the video to write, or with --manifest the folder")] = None,
    manifest: Annotated[Path | None, typer.Option(help="CSV with the columns speaker, audio, out")] = None,
    frame: FrameOption = None,
    commercial_safe: CommercialSafeOption = False,
    no_credentials: Annotated[bool, typer.Option("--no-credentials", help="do not sign; this is recorded")] = False,
    no_watermark: Annotated[bool, typer.Option("--no-watermark", help="leave the invisible mark out; this is recorded")] = False,
    as_json: JsonOption = False,
) -> None:
    """Dub with a trained speaker: one audio, or many by a manifest."""
    workspace = Workspace.here()
    options = _frame_options(frame)
    options += ["--no-credentials"] * no_credentials + ["--no-watermark"] * no_watermark
    if manifest is not None:
        if out is None or speaker is not None or audio is not None:
            raise typer.BadParameter("--manifest takes --out DIR, --frame and nothing else")
        rows = read_manifest(manifest, out)
        if commercial_safe:
            refuse_non_commercial(workspace, [row.speaker for row in rows])
        with StageDisplay([], quiet=as_json) as display:
            results = dub_all(workspace, rows, display.show, options)
        failed = [result for result in results if result.error]
        listed = [{"speaker": r.speaker, "audio": str(r.audio), "out": str(r.out), "error": r.error} for r in results]
        tell({"dubs": listed}, [f"{r.out}  {r.error or 'ok'}" for r in results], as_json=as_json)
        if failed:
            raise TalkheadError(f"{len(failed)} of {len(results)} dubs failed; the same command makes only those again")
        return
    if speaker is None or audio is None or out is None:
        raise typer.BadParameter("give --speaker, --audio and --out, or --manifest and --out")
    if commercial_safe:
        refuse_non_commercial(workspace, [check_speaker_name(speaker)])
    with StageDisplay(["dub", "report_dub"], quiet=as_json, lines=False) as display:
        dub(workspace, check_speaker_name(speaker), audio, out, display.show, options)
    page = out.with_suffix(".html")
    tell({"video": str(out), "report": str(page) if page.is_file() else None}, [str(out)], as_json=as_json)


@app.command()
def denoise(
    source: Annotated[Path, typer.Argument(help="noisy speech")],
    target: Annotated[Path, typer.Argument(help="the WAV to write")],
    method: Annotated[str, typer.Option(help="a denoiser, auto or none")] = "auto",
    as_json: JsonOption = False,
) -> None:
    """Remove the background noise from one file."""
    arguments = [str(existing_file(source).resolve()), str(target.resolve()), "--method", method]
    hand_over_to("denoise_file", [*arguments, *(["--json"] if as_json else [])])


add_evaluation_commands(app)


@app.command()
def verify(
    file: Annotated[Path, typer.Argument(help="a video, or a report of talkhead")],
    trust: Annotated[Path | None, typer.Option(help="root certificates to trust, in PEM; the workspace's own are trusted anyway")] = None,
    as_json: JsonOption = False,
) -> None:
    """Say where a video comes from: its credentials, and the invisible mark; 1 when nothing says so or it was changed."""
    arguments = [str(existing_file(file).resolve()), *(["--trust", str(existing_file(trust).resolve())] if trust is not None else [])]
    hand_over_to("verify", [*arguments, *(["--json"] if as_json else [])])


@app.command()
def stages(as_json: JsonOption = False) -> None:
    """List the stages of the graph and what each waits for."""
    nodes = read_stage_graph(Workspace.here().root)
    table = [{"stage": n.name, "after": list(n.upstream), "kind": n.kind, "does": n.description} for n in nodes]
    tell(table, [f"{n.name:<16} {n.description}\n{'':<16} after: {', '.join(n.upstream) or '-'}" for n in nodes], as_json=as_json)


@app.command()
def status(speaker: SpeakerOption, as_json: JsonOption = False) -> None:
    """Say which stages are up to date, and which would run and why."""
    rows = speaker_status(Workspace.here(), check_speaker_name(speaker))
    table = [{"stage": row.stage, "up_to_date": row.up_to_date, "reasons": list(row.reasons)} for row in rows]
    lines = [f"{row.stage:<16} {'up to date' if row.up_to_date else 'would run: ' + '; '.join(row.reasons)}" for row in rows]
    tell(table, lines, as_json=as_json)


def _frame_options(frame: DubFrame | None) -> list[str]:
    return ["--frame", frame.value] if frame else []


def _bring_up_to_date(
    workspace: Workspace, speaker: str, audios: list[Path], out: Path | None, display: StageDisplay, options: Sequence[str] = ()
) -> list[Path]:
    targets = _dub_targets(audios, out or workspace.root / "out" / speaker)
    bring_up_to_date(workspace, speaker, display.show)
    if read_history(workspace, speaker) is not None:  # who runs it by hand wants what it makes
        make_version_workspace(workspace, speaker, add_version(workspace, speaker, "talkhead run"))
    with DubProcess() as process:
        for audio, target in targets:
            dub_if_changed(workspace, speaker, audio, target, display.show, options, process=process)
    return [target for _, target in targets]


def _tell_results(workspace: Workspace, speaker: str, dubs: list[Path], *, as_json: bool) -> None:
    report = workspace.stage_folder(speaker, "report") / "report.html"
    result = {"speaker": speaker, "report": str(report), "dubs": [str(path) for path in dubs]}
    tell(result, [*(f"video   {path}" for path in dubs), f"report  {report}"], as_json=as_json)


def _dub_targets(audios: list[Path], folder: Path) -> list[tuple[Path, Path]]:
    """One MP4 per audio, named after it; a number is added where two audios share a name."""
    taken: set[str] = set()
    targets = []
    for audio in audios:
        stem, count = audio.stem, 1
        while stem in taken:
            count += 1
            stem = f"{audio.stem}-{count}"
        taken.add(stem)
        targets.append((audio, folder / f"{stem}.mp4"))
    return targets


def _steps(workspace: Workspace) -> list[str]:
    return [node.name for node in read_stage_graph(workspace.root)]


def _consent_source(
    workspace: Workspace, speaker: str, document: Path | None, statement: str | None, until: str | None, display: StageDisplay
) -> Callable[[], Consent] | None:
    """Where a consent record is to come from: the options, the record there is (None), or a question to the person."""
    if document is not None:
        return lambda: consent_from_document(document, statement, speaker, until=until)
    if statement is not None:
        return lambda: consent_from_statement(statement, until=until)
    if until is not None:
        raise InputError("--consent-until goes with --consent or --i-have-consent")
    if (workspace.stage_folder(speaker, "raw") / "consent.json").is_file() or not sys.stdin.isatty():
        return None
    return lambda: _ask_consent(speaker, display)


def _ask_consent(speaker: str, display: StageDisplay) -> Consent:
    with display.paused():
        typer.echo(f"Nobody is trained without having agreed. This is asked once and kept with speaker {speaker!r}.", err=True)
        who = typer.prompt("Who is shown and has agreed", err=True).strip()
        purpose = typer.prompt("What may the videos be made for", err=True).strip()
        until = typer.prompt("Until which day, such as 2030-01-31 (nothing: until withdrawn)", default="", show_default=False, err=True)
        agreed = typer.confirm(f"{who} has agreed to that", err=True)
    if not agreed:
        raise ConsentError(f"speaker {speaker!r} needs the consent of the person shown")
    return consent_from_statement(f"{who.replace(',', ' ')}, {purpose}", until=until.strip() or None)


if __name__ == "__main__":
    main()

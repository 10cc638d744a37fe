"""Dubs: one, those that a run asks for, and a batch from a manifest."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from flows.dub_process import DubProcess, DubSource
from flows.manifest import inside_folder, manifest_lines
from flows.model_versions import is_trained, read_history, trained_outputs
from flows.stage_runs import Outcome, StageEvent
from flows.version_workspace import workspace_in_use
from flows.workspace import Workspace
from talkhead_core.artifacts import read_json, write_json
from talkhead_core.consent import read_consent
from talkhead_core.errors import InputError, TalkheadError
from talkhead_core.speakers import registered_speaker

__all__ = ["DubFrame", "DubResult", "ManifestRow", "dub", "dub_all", "dub_if_changed", "dub_signature", "read_manifest"]


class DubFrame(StrEnum):
    """What a dub shows: the square around head and torso, or the whole source frame with it pasted back."""

    crop = "crop"
    full = "full"


@dataclass(frozen=True, kw_only=True)
class ManifestRow:
    """One dub of a batch."""

    speaker: str
    audio: Path
    out: Path


@dataclass(frozen=True, kw_only=True)
class DubResult:
    """What became of one dub; ``error`` is None when the video is there."""

    speaker: str
    audio: Path
    out: Path
    error: str | None = None


def dub(
    workspace: Workspace,
    speaker: str,
    audio: Path,
    out: Path,
    show: Callable[[StageEvent], None],
    options: Sequence[str] = (),
    *,
    timeout_s: float | None = None,
    process: DubProcess | None = None,
) -> None:
    """Make the speaker say ``audio``, with the model version in use, and write the dub's page beside it.

    Args:
        workspace: where.
        speaker: a trained speaker.
        audio: the speech.
        out: the video to write.
        show: called with every event.
        options: of ``tasks.dub_requests``.
        timeout_s: the longest that the dub may take; None: for ever.
        process: where to work, for one dub after another; one of its own by default.

    Raises:
        TalkheadError: the speaker is not trained or has not agreed, or the dub failed.
    """
    registered_speaker(workspace.speakers, speaker)
    read_consent(workspace.stage_folder(speaker, "raw") / "consent.json", speaker).check(speaker)
    if not audio.is_file():
        raise InputError(f"{audio}: {'is not a file' if audio.exists() else 'does not exist'}; give a sound file")
    place, _ = workspace_in_use(workspace, speaker)
    if not is_trained(place, speaker):
        raise InputError(f"speaker {speaker!r} is not trained yet; run 'talkhead run --speaker {speaker}'")
    signature = _source_signature(workspace, speaker, options)
    source = DubSource(root=place.root, speaker=speaker, options=tuple(options), signature=signature)
    with ExitStack() as stack:
        at_work = process or stack.enter_context(DubProcess())
        at_work.dub(source, audio, out, show, timeout_s=timeout_s)


def dub_if_changed(
    workspace: Workspace,
    speaker: str,
    audio: Path,
    out: Path,
    show: Callable[[StageEvent], None],
    options: Sequence[str] = (),
    *,
    timeout_s: float | None = None,
    process: DubProcess | None = None,
) -> None:
    """As :func:`dub`, but leave ``out`` alone when it was made from the same speech, model, parameters, options and code."""
    record = workspace.private / "dubs" / f"{hashlib.sha256(str(out.resolve()).encode()).hexdigest()[:24]}.json"
    signature = dub_signature(workspace, speaker, audio, options) if audio.is_file() else ""
    if out.is_file() and record.is_file() and read_json(record) == {"signature": signature, "out_sha256": _sha256(out)}:
        show(StageEvent(stage="dub", outcome=Outcome.UNCHANGED))
        return
    dub(workspace, speaker, audio, out, show, options, timeout_s=timeout_s, process=process)
    write_json(record, {"signature": signature, "out_sha256": _sha256(out)})


def read_manifest(manifest: Path, folder: Path) -> list[ManifestRow]:
    """The rows of a CSV with the columns ``speaker``, ``audio`` (relative to the manifest) and ``out`` (inside ``folder``).

    Raises:
        InputError: not such a CSV; the message names the line.
    """
    try:
        content = manifest.read_bytes()
    except OSError as error:
        raise InputError(f"{manifest}: cannot be read as a CSV manifest ({error})") from error
    rows = [
        ManifestRow(speaker=line.speaker, audio=manifest.parent / line.audio, out=inside_folder(folder, line.out))
        for line in manifest_lines(content, str(manifest))
    ]
    if len({row.out for row in rows}) < len(rows):
        raise InputError(f"{manifest}: two rows write the same file; give each row its own 'out'")
    return rows


def dub_signature(workspace: Workspace, speaker: str, audio: Path, options: Sequence[str] = ()) -> str:
    """A hash of all that a dub is made from: speech, model in use, parameters, options and code; the same on every machine."""
    made_from = _source_signature(workspace, speaker, options)
    return hashlib.sha256(f"{made_from} {_sha256(audio)}".encode()).hexdigest()  # not its name, which differs between machines


def _source_signature(workspace: Workspace, speaker: str, options: Sequence[str]) -> str:
    """All of it but the speech."""
    history = read_history(workspace, speaker)
    version = history.version() if history else None
    outputs = version.outputs if version else trained_outputs(workspace, speaker)
    digest = hashlib.sha256(repr((sorted(outputs.items()), version.params if version else "", list(options))).encode())
    code = [
        *sorted((workspace.root / "talkhead_core").rglob("*.py")),
        *(workspace.root / "tasks" / name for name in ("dub.py", "provenance.py")),
    ]
    raw = workspace.stage_folder(speaker, "raw") / "consent.json"
    for path in [workspace.params, raw, *code]:
        digest.update(f"{path.name} {_sha256(path)}\n".encode() if path.is_file() else b"missing\n")
    return digest.hexdigest()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def dub_all(
    workspace: Workspace, rows: list[ManifestRow], show: Callable[[StageEvent], None], options: Sequence[str] = ()
) -> list[DubResult]:
    """Every row, those of one speaker after one another in one process; one that fails leaves the others alone.

    Returns:
        A result for each row, in the rows' order.
    """
    turn = {speaker: place for place, speaker in enumerate(dict.fromkeys(row.speaker for row in rows))}
    errors: dict[Path, str] = {}
    with DubProcess() as process:
        for row in sorted(rows, key=lambda row: turn[row.speaker]):
            try:
                dub_if_changed(workspace, row.speaker, row.audio, row.out, show, options, process=process)
            except TalkheadError as failure:
                errors[row.out] = str(failure)
    return [DubResult(speaker=row.speaker, audio=row.audio, out=row.out, error=errors.get(row.out)) for row in rows]

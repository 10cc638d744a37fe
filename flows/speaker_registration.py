"""Registering a speaker: everything is checked before anything is written."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from flows.stage_runs import StageEvent, StageFailedError, run_task
from flows.workspace import Workspace
from talkhead_core.artifacts import whole_file
from talkhead_core.consent import Consent, read_consent, statement_hash, write_consent
from talkhead_core.errors import ConsentError, FootageError, InputError, ParameterError
from talkhead_core.speakers import Speaker, check_speaker_name, read_speakers, read_yaml, write_speakers

__all__ = ["Registration", "consent_from_document", "consent_from_statement", "register"]

DEFAULT_PROFILE = "cpu"
DEFAULT_CONFIG = "talkhead"


@dataclass(frozen=True, kw_only=True)
class Registration:
    """What a user asks to be registered.

    Args:
        speaker: the name.
        video: the raw video; None for a speaker that is registered already.
        profile: a key of ``profiles`` in ``params.yaml``; None keeps the speaker's, or takes ``cpu``.
        config: a key of ``configs`` in ``params.yaml``; None keeps the speaker's, or takes ``talkhead``.
        replace: a different video under a known name takes the old one's place.
        examine: run the footage doctor first; the stage ``ingest`` does it again in any case.
    """

    speaker: str
    video: Path | None
    profile: str | None = None
    config: str | None = None
    replace: bool = False
    examine: bool = True


def register(
    workspace: Workspace, request: Registration, ask_consent: Callable[[], Consent] | None, show: Callable[[StageEvent], None]
) -> Speaker:
    """Register the speaker, or bring the entry up to date; writes nothing when anything is wrong.

    Args:
        workspace: where.
        request: what.
        ask_consent: called for a record, also to replace the one there is; None when nobody can be asked.
        show: called while the footage is checked.

    Returns:
        The speaker as registered.

    Raises:
        InputError: the name, profile, configuration or video cannot be used.
        ConsentError: no consent record was given.
    """
    name = check_speaker_name(request.speaker)
    known = read_speakers(workspace.speakers).get(name)
    chosen = _chosen(workspace, request, known)
    consent_path = workspace.stage_folder(name, "raw") / "consent.json"
    new_video = request.video is not None and not _is_registered_video(workspace, request, known)
    if new_video and ask_consent is None:
        raise ConsentError(f'speaker {name!r} needs a consent record: give --consent FILE or --i-have-consent "who, what for"')
    if new_video and request.video is not None and request.examine:
        check_footage(workspace, request.video, show)
    consent = ask_consent() if ask_consent is not None else read_consent(consent_path, name)
    consent.check(name)
    if new_video and request.video is not None:
        with whole_file(workspace.root / chosen.video) as temporary:
            shutil.copyfile(request.video, temporary)
    if not consent_path.exists() or read_consent(consent_path, name) != consent:
        write_consent(consent_path, consent)
    with workspace.locked("speakers"):
        speakers = read_speakers(workspace.speakers)
        if speakers.get(name) != chosen:
            write_speakers(workspace.speakers, {**speakers, name: chosen})
    return chosen


def check_footage(workspace: Workspace, video: Path, show: Callable[[StageEvent], None]) -> None:
    """Run the footage doctor on ``video`` in a process of its own.

    Raises:
        InputError: it cannot be used; the message is the doctor's.
    """
    try:
        run_task(workspace, "doctor", ["--video", video.resolve(), "--progress"], show)
    except StageFailedError as error:
        raise InputError(str(error).removeprefix("doctor: ")) from error


def consent_from_statement(statement: str, *, until: str | None = None, synthetic: bool = False) -> Consent:
    """A record from ``"who, what for"`` as typed on the command line, and the last day it holds.

    Raises:
        ConsentError: it does not name both.
        ParameterError: ``until`` is no date.
    """
    who, comma, purpose = (part.strip() for part in statement.partition(","))
    if not (who and comma and purpose):
        raise ConsentError('say who agreed and what for, with a comma between, such as "Ada Lovelace, product videos in 2030"')
    return Consent(
        who=who, purpose=purpose, given_on=_today(), statement_sha256=statement_hash(statement), until=until, synthetic=synthetic
    )


def consent_from_document(document: Path, statement: str | None, speaker: str, *, until: str | None = None) -> Consent:
    """A record from a file: either a record in JSON, or any signed document together with ``"who, what for"``.

    Raises:
        ConsentError: neither.
    """
    try:
        content = document.read_bytes()
    except OSError as error:
        raise ConsentError(f"{document}: cannot be read ({error.strerror})") from error
    if statement is not None:
        return replace(consent_from_statement(statement, until=until), statement_sha256=statement_hash(content))
    try:
        json.loads(content)
    except ValueError as error:
        raise ConsentError(f'{document} is no JSON record: give --i-have-consent "who, what for" with a signed document') from error
    record = read_consent(document, speaker)
    return record if until is None else replace(record, until=until)


def _chosen(workspace: Workspace, request: Registration, known: Speaker | None) -> Speaker:
    name, video = request.speaker, request.video
    if video is not None and not video.is_file():
        raise FootageError(video, "is not a file" if video.exists() else "does not exist", "give the path of a video file")
    if known is None and video is None:
        raise InputError(f"speaker {name!r} is not registered; give --video FILE")
    if known is None:
        assert video is not None
        known = Speaker(video=f"data/{name}/raw/video{video.suffix.lower()}", profile=DEFAULT_PROFILE, config=DEFAULT_CONFIG)
    elif video is not None and not _is_registered_video(workspace, request, known):
        if (workspace.root / known.video).exists() and not request.replace:
            raise InputError(
                f"speaker {name!r} is registered with another video; choose another name, or --replace to train anew on {video}"
            )
        known = replace(known, video=f"data/{name}/raw/video{video.suffix.lower()}")
    params = read_yaml(workspace.params)
    chosen = replace(known, profile=request.profile or known.profile, config=request.config or known.config)
    for kind, choice in (("profile", chosen.profile), ("config", chosen.config)):
        if choice not in params[f"{kind}s"]:
            raise ParameterError(f"no {kind} called {choice!r}; choose one of {', '.join(params[f'{kind}s'])}")
    return chosen


def _is_registered_video(workspace: Workspace, request: Registration, known: Speaker | None) -> bool:
    if known is None or request.video is None:
        return False
    registered = workspace.root / known.video
    if not registered.is_file() or registered.stat().st_size != request.video.stat().st_size:
        return False
    return registered.samefile(request.video) or _sha256(registered) == _sha256(request.video)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _today() -> str:
    return datetime.now(UTC).date().isoformat()

"""Registered speakers on their way between the control workspace and the machines, through the shared store.

The control workspace publishes; a machine takes what it needs, when it begins. The consent record goes first and is taken anew
each time, so that a withdrawal reaches every machine with its next run.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from pathlib import Path, PurePosixPath

from flows.model_versions import history_file
from flows.object_store import ObjectUri
from flows.object_transfer import download_if_changed, upload
from flows.store_settings import SharedStore, shared_store
from flows.workspace import Workspace
from talkhead_core.artifacts import write_text
from talkhead_core.errors import InputError
from talkhead_core.speakers import Speaker, check_speaker_name, read_speakers, registered_speaker, write_speakers

__all__ = ["fetch_speaker", "publish_report", "publish_speaker", "shared_objects", "withdraw_speaker"]

# every DVC command first resolves the stages of all registered speakers, 0.035 s each: a machine knows only its latest
_MOST_SPEAKERS = 8


def publish_speaker(workspace: Workspace, name: str) -> None:
    """Put the registration of ``name`` where the machines find it; does nothing on a machine, or without a store.

    Raises:
        TalkheadError: the speaker is not registered, or the store refuses.
    """
    shared = shared_store(workspace)
    if shared is None or shared.machine:
        return
    speaker = registered_speaker(workspace.speakers, name)
    folder, video = shared.speakers / name, workspace.root / speaker.video
    raw = workspace.stage_folder(name, "raw")
    upload(shared.store, raw / "consent.json", folder / "consent.json")
    recording = f"{_sha256(video)}{video.suffix}"
    upload(shared.store, video, folder / "recordings" / recording)
    history = history_file(workspace, name)
    if history.is_file():
        upload(shared.store, history, folder / "history.json")
    shared.store.write(folder / "speaker.json", json.dumps({**asdict(speaker), "recording": recording}).encode())


def fetch_speaker(workspace: Workspace, name: str) -> None:
    """Bring this machine's registration of ``name`` to what the control workspace published; nothing in the control workspace.

    Raises:
        InputError: nobody published this speaker.
        TalkheadError: the store refuses.
    """
    shared = shared_store(workspace)
    if shared is None or not shared.machine:
        return
    check_speaker_name(name)
    folder = shared.speakers / name
    record = shared.store.read(folder / "speaker.json")
    if record is None:
        raise InputError(f"speaker {name!r} is not in {shared.speakers}; start the run from the control workspace")
    entry = dict(json.loads(record))
    recording = folder / "recordings" / str(entry.pop("recording"))
    speaker = Speaker(**entry)
    if PurePosixPath(speaker.video).parts[:2] != ("data", name):  # whoever writes to the store must not choose what is overwritten here
        raise InputError(f"speaker {name!r}: its video {speaker.video!r} lies outside data/{name}; publish it again")
    raw = workspace.stage_folder(name, "raw")
    _take(shared, folder / "consent.json", raw / "consent.json")
    video = workspace.root / speaker.video
    download_if_changed(shared.store, recording, video)
    _take(shared, folder / "history.json", history_file(workspace, name))
    with workspace.locked("speakers"):
        others = [item for item in read_speakers(workspace.speakers).items() if item[0] != name]
        write_speakers(workspace.speakers, dict([*others[1 - _MOST_SPEAKERS :], (name, speaker)]))


def publish_report(workspace: Workspace, name: str) -> ObjectUri | None:
    """Put the report on ``name`` where people find it by name, in the shared store; None without one.

    Raises:
        TalkheadError: the store refuses.
    """
    shared = shared_store(workspace)
    if shared is None:
        return None
    uri = shared.address / "reports" / name / "report.html"
    upload(shared.store, workspace.stage_folder(name, "report") / "report.html", uri)
    return uri


def shared_objects(workspace: Workspace, name: str) -> list[ObjectUri]:
    """What the shared store holds under this speaker's name, beside DVC's own objects.

    Raises:
        TalkheadError: the store does not answer.
    """
    shared = shared_store(workspace)
    if shared is None:
        return []
    places = (shared.speakers / name, shared.runs / name, shared.address / "dubs" / name, shared.address / "reports" / name)
    return [info.uri for place in places for info in shared.store.list(place)]


def withdraw_speaker(workspace: Workspace, name: str) -> list[str]:
    """Remove all of that from the store, so that no machine takes the speaker any more; gives the addresses.

    Raises:
        TalkheadError: the store refuses.
    """
    shared = shared_store(workspace)
    if shared is None:
        return []
    doomed = shared_objects(workspace, name)
    for uri in doomed:
        shared.store.remove(uri)
    return [str(uri) for uri in doomed]


def _take(shared: SharedStore, uri: ObjectUri, path: Path) -> None:
    """Make ``path`` what the control workspace has, also when that is nothing."""
    content = shared.store.read(uri)
    if content is None:
        path.unlink(missing_ok=True)
    elif not path.is_file() or path.read_bytes() != content:
        write_text(path, content.decode())


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

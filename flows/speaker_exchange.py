"""Registered speakers on their way between the control workspace and the machines, through the shared store.

The control workspace publishes; a machine takes what it needs, when it begins. The consent record goes first and is taken anew
each time, so that a withdrawal reaches every machine with its next run.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from pathlib import Path

from flows.object_store import ObjectUri
from flows.object_transfer import download, upload
from flows.store_settings import SharedStore, shared_store
from flows.workspace import Workspace
from talkhead_core.artifacts import write_text
from talkhead_core.errors import InputError
from talkhead_core.speakers import Speaker, check_speaker_name, read_speakers, registered_speaker, write_speakers

__all__ = ["fetch_speaker", "publish_speaker"]


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
    upload(shared.store, video, folder / video.name)
    versions = workspace.root / "data" / name / "versions.json"
    if versions.is_file():
        upload(shared.store, versions, folder / "versions.json")
    shared.store.write(folder / "speaker.json", json.dumps(asdict(speaker)).encode())


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
    speaker = Speaker(**json.loads(record))
    raw = workspace.stage_folder(name, "raw")
    _take(shared, folder / "consent.json", raw / "consent.json")
    video = workspace.root / speaker.video
    if not _same(shared, folder / video.name, video):
        download(shared.store, folder / video.name, video)
    _take(shared, folder / "versions.json", workspace.root / "data" / name / "versions.json")
    with workspace.locked("speakers"):
        speakers = read_speakers(workspace.speakers)
        if speakers.get(name) != speaker:
            write_speakers(workspace.speakers, {**speakers, name: speaker})


def _take(shared: SharedStore, uri: ObjectUri, path: Path) -> None:
    """Make ``path`` what the control workspace has, also when that is nothing."""
    content = shared.store.read(uri)
    if content is None:
        path.unlink(missing_ok=True)
    elif not path.is_file() or path.read_bytes() != content:
        write_text(path, content.decode())


def _same(shared: SharedStore, uri: ObjectUri, path: Path) -> bool:
    there = shared.store.head(uri)
    if there is None or not path.is_file() or path.stat().st_size != there.size:
        return False
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == there.sha256

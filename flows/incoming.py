"""Recordings that wait to be taken in: a folder, or a prefix of an object store, with a folder for each speaker.

``<incoming>/<speaker>/`` holds one video and ``consent.json`` (a consent record), and perhaps ``speaker.yaml`` with ``profile`` and
``config``. What was taken in, and what was refused, is remembered by its content, so that each recording is looked at once.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from flows.dub_batch import is_remote
from flows.object_store import ObjectUri
from flows.object_transfer import download_if_changed
from flows.store_settings import object_store
from flows.workspace import Workspace
from talkhead_core.artifacts import read_json, write_json
from talkhead_core.errors import ConsentError, InputError
from talkhead_core.speakers import check_speaker_name, read_yaml

__all__ = ["Arrival", "arrivals", "remember", "remembered", "take_in"]

_VIDEOS = {".mp4", ".mov", ".mkv", ".webm", ".m4v", ".avi", ".mts"}
_OTHERS = ("consent.json", "speaker.yaml")


@dataclass(frozen=True, kw_only=True)
class Arrival:
    """One speaker's folder of the incoming place.

    Args:
        speaker: the folder's name.
        files: name -> path or ``s3://`` address, of the video and the records beside it.
        fingerprint: changes with the content.
    """

    speaker: str
    files: dict[str, str]
    fingerprint: str


@dataclass(frozen=True, kw_only=True)
class Recording:
    """An arrival as local files.

    Args:
        video: the raw video.
        consent: the consent record.
        profile: a key of ``profiles``; None: the speaker's, or the default.
        config: a key of ``configs``; None: the speaker's, or the default.
    """

    video: Path
    consent: Path
    profile: str | None
    config: str | None


def arrivals(workspace: Workspace, place: str) -> list[Arrival]:
    """What lies in ``place``, by speaker; a folder that does not exist holds nothing.

    Args:
        workspace: relative folders start here.
        place: a folder, or ``s3://bucket/prefix``.

    Raises:
        TalkheadError: the store does not answer.
    """
    found: dict[str, dict[str, tuple[str, str]]] = {}
    if is_remote(place):
        prefix = ObjectUri.parse(place)
        for info in object_store(workspace).list(prefix):
            parts = info.uri.key[len(prefix.key) :].strip("/").split("/")
            if len(parts) == 2:
                found.setdefault(parts[0], {})[parts[1]] = (str(info.uri), f"{info.etag} {info.size}")
    else:
        for path in sorted((workspace.root / place).glob("*/*")):
            if path.is_file():
                found.setdefault(path.parent.name, {})[path.name] = (str(path), _state_of(path))
    return [_arrival(speaker, files) for speaker, files in sorted(found.items())]


def take_in(workspace: Workspace, arrival: Arrival) -> Recording:
    """Bring the arrival to this machine and check that it is whole.

    Raises:
        InputError: there is not exactly one video, or the folder's name cannot be a speaker's.
        ConsentError: there is no consent record.
    """
    name = check_speaker_name(arrival.speaker)
    videos = [file for file in arrival.files if Path(file).suffix.lower() in _VIDEOS]
    if len(videos) != 1:
        raise InputError(f"{name}: holds {len(videos)} videos ({', '.join(videos) or 'none'}); leave exactly one")
    if "consent.json" not in arrival.files:
        raise ConsentError(f"{name}: has no consent.json; put the consent record beside the video")
    local = {file: _local(workspace, arrival, file) for file in (videos[0], *_OTHERS) if file in arrival.files}
    chosen = read_yaml(local["speaker.yaml"]) if "speaker.yaml" in local else {}
    unknown = set(chosen) - {"profile", "config"}
    if unknown:
        raise InputError(f"{name}: speaker.yaml has unknown keys {', '.join(sorted(unknown))}; it takes profile and config")
    return Recording(video=local[videos[0]], consent=local["consent.json"], profile=chosen.get("profile"), config=chosen.get("config"))


def remembered(workspace: Workspace, arrival: Arrival) -> str | None:
    """What became of exactly this arrival: ``taken``, why it was refused, or None when it is new."""
    path = _record(workspace, arrival.speaker)
    record = read_json(path) if path.is_file() else {}
    return str(record["result"]) if record.get("fingerprint") == arrival.fingerprint else None


def remember(workspace: Workspace, arrival: Arrival, result: str) -> None:
    """Keep what became of this arrival."""
    write_json(_record(workspace, arrival.speaker), {"fingerprint": arrival.fingerprint, "result": result})


def _arrival(speaker: str, files: dict[str, tuple[str, str]]) -> Arrival:
    wanted = {name: file for name, file in files.items() if name in _OTHERS or Path(name).suffix.lower() in _VIDEOS}
    states = repr(sorted((name, state) for name, (_, state) in wanted.items()))
    places = {name: place for name, (place, _) in wanted.items()}
    return Arrival(speaker=speaker, files=places, fingerprint=hashlib.sha256(states.encode()).hexdigest())


def _local(workspace: Workspace, arrival: Arrival, file: str) -> Path:
    place = arrival.files[file]
    if not is_remote(place):
        return Path(place)
    path = workspace.private / "incoming" / arrival.speaker / file
    download_if_changed(object_store(workspace), ObjectUri.parse(place), path)
    return path


def _state_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _record(workspace: Workspace, speaker: str) -> Path:
    return workspace.private / "incoming" / f"{hashlib.sha256(speaker.encode()).hexdigest()[:24]}.json"

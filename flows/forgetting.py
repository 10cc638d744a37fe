"""``talkhead forget``: everything that is kept of a speaker goes, dubs delivered to buckets too, and it is shown that it is gone.

Killed half-way, the same command goes on: what names the speaker's objects is removed after the objects, and the entry in
``speakers.yaml`` last of all.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from flows.dub_destinations import find_deliveries, remove_deliveries, still_there
from flows.dvc_stores import References, Store, lock_references, open_stores
from flows.speaker_exchange import shared_objects, withdraw_speaker
from flows.workspace import Workspace
from talkhead_core.artifacts import write_json, write_text
from talkhead_core.errors import InputError, TalkheadError
from talkhead_core.speakers import check_speaker_name, read_speakers, read_yaml, write_speakers
from talkhead_core.work_folders import folders_at_work

__all__ = ["Forgotten", "forget", "kept_of"]

_FOLDERS = ("data", "out", "checkpoints", "runs")


@dataclass(frozen=True, kw_only=True)
class Forgotten:
    """What was removed, and what is left.

    Args:
        speaker: whose it was.
        files: of the workspace, relative to it where they lay inside.
        objects: store -> objects and records of runs that were removed from it.
        shared: hashes that stay because another speaker's records name them too.
        changed: videos that were made of the speaker and are not where, or not what, they were.
        left: what the check afterwards still found; empty when all is gone.
    """

    speaker: str
    files: list[str] = field(default_factory=list)
    objects: dict[str, list[str]] = field(default_factory=dict)
    shared: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)


def forget(workspace: Workspace, speaker: str) -> Forgotten:
    """Remove every artifact, cache object, remote copy and record of ``speaker``, then look for what is left.

    Objects that another speaker's records name as well (two speakers trained on one recording) stay, and are listed.

    Raises:
        InputError: nothing is known of this speaker.
        TalkheadError: a run is at work on it, a remote does not answer (nothing was removed then), or something is left.
    """
    check_speaker_name(speaker)
    busy = f"a talkhead is at work on speaker {speaker!r}; wait for it to end, or stop it"
    with workspace.locked(f"run-{speaker}", refuse=busy), workspace.locked(f"dubs-{speaker}"), workspace.locked("speakers"):
        if any(folders_at_work(parent, "dub-") for parent in _dubbed_in(workspace, speaker)):
            raise TalkheadError(busy)
        stores = open_stores(workspace)
        records, references = _references(workspace, stores, speaker)
        doomed = {store.name: [*store.held(references.only_own), *store.unfinished(), *records[store.name]] for store in stores}
        videos, changed = _videos(workspace, speaker)
        places = [*_places(workspace, speaker), *videos]
        places = [*_on_other_disks(workspace, places), *places]  # first: killed in between, the links still tell of them
        registered = speaker in read_speakers(workspace.speakers)
        exchanged, delivered = shared_objects(workspace, speaker), find_deliveries(workspace, speaker)
        if not (registered or places or any(doomed.values()) or exchanged or delivered.objects or _in_locks(workspace, speaker)):
            raise InputError(f"nothing is kept of a speaker {speaker!r}; check the name")
        files = [name for place in places for name in _listed(workspace, place)]
        for store in stores:
            store.remove(doomed[store.name])
        if delivered.objects:  # before the records that say where they are
            doomed["delivered"] = remove_deliveries(workspace, delivered)
        if exchanged:
            doomed["shared store"] = withdraw_speaker(workspace, speaker)
        for place in places:
            _remove(place)
        _clean_records(workspace, speaker)
        both = references.own & references.others
        shared = sorted({digest for digest in both if any(store.held([digest]) for store in stores)})
        left = [*kept_of(workspace, speaker, stores, references), *still_there(workspace, delivered)]
        left += [str(place) for place in places if place.is_symlink() or place.exists()]
        for lock in ("run", "dubs"):
            (workspace.private / "locks" / f"{lock}-{speaker}.lock").unlink(missing_ok=True)
    result = Forgotten(speaker=speaker, files=files, objects=doomed, shared=shared, changed=[*changed, *delivered.changed], left=left)
    _keep_proof(workspace, result)
    if left:
        raise TalkheadError(f"speaker {speaker!r} is not wholly gone: {'; '.join(left[:5])}; run the same command again")
    return result


def kept_of(workspace: Workspace, speaker: str, stores: list[Store], references: References | None = None) -> list[str]:
    """Everything that is still there of a speaker; ``references`` names objects of which no record is left."""
    found = [str(place.relative_to(workspace.root)) for place in _places(workspace, speaker)]
    found += [f"video {path}" for path in _videos(workspace, speaker)[0]]
    found += ["its entry in speakers.yaml"] if speaker in read_speakers(workspace.speakers) else []
    found += [f"its stages in {path.name}" for path in _in_locks(workspace, speaker)]
    found += [str(uri) for uri in [*shared_objects(workspace, speaker), *find_deliveries(workspace, speaker).objects]]
    for store in stores:
        found += [f"{store.name}: {file}" for file in store.run_records(speaker)[0]]
        found += [f"{store.name}: {file}" for file in (store.held(references.only_own) if references else [])]
    return found


def _references(workspace: Workspace, stores: list[Store], speaker: str) -> tuple[dict[str, list[str]], References]:
    records, references = {}, lock_references(workspace, speaker) | _unrecorded(workspace, speaker)
    for store in stores:
        records[store.name], named = store.run_records(speaker)
        references = references | named
    for store in stores:
        own, others = store.children(references.own), store.children(references.others)
        references = references | References(own=frozenset(own), others=frozenset(others))
    return records, references


def _unrecorded(workspace: Workspace, speaker: str) -> References:
    """Hashes of the artifacts as they lie there: a killed run may have brought one to the cache and not yet recorded it."""
    files = [path for path in (workspace.root / "data" / speaker).rglob("*") if path.is_file()]
    return References(own=frozenset(_md5(path) for path in files), others=frozenset())


def _dubbed_in(workspace: Workspace, speaker: str) -> list[Path]:
    """Where dubs of the speaker work: in its folder, and in that of each version of its model."""
    own = workspace.root / "data" / speaker
    return [own, *own.glob(f"versions/*/data/{speaker}")]


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _places(workspace: Workspace, speaker: str) -> list[Path]:
    """Folders and files of the workspace that are this speaker's by their name."""
    places = [folder for name in _FOLDERS if (folder := workspace.root / name / speaker).is_symlink() or folder.exists()]
    locks = workspace.private / "locks"
    places += sorted(path for path in locks.glob(f"*@{speaker}.lock")) if locks.is_dir() else []
    if workspace.private.is_dir():
        inside = sorted(path for path in workspace.private.rglob(speaker) if path.parent != workspace.private / "forgotten")
        places += [path for path in inside if not any(parent in inside for parent in path.parents)]
    return places


def _videos(workspace: Workspace, speaker: str) -> tuple[list[Path], list[str]]:
    """Videos made of the speaker wherever they were written: those that are still what was written, and the rest."""
    there, changed = [], []
    lines = [line for record in _video_records(workspace) for line in _lines(record) if line.get("speaker") == speaker]
    for path, line in ((Path(line["video"]), line) for line in lines):
        if path.is_relative_to(workspace.root / "out" / speaker):
            continue
        if path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == line["sha256"]:
            there.append(path)
        else:
            changed.append(str(path))
    return sorted(set(there)), sorted(set(changed) - {str(path) for path in there})


def _clean_records(workspace: Workspace, speaker: str) -> None:
    for record in _video_records(workspace):
        kept = [line for line in _lines(record) if line.get("speaker") != speaker]
        write_text(record, "".join(json.dumps(line) + "\n" for line in kept))
    for path in _in_locks(workspace, speaker):
        content = read_yaml(path)
        content["stages"] = {name: entry for name, entry in content["stages"].items() if not name.endswith(f"@{speaker}")}
        write_text(path, yaml.safe_dump(content, sort_keys=False))
    speakers = read_speakers(workspace.speakers)
    if speaker in speakers:
        write_speakers(workspace.speakers, {name: entry for name, entry in speakers.items() if name != speaker})


def _in_locks(workspace: Workspace, speaker: str) -> list[Path]:
    paths = [path for path in (workspace.root / "dvc.lock", workspace.private / "dvc.lock.good") if path.is_file()]
    return [path for path in paths if any(name.endswith(f"@{speaker}") for name in read_yaml(path).get("stages") or {})]


def _video_records(workspace: Workspace) -> list[Path]:
    return sorted(workspace.private.rglob("provenance.jsonl")) if workspace.private.is_dir() else []


def _lines(record: Path) -> Iterator[dict[str, Any]]:
    for line in record.read_text(encoding="utf-8").splitlines():
        try:
            content = json.loads(line)
        except ValueError:
            continue  # cut short by a full disk
        if isinstance(content, dict):
            yield content


def _listed(workspace: Workspace, place: Path) -> list[str]:
    inside = [path for path in sorted(place.rglob("*")) if path.is_symlink() or not path.is_dir()] if place.is_dir() else [place]
    return [str(path.relative_to(workspace.root)) if path.is_relative_to(workspace.root) else str(path) for path in inside]


def _on_other_disks(workspace: Workspace, places: list[Path]) -> list[Path]:
    """What the speaker's folders lead to by links out of the workspace: a speaker's folder may lie on a larger disk.

    Raises:
        TalkheadError: it leads to what holds more than the speaker; nothing was removed.
    """
    root, found = workspace.root.resolve(), []
    for link in [path for place in places for path in (place, *place.rglob("*")) if path.is_symlink() and path.is_dir()]:
        target = link.resolve()
        if root.is_relative_to(target) or Path.home().is_relative_to(target):
            raise TalkheadError(f"{link}: is a link to {target}, which holds more than this speaker; remove the link by hand first")
        if not target.is_relative_to(root):
            found.append(target)
    return found


def _remove(place: Path) -> None:
    try:
        if place.is_dir() and not place.is_symlink():
            shutil.rmtree(place)
        else:
            place.unlink(missing_ok=True)
    except OSError as error:
        raise TalkheadError(f"{place}: cannot be removed ({error.strerror}); the same command goes on from here") from error


def _keep_proof(workspace: Workspace, result: Forgotten) -> None:
    """What was removed, by name and hash: no content, and kept so that it can be shown later."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    name = f"{hashlib.sha256(f'{result.speaker} {now}'.encode()).hexdigest()[:12]}.json"
    write_json(workspace.private / "forgotten" / name, {"at": now, **vars(result)})

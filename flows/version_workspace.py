"""A version of a speaker as a small workspace of its own, in which dubs are made while the speaker is trained anew beside it.

``data/<speaker>/versions/<number>/`` looks like a workspace to ``tasks.dub``: its artifacts are hard links to DVC's cache, code and
weights are those of the workspace around it, and the consent record is the living one: a withdrawal stops every version.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import yaml

from flows.model_versions import ModelVersion, read_history
from flows.object_transfer import download
from flows.store_settings import shared_store
from flows.workspace import Workspace
from talkhead_core.artifacts import write_text
from talkhead_core.errors import TalkheadError
from talkhead_core.speakers import Speaker, read_yaml, write_speakers

__all__ = ["SHARED", "make_version_workspace", "point_at", "workspace_in_use"]

SHARED = ("tasks", "talkhead_core", "weights", ".talkhead")  # the last holds the signer, and the list of videos that were made
_TODAYS = ("dub", "provenance")


def workspace_in_use(workspace: Workspace, speaker: str) -> tuple[Workspace, ModelVersion | None]:
    """Where the model in use lies: the version that is pointed at, or what was trained last when there are no versions."""
    history = read_history(workspace, speaker)
    if history is None:
        return workspace, None
    version = history.version()
    return make_version_workspace(workspace, speaker, version), version


def make_version_workspace(workspace: Workspace, speaker: str, version: ModelVersion) -> Workspace:
    """Lay out ``version`` unless it is there, and bring what is not of the version (code, consent, how to dub) up to date.

    Raises:
        TalkheadError: an artifact is neither in DVC's cache nor in the shared store.
    """
    root = workspace.root / "data" / speaker / "versions" / str(version.number)
    with workspace.locked(f"versions-{speaker}"):
        for path, md5 in version.outputs.items():
            if not (root / path).is_file():
                _link(_in_cache(workspace, speaker, version, path, md5), root / path)
        entry = Speaker(**version.speaker)
        if not (root / entry.video).is_file():
            _link(_recording(workspace, speaker, version), root / entry.video)
        point_at(root / "data" / speaker / "raw" / "consent.json", workspace.stage_folder(speaker, "raw") / "consent.json")
        for name in SHARED:
            point_at(root / name, workspace.root / name)
        write_speakers(root / "speakers.yaml", {speaker: entry})
        params: dict[str, Any] = yaml.safe_load(version.params)
        current = read_yaml(workspace.params)
        params |= {name: current[name] for name in _TODAYS if name in current}
        write_text(root / "params.yaml", yaml.safe_dump(params, sort_keys=False))
    return Workspace(root)


def point_at(link: Path, target: Path) -> None:
    """Make ``link`` a relative symbolic link to ``target``, whatever it was before."""
    link.parent.mkdir(parents=True, exist_ok=True)
    relative = Path(os.path.relpath(target, link.parent))
    if not (link.is_symlink() and link.readlink() == relative):
        link.unlink(missing_ok=True)
        link.symlink_to(relative)


def _in_cache(workspace: Workspace, speaker: str, version: ModelVersion, path: str, md5: str) -> Path:
    name = f"files/md5/{md5[:2]}/{md5[2:]}"
    cached = workspace.root / ".dvc" / "cache" / name
    if cached.is_file():
        return cached
    shared = shared_store(workspace)
    if shared is None or shared.store.head(shared.dvc / name) is None:
        raise TalkheadError(
            f"version {version.number} of {speaker!r} lacks {path}; 'dvc gc' removed it: train again, or use another version"
        )
    download(shared.store, shared.dvc / name, cached)
    cached.chmod(0o444)
    return cached


def _recording(workspace: Workspace, speaker: str, version: ModelVersion) -> Path:
    """The raw video of the version; at promotion it is the one in the workspace, which a newer one replaces without touching it."""
    here = workspace.root / version.speaker["video"]
    if here.is_file() and not _differs(here, version):
        return here
    shared = shared_store(workspace)
    name = f"{version.recording_sha256}{here.suffix}"
    if shared is None or shared.store.head(shared.speakers / speaker / "recordings" / name) is None:
        raise TalkheadError(f"the recording of version {version.number} of {speaker!r} is gone: use another version")
    target = workspace.private / "recordings" / name
    if not target.is_file():
        download(shared.store, shared.speakers / speaker / "recordings" / name, target)
    return target


def _differs(path: Path, version: ModelVersion) -> bool:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() != version.recording_sha256


def _link(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.linking")
    temporary.unlink(missing_ok=True)
    os.link(source, temporary)
    temporary.replace(target)

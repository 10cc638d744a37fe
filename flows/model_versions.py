"""Versions of a speaker's model, and which of them dubs are made with.

A version is a list of DVC's hashes, so it costs nothing to keep; the pointer is one number in
``data/<speaker>/versions/history.json``. A speaker without a history is dubbed with whatever was trained last.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from flows.workspace import Workspace
from talkhead_core.artifacts import read_json, write_json
from talkhead_core.errors import InputError, TalkheadError
from talkhead_core.speakers import registered_speaker

__all__ = [
    "ModelVersion",
    "VersionHistory",
    "add_version",
    "history_file",
    "is_trained",
    "kept_history",
    "move_pointer",
    "read_history",
    "recording_sha256",
    "trained_outputs",
    "trained_scores",
    "write_history",
]

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
SCORED_PROTOCOL = "head/self"


@dataclass(frozen=True, kw_only=True)
class ModelVersion:
    """One trained state of a speaker.

    Args:
        number: from 1.
        made_on: ISO time at which it became a version.
        reason: why it was kept.
        speaker: the speaker's entry in ``speakers.yaml`` then.
        recording_sha256: of the raw video it was trained on.
        outputs: path -> MD5 of every artifact, as in ``dvc.lock``.
        scores: the held-out scores of ``metrics.json`` (protocol ``head/self``); those of two recordings do not compare.
        params: the text of ``params.yaml`` then.
    """

    number: int
    made_on: str
    reason: str
    speaker: dict[str, str]
    recording_sha256: str
    outputs: dict[str, str]
    scores: dict[str, float]
    params: str


@dataclass(frozen=True, kw_only=True)
class VersionHistory:
    """All versions of a speaker, and the number of the one in use."""

    current: int
    versions: tuple[ModelVersion, ...]

    def version(self, number: int | None = None) -> ModelVersion:
        """The version called ``number``, or the one in use.

        Raises:
            InputError: there is no such version.
        """
        wanted = self.current if number is None else number
        for version in self.versions:
            if version.number == wanted:
                return version
        raise InputError(f"there is no version {wanted}; there are {', '.join(str(version.number) for version in self.versions)}")

    def before(self) -> ModelVersion:
        """The version before the one in use.

        Raises:
            InputError: the one in use is the first.
        """
        earlier = [version for version in self.versions if version.number < self.current]
        if not earlier:
            raise InputError(f"version {self.current} is the first; there is none to go back to")
        return max(earlier, key=lambda version: version.number)


def history_file(workspace: Workspace, speaker: str) -> Path:
    """Where the history of a speaker is kept."""
    return workspace.root / "data" / speaker / "versions" / "history.json"


def read_history(workspace: Workspace, speaker: str) -> VersionHistory | None:
    """The versions of ``speaker``, or None when none was ever kept."""
    path = history_file(workspace, speaker)
    if not path.is_file():
        return None
    record = read_json(path)
    try:
        return VersionHistory(current=int(record["current"]), versions=tuple(ModelVersion(**entry) for entry in record["versions"]))
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise InputError(f"{path}: is no history of versions ({' '.join(str(error).split())}); restore it from a backup") from error


def write_history(workspace: Workspace, speaker: str, history: VersionHistory) -> None:
    """Keep the history, whole."""
    record = {"current": history.current, "versions": [asdict(version) for version in history.versions]}
    write_json(history_file(workspace, speaker), record)


def add_version(workspace: Workspace, speaker: str, reason: str) -> ModelVersion:
    """Keep what is trained now as a version and point at it; the version in use stays when it is the same.

    Raises:
        TalkheadError: the speaker is not trained to the end.
    """
    outputs = trained_outputs(workspace, speaker)
    if not outputs or not is_trained(workspace, speaker):
        raise TalkheadError(f"speaker {speaker!r} is not trained; run 'talkhead run --speaker {speaker}'")
    history = read_history(workspace, speaker)
    for version in history.versions if history else ():
        if version.outputs == outputs:
            return move_pointer(workspace, speaker, version.number)
    entry = registered_speaker(workspace.speakers, speaker)
    version = ModelVersion(
        number=1 + max((version.number for version in history.versions), default=0) if history else 1,
        made_on=datetime.now(UTC).isoformat(timespec="seconds"),
        reason=reason,
        speaker=asdict(entry),
        recording_sha256=recording_sha256(workspace, speaker),
        outputs=outputs,
        scores=trained_scores(workspace, speaker),
        params=workspace.params.read_text(encoding="utf-8"),
    )
    earlier = history.versions if history else ()
    write_history(workspace, speaker, VersionHistory(current=version.number, versions=(*earlier, version)))
    return version


def move_pointer(workspace: Workspace, speaker: str, number: int) -> ModelVersion:
    """Use version ``number`` from now on.

    Raises:
        InputError: there is no such version.
    """
    history = kept_history(workspace, speaker)
    version = history.version(number)
    write_history(workspace, speaker, replace(history, current=version.number))
    return version


def kept_history(workspace: Workspace, speaker: str) -> VersionHistory:
    """The versions of ``speaker``.

    Raises:
        InputError: none was ever kept.
    """
    history = read_history(workspace, speaker)
    if history is None:
        raise InputError(f"speaker {speaker!r} has no versions; 'talkhead versions promote --speaker {speaker}' keeps the first")
    return history


def is_trained(workspace: Workspace, speaker: str) -> bool:
    """Whether there is a model that can be dubbed with."""
    return (workspace.stage_folder(speaker, "train_torso") / "model.safetensors").is_file()


def trained_outputs(workspace: Workspace, speaker: str) -> dict[str, str]:
    """Path -> MD5 of every artifact of ``speaker``, as ``dvc.lock`` has them now."""
    lock = workspace.root / "dvc.lock"
    content: Mapping[str, Any] = (yaml.load(lock.read_text(encoding="utf-8"), Loader=_LOADER) or {}) if lock.is_file() else {}
    stages = content.get("stages") or {}
    entries = [entry for name, entry in stages.items() if name.endswith(f"@{speaker}")]
    return {out["path"]: out["md5"] for entry in entries for out in entry.get("outs", [])}


def trained_scores(workspace: Workspace, speaker: str) -> dict[str, float]:
    """The scores on held-out frames of what is trained now; empty when it was not evaluated."""
    path = workspace.stage_folder(speaker, "evaluate") / "metrics.json"
    metrics = read_json(path) if path.is_file() else None
    scores = metrics.get("protocols", {}).get(SCORED_PROTOCOL, {}) if isinstance(metrics, dict) else {}
    return {name: float(value) for name, value in scores.items() if isinstance(value, int | float) and not isinstance(value, bool)}


def recording_sha256(workspace: Workspace, speaker: str) -> str:
    """Of the raw video that ``speaker`` is registered with now."""
    with (workspace.root / registered_speaker(workspace.speakers, speaker).video).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

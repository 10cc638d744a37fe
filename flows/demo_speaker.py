"""The demo speaker: made once, and again when what it is made from changes."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from flows.speaker_registration import Registration, consent_from_statement, register
from flows.stage_runs import Outcome, StageEvent, run_task
from flows.workspace import Workspace
from talkhead_core.artifacts import read_json, write_json
from talkhead_core.consent import Consent, read_consent, statement_hash
from talkhead_core.speakers import read_yaml

__all__ = ["DEMO_SPEAKER", "demo_speech", "make_demo_speaker"]

DEMO_SPEAKER = "demo"
DEMO_PROFILE = "demo"
_CONSENT = "talkhead (no real person), demonstrations and tests"


def demo_speech(workspace: Workspace) -> Path:
    """The speech that the demo dubs; it is not what the speaker says in the video."""
    return workspace.stage_folder(DEMO_SPEAKER, "raw") / "speech.wav"


def make_demo_speaker(workspace: Workspace, profile: str, config: str | None, show: Callable[[StageEvent], None]) -> None:
    """Make and register the demo speaker unless it is there already, from the same code and parameters.

    Raises:
        TalkheadError: it could not be made or registered.
    """
    folder = workspace.stage_folder(DEMO_SPEAKER, "raw")
    video, record = folder / "video.mp4", folder / "made_from.json"
    signature = _signature(workspace, profile)
    if video.is_file() and demo_speech(workspace).is_file() and record.is_file() and read_json(record) == {"signature": signature}:
        show(StageEvent(stage="make_demo", outcome=Outcome.UNCHANGED))
    else:
        record.unlink(missing_ok=True)
        run_task(workspace, "make_demo", ["--out", folder, "--profile", profile], show)
        write_json(record, {"signature": signature})
    request = Registration(speaker=DEMO_SPEAKER, video=video, profile=profile, config=config, replace=True, examine=False)
    register(workspace, request, lambda: _consent(folder), show)


def _consent(folder: Path) -> Consent:
    """The record there is, or what the demo says of itself, hashed as a signed document would be."""
    if (folder / "consent.json").is_file():
        return read_consent(folder / "consent.json", DEMO_SPEAKER)
    statement = (folder / "consent.txt").read_bytes()
    return replace(consent_from_statement(_CONSENT, synthetic=True), statement_sha256=statement_hash(statement))


def _signature(workspace: Workspace, profile: str) -> str:
    params = read_yaml(workspace.params)
    digest = hashlib.sha256(repr((params.get("demo"), (params["profiles"].get(profile) or {}).get("demo"))).encode())
    for path in [*sorted((workspace.root / "talkhead_core" / "demo").rglob("*.py")), workspace.root / "tasks" / "make_demo.py"]:
        digest.update(path.read_bytes())
    return digest.hexdigest()

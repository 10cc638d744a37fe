"""A control workspace with speakers to train: real stages at the smoke profile, or toy stages."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from flows.child_process import child_environment
from flows.speaker_registration import Registration, consent_from_statement, register
from flows.workspace import Workspace
from tests.real_workspace import make_workspace
from tests.toy_workspace import add_speaker, make_toy_workspace

__all__ = ["SPEECH", "make_control_workspace"]

SPEECH = "speech.wav"
_CONSENT = "talkhead (no real person), benchmarks"


def make_control_workspace(folder: Path, speakers: int, stages: str) -> Path:
    """Speakers ``s1``, ``s2``, ... registered, not trained, and ``batch/speech.wav`` to dub; returns the root."""
    if stages == "toy":
        root = make_toy_workspace(folder)
        (root / "batch").mkdir()
        (root / "batch" / SPEECH).write_bytes(b"speech")
        (root / "toy_train_coarse_seconds.txt").write_text("20")
        _commit(root)
        for index in range(speakers):
            add_speaker(root, f"s{index + 1}", video=f"good {30 + index}".encode())
        return root
    root = make_workspace(folder)
    made = folder / "made"
    command = [sys.executable, "-m", "tasks.make_demo", "--out", str(made), "--profile", "smoke"]
    subprocess.run(command, cwd=root, env=child_environment(), check=True, capture_output=True)
    (root / "batch").mkdir()
    shutil.copy(made / SPEECH, root / "batch" / SPEECH)
    consent = consent_from_statement(_CONSENT, synthetic=True)
    for index in range(speakers):
        request = Registration(speaker=f"s{index + 1}", video=made / "video.mp4", profile="smoke", examine=False)
        register(Workspace(root), request, lambda: consent, lambda event: None)
    return root


def _commit(root: Path) -> None:
    identity = ["-c", "user.name=talkhead", "-c", "user.email=talkhead@localhost"]
    subprocess.run(["git", "add", "-f", "toy_train_coarse_seconds.txt"], cwd=root, check=True)
    subprocess.run(["git", *identity, "commit", "-q", "-m", "slow training"], cwd=root, check=True)

"""The kinds of faults that ``benchmarks.faults`` tries: what strikes a run at work, and what happens to files between two runs."""

from __future__ import annotations

import hashlib
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from flows.child_process import child_environment
from flows.stage_graph import read_stage_graph

__all__ = ["FAULTS", "LONGEST_RUN_S", "MISSED", "NOTHING", "Fault", "Subject", "needs_results", "talkhead_run"]

LONGEST_RUN_S = 1800.0
MISSED, NOTHING = "missed", "nothing there"


Fault = Callable[[Path, "Subject", int, random.Random], tuple[str, int | None]]
"""Strikes a subject's workspace, in which so many stages have run; says what it did, and how the disturbed run ended, if any did."""


@dataclass(frozen=True, kw_only=True)
class Subject:
    """What faults are tried on.

    Args:
        prepared: workspaces in which the first stages have run: how many -> folder.
        reference: artifact -> SHA-256 after an undisturbed run.
        unstable: artifacts that differ between undisturbed runs.
        speaker: the speaker's name.
        environment: for the disturbed run, such as what makes stand-ins slow enough to be hit.
    """

    prepared: dict[int, Path]
    reference: dict[str, str]
    unstable: frozenset[str]
    speaker: str
    environment: dict[str, str] = field(default_factory=dict)


def talkhead_run(root: Path, speaker: str, environment: dict[str, str], **options: Any) -> subprocess.Popen[bytes]:
    """`talkhead run` at work."""
    command = [sys.executable, "-m", "flows.command_line", "run", "--speaker", speaker]
    given = {**child_environment(), **environment}
    return subprocess.Popen(command, cwd=root, env=given, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, **options)


# ----------------------------------------------------------------------------------------------- faults while a run works


def _killed(which: str, number: int = signal.SIGKILL) -> Fault:
    def fault(root: Path, subject: Subject, before: int, chance: random.Random) -> tuple[str, int | None]:
        shutil.rmtree(root / ".talkhead" / "logs", ignore_errors=True)  # of an earlier run: they tell when a stage begins
        process = talkhead_run(root, subject.speaker, subject.environment, stderr=subprocess.DEVNULL, preexec_fn=_heed_interrupts)
        moment = _random_moment(root, subject, chance, process)
        try:
            top = psutil.Process(process.pid)
            victims = _victims(top, which)
            while which == "stage" and process.poll() is None and "tasks." not in _name(victims[0]):
                time.sleep(0.02)  # between two stages there is none: the next one
                victims = _victims(top, which)
        except psutil.NoSuchProcess:
            victims = []
        if process.poll() is not None or not victims:
            return f"{MISSED}: the run had ended", process.wait(LONGEST_RUN_S)
        names = [_name(victim) for victim in victims]
        for victim in victims:
            try:
                os.kill(victim.pid, number)
            except ProcessLookupError:
                continue
        return f"{', '.join(names)} {moment}", process.wait(LONGEST_RUN_S)

    return fault


def _heed_interrupts() -> None:
    """A shell's background jobs, such as this benchmark may be, ignore them, and hand that on to their children."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def _random_moment(root: Path, subject: Subject, chance: random.Random, process: subprocess.Popen[bytes]) -> str:
    """Wait until a stage that is drawn has begun, and a little longer; however slow everything is, the run is at work then."""
    outputs = {node.name: [root / path.replace("${key}", subject.speaker) for path in node.outputs] for node in read_stage_graph(root)}
    to_run = [name for name, paths in outputs.items() if not all(path.exists() for path in paths)]
    stage, later_s = chance.choice([None, *to_run]), chance.uniform(0.0, 1.0)
    log = root / ".talkhead" / "logs" / subject.speaker / f"{stage}.log"
    while stage is not None and not log.exists() and process.poll() is None:
        time.sleep(0.02)
    time.sleep(later_s)
    return f"{later_s:.1f} s into {stage or 'the run'}"


def _victims(top: psutil.Process, which: str) -> list[psutil.Process]:
    family = [top, *top.children(recursive=True)]
    chosen = {
        "talkhead": [top],
        "dvc": [one for one in family if "dvc" in _name(one)],
        "stage": [one for one in family if "tasks." in _name(one)],
        "all": family,
    }[which]
    return chosen or [family[-1]]


def _name(process: psutil.Process) -> str:
    try:
        words = process.cmdline()
    except psutil.Error:
        return "gone"
    return next(
        (word for word in words if word.startswith("tasks.") or word in ("flows.dvc_process", "flows.command_line")),
        "starting",
    )


def _full_disk(root: Path, subject: Subject, before: int, chance: random.Random) -> tuple[str, int | None]:
    """No file may grow beyond a few bytes or kilobytes: writing fails as on a full disk, at the same places."""
    limit = int(2 ** chance.uniform(0, 21))
    process = talkhead_run(
        root,
        subject.speaker,
        subject.environment,
        stderr=subprocess.DEVNULL,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )
    return f"files of at most {limit} bytes", process.wait(LONGEST_RUN_S)


# -------------------------------------------------------------------------------------------- faults between two runs


def _between(act: Callable[[Path, random.Random], str]) -> Fault:
    def fault(root: Path, subject: Subject, before: int, chance: random.Random) -> tuple[str, int | None]:
        return act(root, chance), None

    return fault


def _any_file(folder: Path, chance: random.Random) -> Path | None:
    files = sorted(path for path in folder.rglob("*") if path.is_file() and "raw" not in path.parts) if folder.is_dir() else []
    return chance.choice(files) if files else None


def _spoiled(path: Path | None, root: Path, chance: random.Random) -> str:
    """Other bytes, fewer, or none."""
    if path is None:
        return NOTHING
    content = path.read_bytes()
    path.chmod(0o644)
    how = chance.choice(["flipped", "cut short", "emptied"])
    place = chance.randrange(max(1, len(content)))
    flipped = content[:place] + bytes([content[place] ^ 0x55]) + content[place + 1 :] if content else b"x"
    path.write_bytes({"flipped": flipped, "cut short": content[:place], "emptied": b""}[how])
    return f"{path.relative_to(root)} {how}"


def _removed(path: Path | None, root: Path) -> str:
    if path is None:
        return NOTHING
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    return f"{path.relative_to(root)} removed"


def _stage_folder(root: Path, chance: random.Random) -> Path | None:
    folders = sorted(path for path in root.glob("data/*/*") if path.name != "raw")
    return chance.choice(folders) if folders else None


def _spoiled_object_and_artifact(root: Path, chance: random.Random) -> str:
    artifact = _any_file(root / "data", chance)
    if artifact is None:
        return NOTHING
    digest = hashlib.md5(artifact.read_bytes(), usedforsecurity=False).hexdigest()
    cached = root / ".dvc" / "cache" / "files" / "md5" / digest[:2] / digest[2:]
    return f"{_removed(artifact, root)}, {_spoiled(cached if cached.is_file() else None, root, chance)}"


def _half_written(root: Path, subject: Subject, before: int, chance: random.Random) -> tuple[str, int | None]:
    """What the stage that would run next leaves when it is killed at the worst moment."""
    stage = [node.name for node in read_stage_graph(root)][before]
    folder = root / "data" / subject.speaker / stage
    folder.mkdir(parents=True, exist_ok=True)
    (folder / ".writing-x1y2z3.mkv").write_bytes(chance.randbytes(1000))
    return f"half-written file in {folder.relative_to(root)}", None


FAULTS: dict[str, Fault] = {
    "kill -9 the stage": _killed("stage"),
    "kill -9 DVC": _killed("dvc"),
    "kill -9 talkhead": _killed("talkhead"),
    "kill -9 everything": _killed("all"),
    "interrupt talkhead": _killed("talkhead", signal.SIGINT),
    "terminate everything": _killed("all", signal.SIGTERM),
    "disk full": _full_disk,
    "artifact spoiled": _between(lambda root, chance: _spoiled(_any_file(root / "data", chance), root, chance)),
    "artifact removed": _between(lambda root, chance: _removed(_any_file(root / "data", chance), root)),
    "stage's folder removed": _between(lambda root, chance: _removed(_stage_folder(root, chance), root)),
    "cache object spoiled": _between(lambda root, chance: _spoiled(_any_file(root / ".dvc/cache/files", chance), root, chance)),
    "cache object spoiled, artifact removed": _between(_spoiled_object_and_artifact),
    "cache object removed": _between(lambda root, chance: _removed(_any_file(root / ".dvc/cache/files", chance), root)),
    "run record spoiled": _between(lambda root, chance: _spoiled(_any_file(root / ".dvc/cache/runs", chance), root, chance)),
    "cache removed": _between(lambda root, chance: _removed(root / ".dvc" / "cache" if (root / ".dvc/cache").exists() else None, root)),
    "dvc.lock spoiled": _between(lambda root, chance: _spoiled(root / "dvc.lock" if (root / "dvc.lock").exists() else None, root, chance)),
    "dvc.lock removed": _between(lambda root, chance: _removed(root / "dvc.lock" if (root / "dvc.lock").exists() else None, root)),
    "half-written file": _half_written,
}


def needs_results(kind: str) -> bool:
    """Whether there must be results for this fault to strike at."""
    return any(word in kind for word in ("artifact", "folder", "object", "record", "removed", "spoiled"))

"""Faults that strike the Prefect flow at work on a server of its own: the flow, the worker, the server, or all of them are killed.

    python -m benchmarks.faults --flow --count 24

The run on the server must end well by itself, with ``make up`` where what was killed belongs to it; afterwards everything is held to
what ``benchmarks.faults`` holds every next run to.
"""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import signal
import subprocess
import time
import urllib.error
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from flows.stage_graph import read_stage_graph
from flows.stage_runs import reproduce
from flows.workspace import Workspace
from talkhead_core.artifacts import read_json
from tests.prefect_server import ask, serve, server_up, without_prefect
from tests.toy_workspace import add_speaker, ran

__all__ = ["FLOW_FAULTS", "LATE_STAGES", "SPEAKER", "ServedSpeaker", "served_speaker", "strike_flow"]

SPEAKER = "ada"
LATE_STAGES = 4
FLOW_FAULTS = {
    "kill -9 the flow": ("flow",),
    "kill -9 the worker": ("machines",),
    "kill -9 the server": ("server",),
    "kill -9 flow and worker": ("flow", "machines"),
    "kill -9 flow, workers and server": ("flow", "machines", "control", "server"),
}
_RUN = f"speaker {SPEAKER}"
_SECONDS_TO_STRIKE, _LONGEST_RUN_S = 30.0, 900.0
_OVER = ("COMPLETED", "FAILED", "CANCELLED")


@dataclass(frozen=True, kw_only=True)
class ServedSpeaker:
    """A workspace with ``make up`` on it, in which every stage of ``SPEAKER`` has run.

    Args:
        root: the workspace.
        api: the server's address.
        stages: of the graph, in order.
    """

    root: Path
    api: str
    stages: list[str]


@contextmanager
def served_speaker(folder: Path) -> Iterator[ServedSpeaker]:
    """A toy workspace, a server and two workers."""
    with server_up(folder) as (root, api):
        add_speaker(root, SPEAKER)
        stages = [node.name for node in read_stage_graph(root)]
        list(reproduce(Workspace(root), SPEAKER, stages))
        yield ServedSpeaker(root=root, api=api, stages=stages)


def strike_flow(served: ServedSpeaker, kind: str, chance: random.Random) -> tuple[str, list[str]]:
    """Have the last stages run in a flow, kill what ``kind`` says while one of them works, and wait for the run to end.

    Returns:
        What was done, and what did not end as it should.
    """
    root, late = served.root, served.stages[-LATE_STAGES:]
    shutil.rmtree(root / ".dvc" / "cache" / "runs", ignore_errors=True)
    for stage in late:
        _forget(root, root / "data" / SPEAKER / stage)
    ran(root)
    stage, later_s = chance.choice(late), chance.uniform(0.0, 2.0)
    slow = root / f"toy_{stage}_seconds.txt"
    slow.write_text(str(_SECONDS_TO_STRIKE))
    command = ["prefect", "deployment", "run", "talkhead-speaker/machine", "-p", f"speaker={SPEAKER}", "--tag", "talkhead"]
    subprocess.run(command, cwd=root, env=without_prefect(), check=True, capture_output=True)
    _until(lambda: (root / "ran.txt").exists() and f"{stage}@" in (root / "ran.txt").read_text(), "the stage to begin")
    slow.unlink()
    time.sleep(later_s)
    killed = [_kill(served, which, stage) for which in FLOW_FAULTS[kind]]
    if FLOW_FAULTS[kind] != ("flow",):  # a worker or a server does not come back by itself
        serve(root, "up", "--port", served.api.split(":")[2].split("/")[0])
    _until(lambda: _last_run(served)["state_type"] in _OVER, "the run to end")
    run = _last_run(served)
    problems = [] if run["state_type"] == "COMPLETED" else [f"the run ended as {run['state_name']}: {run['state']['message']}"]
    return f"{', '.join(killed)} {later_s:.1f} s into {stage}, {run['run_count']} attempts", problems


def _forget(root: Path, folder: Path) -> None:
    """Remove a stage's artifacts, also from the cache: or it would be restored, and not be at work."""
    for path in folder.iterdir():
        digest = hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
        (root / ".dvc" / "cache" / "files" / "md5" / digest[:2] / digest[2:]).unlink(missing_ok=True)
    shutil.rmtree(folder)


def _kill(served: ServedSpeaker, which: str, stage: str) -> str:
    if which == "flow":
        working = next(one for one in psutil.process_iter(["cwd", "cmdline"]) if _is_stage(one, served.root, stage))
        victim = next(parent for parent in working.parents() if not any("dvc" in word for word in parent.cmdline()))
    else:
        victim = psutil.Process(read_json(served.root / ".talkhead" / "server.json")[which]["pid"])
    os.kill(victim.pid, signal.SIGKILL)
    return {"machines": "worker"}.get(which, which)


def _is_stage(process: psutil.Process, root: Path, stage: str) -> bool:
    words = process.info["cmdline"] or []
    return process.info["cwd"] == str(root) and f"tasks.{stage}" in words


def _last_run(served: ServedSpeaker) -> dict[str, Any]:
    try:
        runs = ask(served.api, "flow_runs/filter", flow_runs={"name": {"any_": [_RUN]}}, sort="EXPECTED_START_TIME_DESC", limit=1)
    except (urllib.error.URLError, OSError):  # a server that comes up
        return {"state_type": "UNKNOWN"}
    return dict(runs[0])


def _until(condition: Any, what: str) -> None:
    deadline = time.monotonic() + _LONGEST_RUN_S
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited in vain for {what}")
        time.sleep(0.5)

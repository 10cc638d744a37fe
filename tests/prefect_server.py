"""A toy workspace with ``make up`` on it, and a few questions to its server."""

from __future__ import annotations

import http
import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from flows.child_process import child_environment
from tests.toy_workspace import make_toy_workspace

_MOST_ATTEMPTS = 5
# Waiting takes most of these tests' time; what is looked at more often comes no other way about.
_IMPATIENCE = {"PREFECT_WORKER_QUERY_SECONDS": "3", "PREFECT_SERVER_EVENTS_PROACTIVE_GRANULARITY": "PT1S"}

__all__ = ["ask", "look_up", "run_deployment", "serve", "server_up", "task_states", "wait_for", "without_prefect"]


@contextmanager
def server_up(folder: Path) -> Iterator[tuple[Path, str]]:
    """``make up`` in a new toy workspace, and ``make down``; gives its root and the address of the API."""
    root = make_toy_workspace(folder)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    serve(root, "up", "--port", str(port))
    try:
        yield root, f"http://127.0.0.1:{port}/api"
    finally:
        pids = [entry["pid"] for entry in json.loads((root / ".talkhead/server.json").read_text()).values() if isinstance(entry, dict)]
        serve(root, "down")
        assert not any(psutil.pid_exists(pid) for pid in pids)
        assert not (root / "prefect.toml").exists()


def without_prefect() -> dict[str, str]:
    """The environment of a user without any setting of theirs."""
    return {name: value for name, value in child_environment().items() if not name.startswith("PREFECT")}


def run_deployment(root: Path, deployment: str, **parameters: Any) -> str:
    """What a user types; waits, and gives the command's output."""
    words = [word for name, value in parameters.items() for word in ("-p", f"{name}={value}")]
    command = ["prefect", "deployment", "run", deployment, *words, "--watch"]
    result = subprocess.run(command, cwd=root, env=without_prefect(), capture_output=True, text=True, timeout=900, check=False)
    return result.stdout + result.stderr


def ask(api: str, path: str, body: list[Any] | None = None, **fields: object) -> Any:
    """POST to the API."""
    content = json.dumps(fields if body is None else body).encode()
    return _answer(urllib.request.Request(f"{api}/{path}", content, {"Content-Type": "application/json"}))


def look_up(api: str, path: str) -> Any:
    """GET from the API."""
    return _answer(urllib.request.Request(f"{api}/{path}"))


def _answer(request: urllib.request.Request) -> Any:
    """A server whose database is busy for a moment says 503, and is asked again, as Prefect's own client does; a busy host answers late."""
    for attempt in range(_MOST_ATTEMPTS):
        try:
            with urllib.request.urlopen(request, timeout=180) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            if error.code != http.HTTPStatus.SERVICE_UNAVAILABLE or attempt == _MOST_ATTEMPTS - 1:
                raise
            time.sleep(2.0)
    raise AssertionError("not reached")


def task_states(api: str, flow_run: str) -> dict[str, str]:
    """Task -> state, of the flow runs with this name, later ones over earlier ones."""
    rows = ask(api, "task_runs/filter", flow_runs={"name": {"any_": [flow_run]}}, sort="EXPECTED_START_TIME_ASC")
    return {str(row["name"]): str(row["state_name"]) for row in rows}


def wait_for(condition: Callable[[], Any], seconds: float = 900.0) -> Any:
    """What ``condition`` gives once it gives something."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.5)
    return found


def serve(root: Path, *arguments: str) -> None:
    """``python -m flows.server`` with these arguments."""
    command = [sys.executable, "-m", "flows.server", *arguments]
    environment = {**os.environ, **_IMPATIENCE}
    result = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, timeout=600, check=False)
    assert result.returncode == 0, result.stderr

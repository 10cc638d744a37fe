"""``make up``, then ``prefect deployment run talkhead/full``, then ``make down``: on a real server, with toy stages."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from flows.child_process import child_environment
from flows.stage_graph import read_stage_graph
from tests.toy_workspace import REPOSITORY, make_toy_workspace, ran, set_parameter

STAGES = [node.name for node in read_stage_graph(REPOSITORY)]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    """A toy workspace with server and worker up; gives its root and the address of the API."""
    root = make_toy_workspace(tmp_path_factory.mktemp("deployment"))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    _server(root, "up", "--port", str(port))
    try:
        yield root, f"http://127.0.0.1:{port}/api"
    finally:
        pids = [entry["pid"] for entry in json.loads((root / ".talkhead/server.json").read_text()).values() if isinstance(entry, dict)]
        _server(root, "down")
        assert not any(psutil.pid_exists(pid) for pid in pids)
        assert not (root / "prefect.toml").exists()


def _server(root: Path, *arguments: str) -> None:
    command = [sys.executable, "-m", "flows.server", *arguments]
    result = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=300, check=False)
    assert result.returncode == 0, result.stderr


def _run_deployment(root: Path, speaker: str) -> str:
    """What a user types, without any setting of theirs; gives the command's output."""
    environment = {name: value for name, value in child_environment().items() if not name.startswith("PREFECT")}
    command = ["prefect", "deployment", "run", "talkhead/full", "-p", f"speaker={speaker}", "--watch"]
    result = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, timeout=600, check=False)
    return result.stdout + result.stderr


def _ask(api: str, path: str, **body: object) -> list[dict[str, object]]:
    request = urllib.request.Request(f"{api}/{path}", json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def _task_states(api: str, flow_run: str) -> dict[str, str]:
    rows = _ask(api, "task_runs/filter", flow_runs={"name": {"any_": [flow_run]}}, sort="EXPECTED_START_TIME_ASC")
    return {str(row["name"]): str(row["state_name"]) for row in rows}


def test_deployment_runs_the_whole_graph_of_the_demo(served: tuple[Path, str]) -> None:
    root, api = served
    output = _run_deployment(root, "demo")
    assert "finished successfully" in output, output
    assert _task_states(api, "speaker demo") == dict.fromkeys(STAGES, "Ran")
    states = _task_states(api, "talkhead demo")
    assert (states["make_demo"], states["restore demo"], states["dub"]) == ("Ran", "Unchanged", "Ran")
    assert set(ran(root)) == {"make_demo", *(f"{stage}@demo" for stage in STAGES), "dub@demo"}
    assert (root / "out/demo/speech.mp4").is_file()
    artifacts = _ask(api, "artifacts/latest/filter")
    assert {"stages-demo", "report-demo", "dub-demo", "speakers"} <= {str(artifact["key"]) for artifact in artifacts}
    rows = _ask(api, "task_runs/filter", task_runs={"name": {"any_": ["train_coarse"]}})
    assert set(rows[0]["tags"]) == {"gpu", "demo"}


def test_only_what_changed_runs_and_unknown_speakers_fail_by_name(served: tuple[Path, str]) -> None:
    root, api = served
    set_parameter(root, "evaluate", "x", 2)
    assert "finished successfully" in _run_deployment(root, "demo")
    assert ran(root)[:2] == ["evaluate@demo", "report@demo"]
    assert "Failed" in _run_deployment(root, "nobody")
    failed = _ask(api, "flow_runs/filter", flow_runs={"name": {"any_": ["talkhead nobody"]}})
    assert "'nobody' is not registered" in str(failed[0]["state"])


def test_server_listens_on_the_loopback_only(served: tuple[Path, str]) -> None:
    _, api = served
    port = int(api.split(":")[2].split("/")[0])
    listening = [each.laddr.ip for each in psutil.net_connections("tcp") if each.status == "LISTEN" and each.laddr.port == port]
    assert listening == ["127.0.0.1"]

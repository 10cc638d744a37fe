"""Everything that the benchmark of many machines needs, at work on one host: database, server, store, control worker and machines."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.local_services import ACCESS_KEY, SECRET_KEY, free_port, postgres_server, process, swift_server
from benchmarks.machine_network import MachineNetwork
from benchmarks.speakers_for_machines import make_control_workspace
from flows.child_process import child_environment
from flows.object_store import ObjectStore, ObjectStoreConfig

__all__ = ["Site", "say", "set_up", "until"]

_AUTH = "talkhead:for-tests"
_ADDRESS = "s3://talkhead-acceptance/production"


@dataclass
class Site:
    """Everything that runs: the control workspace, the machines, and how to reach them."""

    folder: Path
    network: MachineNetwork
    stack: ExitStack
    control: Path
    environment: dict[str, str]
    port: int
    machines: dict[str, Path] = field(default_factory=dict)

    @property
    def api(self) -> str:
        """The address of the Prefect server's API."""
        return f"http://{self.network.host}:{self.port}/api"

    def call(self, *words: str, root: Path | None = None) -> str:
        """A command of the control workspace (or another), as a user types it."""
        command = [sys.executable, "-m", *words]
        result = subprocess.run(
            command, cwd=root or self.control, env=self._at(root or self.control, "control"), capture_output=True, text=True, check=False
        )
        if result.returncode:
            raise RuntimeError(f"{' '.join(words)}: {result.stderr[-2000:]}")
        return result.stdout

    def ask(self, path: str, **body: object) -> Any:
        """POST to the server."""
        return self._answer(path, json.dumps(body).encode())

    def read(self, path: str) -> Any:
        """GET from the server."""
        return self._answer(path, None)

    def _answer(self, path: str, body: bytes | None, attempts: int = 10) -> Any:
        headers = {"Content-Type": "application/json", "Authorization": f"Basic {base64.b64encode(_AUTH.encode()).decode()}"}
        request = urllib.request.Request(f"{self.api}/{path}", body, headers)
        for attempt in range(1, attempts + 1):  # a busy host answers late
            try:
                with urllib.request.urlopen(request, timeout=60) as answer:
                    return json.load(answer)
            except OSError as error:
                if attempt == attempts or (isinstance(error, urllib.error.HTTPError) and error.code < 500):
                    raise
                time.sleep(2)
        raise AssertionError

    def start_worker(self, name: str) -> None:
        """The worker of a machine, inside its namespace."""
        root = self.machines[name]
        command = [sys.executable, "-m", "prefect", "worker", "start", "--pool", "machines", "--limit", "1", "--name", name]
        log = self.folder / f"{name}.log"
        self.stack.enter_context(process(self.network.inside(name, command), log, self._at(root, name), root))

    def start_control(self) -> None:
        """The control worker, on the host."""
        command = [sys.executable, "-m", "prefect", "worker", "start", "--pool", "control", "--limit", "8"]
        self.stack.enter_context(process(command, self.folder / "control.log", self._at(self.control, "control"), self.control))

    def _at(self, root: Path, name: str) -> dict[str, str]:
        (self.folder / "prefect" / name).mkdir(parents=True, exist_ok=True)
        own = {"TALKHEAD_ROOT": str(root), "TALKHEAD_MACHINE": name, "PYTHONPATH": str(root)}
        return {**self.environment, **own, "PREFECT_HOME": str(self.folder / "prefect" / name)}


def set_up(folder: Path, network: MachineNetwork, stack: ExitStack, speakers: int, stages: str, workers: int | None = None) -> Site:
    """Everything up, and the machines (or the first ``workers`` of them) waiting for work; it goes down with ``stack``."""
    database = stack.enter_context(postgres_server(folder / "postgres", network.host))
    endpoint = stack.enter_context(swift_server(folder / "swift", network.host, workers=2))
    port, aws = free_port(network.host), folder / "aws"
    aws.write_text("")
    environment = {
        **{name: value for name, value in child_environment().items() if not name.startswith(("PREFECT", "AWS"))},
        "PREFECT_API_URL": f"http://{network.host}:{port}/api",
        "PREFECT_API_AUTH_STRING": _AUTH,
        "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30",
        "PREFECT_API_REQUEST_TIMEOUT": "180",
        "PREFECT_WORKER_QUERY_SECONDS": "2",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        "AWS_ACCESS_KEY_ID": ACCESS_KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_CONFIG_FILE": str(aws),
        "AWS_SHARED_CREDENTIALS_FILE": str(aws),
    }
    os.environ.update({name: value for name, value in environment.items() if name.startswith("AWS")})
    ObjectStore(ObjectStoreConfig(endpoint_url=endpoint)).client.create_bucket(Bucket=_ADDRESS.split("/")[2])
    control = make_control_workspace(folder / "control", speakers, stages)
    site = Site(folder=folder, network=network, stack=stack, control=control, environment=environment, port=port)
    server = {
        **site._at(control, "server"),
        "PREFECT_SERVER_DATABASE_CONNECTION_URL": database,
        "PREFECT_SERVER_API_AUTH_STRING": _AUTH,
        "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect.server.concurrency.lease_storage.filesystem",
    }
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", network.host, "--port", str(port)]
    stack.enter_context(process(command, folder / "server.log", server, control))
    until(lambda: _healthy(site), 900, "the Prefect server")
    site.call("flows.command_line", "store", "use", _ADDRESS, "--endpoint-url", endpoint)
    site.call("flows.server_setup", *[word for name in network.namespaces for word in ("--machine", name)])
    site.call("prefect", "--no-prompt", "deploy", "--all")
    site.start_control()
    for name in network.namespaces:
        root = folder / name
        _clone(control, root)
        site.machines[name] = root
        site.call("flows.command_line", "store", "use", _ADDRESS, "--endpoint-url", endpoint, "--machine", root=root)
    for name in list(site.machines)[:workers]:
        site.start_worker(name)
    say(f"up: server, database, store and {len(site.machines)} machines")
    return site


def _clone(control: Path, root: Path) -> None:
    """A clone that has worked before: kernels that are compiled are valid for files that look as old as theirs."""
    subprocess.run(["git", "clone", "--quiet", str(control), str(root)], check=True)
    for package in ("flows", "tasks", "talkhead_core"):
        for path in (control / package).rglob("*"):
            copy = root / path.relative_to(control)
            if path.parent.name == "__pycache__" and not path.name.endswith(".tmp"):
                copy.parent.mkdir(exist_ok=True)
                shutil.copy2(path, copy)
            elif path.is_file() and copy.is_file():
                shutil.copystat(path, copy)


def until(condition: Callable[[], Any], seconds: float, what: str, life: Callable[[], Any] = lambda: None) -> Any:
    """What ``condition`` gives; given up when it gives nothing and ``life`` has not changed for so long."""
    deadline, seen = time.monotonic() + seconds, life()
    while not (found := condition()):
        if (now := life()) != seen:
            deadline, seen = time.monotonic() + seconds, now
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {seconds:.0f} s for {what}, and nothing changed")
        time.sleep(0.5)
    return found


def _healthy(site: Site) -> bool:
    try:
        site._answer("flow_runs/filter", b"{}", attempts=1)
    except OSError:
        return False
    return True


def say(line: str) -> None:
    """Tell whoever watches, with the time."""
    print(f"{time.strftime('%H:%M:%S')} {line}", file=sys.stderr, flush=True)

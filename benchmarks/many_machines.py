"""Acceptance of many machines, for real on one host: ``python -m benchmarks.many_machines`` (root, Debian's Swift and PostgreSQL).

A PostgreSQL, a Prefect server, a Swift that refuses wrong keys and a control worker listen on a bridge; each machine is a network
namespace with a clone, a cache and a worker of its own. Speakers are trained across the machines; in the middle of a training one
machine is killed (``kill -9`` of everything on it, its network cut), and another machine's worker is restarted. Then a batch of dubs
goes across the machines that are left. At the end every promise is checked against what the host's processes did.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from benchmarks.local_services import ACCESS_KEY, SECRET_KEY, free_port, missing_programs, postgres_server, process, swift_server
from benchmarks.machine_network import MachineNetwork, cannot_make_networks, machine_network
from benchmarks.machine_promises import broken_promises, timings
from benchmarks.speakers_for_machines import SPEECH, make_control_workspace
from benchmarks.stage_watch import StageWatch
from flows.child_process import child_environment
from flows.object_store import ObjectStore, ObjectStoreConfig
from talkhead_core.artifacts import write_json

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
        headers = {"Content-Type": "application/json", "Authorization": f"Basic {base64.b64encode(_AUTH.encode()).decode()}"}
        request = urllib.request.Request(f"{self.api}/{path}", json.dumps(body).encode(), headers)
        for attempt in range(5):  # a busy host answers late
            try:
                with urllib.request.urlopen(request, timeout=60) as answer:
                    return json.load(answer)
            except TimeoutError:
                if attempt == 4:
                    raise
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


def main() -> None:
    """Run it and print what was found; exit code 1 when a promise was broken."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.many_machines", description=__doc__.splitlines()[0])
    parser.add_argument("--machines", type=int, default=3)
    parser.add_argument("--speakers", type=int, default=4)
    parser.add_argument("--dubs", type=int, default=8)
    parser.add_argument("--stages", choices=["smoke", "toy"], default="smoke", help="real stages at the smoke profile, or toy ones")
    parser.add_argument("--no-faults", action="store_true", help="kill nothing: for comparing wall times")
    parser.add_argument("--out", type=Path, help="write the figures as JSON")
    parser.add_argument("--keep", action="store_true", help="keep the folder with the logs")
    arguments = parser.parse_args()
    missing = missing_programs() + [name for name in ("/usr/lib/postgresql/15/bin/postgres",) if not Path(name).exists()]
    reason = cannot_make_networks() or (f"not installed: {', '.join(missing)} (see benchmarks/local_services.py)" if missing else None)
    if reason:
        raise SystemExit(f"many_machines: {reason}")
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(143))  # everything that was started is stopped
    folder = Path(tempfile.mkdtemp(prefix="many-machines-"))
    folder.chmod(0o755)
    try:
        figures = run(folder, arguments)
    finally:
        if not arguments.keep:
            subprocess.run(["rm", "-rf", str(folder)], check=False)
    if arguments.out:
        write_json(arguments.out, figures)
    print(json.dumps(figures, indent=2))
    raise SystemExit(1 if figures["broken_promises"] else 0)


def run(folder: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    """The whole story; returns the figures, with the promises that were broken."""
    with ExitStack() as stack:
        network = stack.enter_context(machine_network(arguments.machines))
        site = _set_up(folder, network, stack, arguments)
        names = [f"s{i + 1}" for i in range(arguments.speakers)]
        figures: dict[str, Any] = {"machines": arguments.machines, "speakers": len(names), "stages": arguments.stages}
        with StageWatch({"control": site.control, **site.machines}) as watch:
            began = time.monotonic()
            site.call("prefect", "deployment", "run", "talkhead/full", "-p", f"speaker={','.join(names)}")
            if not arguments.no_faults:
                figures["faults"] = _hurt(site, watch)
            full = _wait(site, "talkhead", 7200)
            figures["training_wall_s"] = round(time.monotonic() - began, 1)
            _say(f"training: {full['state_name']} after {figures['training_wall_s']} s")
            began = time.monotonic()
            _write_manifest(site.control, names, arguments.dubs)
            site.call("prefect", "deployment", "run", "talkhead-dub/batch", "-p", "manifest=batch/manifest.csv", "-p", "dubs_per_run=2")
            batch = _wait(site, "talkhead-dub", 3600)
            figures["dubs_wall_s"] = round(time.monotonic() - began, 1)
            figures["dubs_per_hour"] = round(3600 * arguments.dubs / figures["dubs_wall_s"], 1)
            _say(f"dubs: {batch['state_name']} after {figures['dubs_wall_s']} s")
            site.call("prefect", "deployment", "run", "talkhead/full", "-p", f"speaker={names[0]}")
            _wait(site, "talkhead", 600, count=2)
        hurt = {figures.get("faults", {}).get(name, "") for name in ("killed", "restarted")}
        figures |= timings(site.ask, watch, names)
        figures["broken_promises"] = broken_promises(site.ask, watch, names, hurt, arguments.machines) + _unfinished(
            site, names, (full, batch), arguments.dubs
        )
        return figures


def _set_up(folder: Path, network: MachineNetwork, stack: ExitStack, arguments: argparse.Namespace) -> Site:
    database = stack.enter_context(postgres_server(folder / "postgres", network.host))
    endpoint = stack.enter_context(swift_server(folder / "swift", network.host, workers=2))
    port, aws = free_port(network.host), folder / "aws"
    aws.write_text("")
    environment = {
        **{name: value for name, value in child_environment().items() if not name.startswith(("PREFECT", "AWS"))},
        "PREFECT_API_URL": f"http://{network.host}:{port}/api",
        "PREFECT_API_AUTH_STRING": _AUTH,
        "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30",
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
    control = make_control_workspace(folder / "control", arguments.speakers, arguments.stages)
    site = Site(folder=folder, network=network, stack=stack, control=control, environment=environment, port=port)
    server = {
        **site._at(control, "server"),
        "PREFECT_SERVER_DATABASE_CONNECTION_URL": database,
        "PREFECT_SERVER_API_AUTH_STRING": _AUTH,
        "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect.server.concurrency.lease_storage.filesystem",
    }
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", network.host, "--port", str(port)]
    stack.enter_context(process(command, folder / "server.log", server, control))
    _until(lambda: _healthy(site), 180, "the Prefect server")
    site.call("flows.command_line", "store", "use", _ADDRESS, "--endpoint-url", endpoint)
    site.call("flows.server_setup", *[word for name in network.namespaces for word in ("--machine", name)])
    site.call("prefect", "--no-prompt", "deploy", "--all")
    site.start_control()
    for name in network.namespaces:
        root = folder / name
        subprocess.run(["git", "clone", "--quiet", str(control), str(root)], check=True)
        site.machines[name] = root
        site.call("flows.command_line", "store", "use", _ADDRESS, "--endpoint-url", endpoint, "--machine", root=root)
        site.start_worker(name)
    _say(f"up: server, database, store and {len(site.machines)} machines")
    return site


def _hurt(site: Site, watch: StageWatch) -> dict[str, Any]:
    """Kill the first machine that trains, with its network; restart the worker of another."""
    victim = _until(lambda: next((run.machine for run in watch.working("train_coarse")), None) or _failed(site), 3600, "a training")
    time.sleep(1.0)
    in_flight = [f"{run.stage}@{run.speaker}" for run in watch.runs.values() if run.machine == victim and time.time() - run.ended_s < 0.5]
    site.network.cut(victim)
    for found in site.network.processes(victim):
        found.kill()
    killed_s = time.time()
    _say(f"killed {victim} while it ran {', '.join(in_flight)}, and cut its network")
    told: dict[str, Any] = {"killed": victim, "in_flight": in_flight}
    other = next((name for name in site.machines if name != victim), None)
    if other is not None:
        workers = [found for found in site.network.processes(other) if "worker" in found.cmdline()]
        for found in workers:
            found.send_signal(signal.SIGTERM)
        psutil.wait_procs(workers, timeout=60)
        site.start_worker(other)
        told["restarted"] = other
        _say(f"restarted the worker of {other}")
    again = {name.split("@")[1] for name in in_flight}
    _until(lambda: any(run.speaker in again and run.machine != victim and run.started_s > killed_s for run in list(watch.runs.values())),
           900, "another machine to take over")  # fmt: skip
    told["taken_over_after_s"] = round(time.time() - killed_s, 1)
    _say(f"another machine has taken over after {told['taken_over_after_s']} s")
    return told


def _unfinished(site: Site, names: list[str], runs: tuple[dict[str, Any], ...], dubs: int) -> list[str]:
    """What is not there at the end."""
    found = [f"{run['name']} ended as {run['state_name']}: {run['state']['message']}" for run in runs if run["state_type"] != "COMPLETED"]
    found += [f"no report of {name}" for name in names if not (site.control / "data" / name / "report" / "report.html").is_file()]
    made = sorted((site.control / "out" / "batch").rglob("*.mp4"))
    return found + ([f"{len(made)} of {dubs} dubs are there"] if len(made) != dubs else [])


def _write_manifest(root: Path, names: list[str], dubs: int) -> None:
    lines = ["speaker,audio,out"]
    lines += [f"{names[i % len(names)]},{SPEECH},{names[i % len(names)]}/dub-{i // len(names) + 1}.mp4" for i in range(dubs)]
    (root / "batch" / "manifest.csv").write_text("\n".join(lines) + "\n")


def _failed(site: Site) -> None:
    runs = site.ask("flow_runs/filter", flow_runs={"state": {"type": {"any_": ["FAILED"]}}})
    if runs:
        raise RuntimeError(f"{runs[0]['name']}: {runs[0]['state']['message']}")


def _wait(site: Site, flow: str, seconds: float, count: int = 1) -> dict[str, Any]:
    def ended() -> dict[str, Any] | None:
        runs = site.ask("flow_runs/filter", flows={"name": {"any_": [flow]}}, sort="EXPECTED_START_TIME_DESC")
        return runs[0] if len(runs) == count and runs[0]["state_type"] in ("COMPLETED", "FAILED", "CANCELLED") else None

    return dict(_until(ended, seconds, flow))


def _until(condition: Callable[[], Any], seconds: float, what: str) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {seconds:.0f} s for {what}")
        time.sleep(0.2)
    return found


def _healthy(site: Site) -> bool:
    try:
        site.ask("flow_runs/filter")
    except OSError:
        return False
    return True


def _say(line: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {line}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()

"""``make up`` and ``make down``: a Prefect server, a server of reports and dubs, and two workers, on the loopback interface only.

What dies of them is started again (``flows.kept_alive``).
Everything of theirs lies in ``.talkhead/prefect``; ``prefect.toml`` tells the ``prefect`` command in this folder where the
server is, and goes away with it.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import psutil
import typer

from flows import results_server
from flows.child_process import child_environment
from flows.command_output import run_module
from flows.workspace import Workspace
from talkhead_core.artifacts import read_json, write_json, write_text
from talkhead_core.errors import TalkheadError

__all__ = ["down", "up"]

_POOLS = {"control": "8", "machines": "1"}  # runs at once: those that only start others, and those that work
_PROCESSES = ("control", "machines", "results", "server")  # in the order in which they are stopped
_PORT = 4200
_SECONDS_TO_START = 180.0
_SECONDS_TO_STOP = 15.0

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def up(port: int = _PORT) -> None:
    """Start the server at ``port`` (reports and dubs at the next one) and a worker for each pool, deploy every flow, and return."""
    workspace = Workspace.here()
    with workspace.locked("server"):
        running = _running(workspace)
        if len(running) == len(_PROCESSES):
            _say(f"already up: {_address(int(read_json(_record(workspace))['port']))}")
            return
        _stop(workspace, running)
        environment = _environment(workspace, port)
        for taken in (number for number in (port, port + 1) if _is_taken(number)):
            raise TalkheadError(f"port {taken} is taken by another server; choose one with PORT=... (reports and dubs take the next one)")
        processes: dict[str, Any] = {"port": port}
        try:
            server = ["prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
            processes["server"] = _start(workspace, "server", server, environment)
            processes["results"] = _start(workspace, "results", ["flows.results_server", str(port + 1)], environment)
            _wait_until_healthy(workspace, port, int(processes["server"]["pid"]))
            _python(workspace, ["-m", "flows.server_setup"], environment)
            _python(workspace, ["-m", "prefect", "--no-prompt", "deploy", "--all"], environment)
            for pool, limit in _POOLS.items():
                worker = ["prefect", "worker", "start", "--pool", pool, "--limit", limit, "--name", f"{pool} on this machine"]
                processes[pool] = _start(workspace, pool, worker, environment)
        finally:
            write_json(_record(workspace), processes)
        write_text(workspace.root / "prefect.toml", f'[api]\nurl = "{_address(port)}/api"\n')
        _say(f"up: {_address(port)}; run 'prefect deployment run talkhead/full -p speaker=demo', stop with 'make down'")


@app.command()
def down() -> None:
    """Stop what ``up`` started, and nothing else."""
    workspace = Workspace.here()
    with workspace.locked("server"):
        running = _running(workspace)
        _stop(workspace, running)
        _say("down" if running else "nothing was up")


def _record(workspace: Workspace) -> Path:
    return workspace.private / "server.json"


def _address(port: int) -> str:
    return f"http://127.0.0.1:{port}"


def _environment(workspace: Workspace, port: int) -> dict[str, str]:
    return {
        **child_environment(),
        "PREFECT_HOME": str(workspace.private / "prefect"),
        "PREFECT_API_URL": f"{_address(port)}/api",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
        "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect.server.concurrency.lease_storage.filesystem",
        "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30",
        "PREFECT_WORKER_QUERY_SECONDS": "2",
        "DO_NOT_TRACK": "1",
        "TALKHEAD_ROOT": str(workspace.root),
        results_server.VARIABLE: _address(port + 1),
        "PYTHONPATH": str(workspace.root),
    }


def _start(workspace: Workspace, name: str, arguments: list[str], environment: dict[str, str]) -> dict[str, Any]:
    log = workspace.private / "logs" / f"{name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w") as output:
        process = subprocess.Popen(  # noqa: S603
            [sys.executable, "-m", "flows.kept_alive", *arguments],
            cwd=workspace.root,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    return {"pid": process.pid, "created": psutil.Process(process.pid).create_time()}


def _python(workspace: Workspace, arguments: list[str], environment: dict[str, str]) -> None:
    command = [sys.executable, *arguments]
    result = subprocess.run(command, cwd=workspace.root, env=environment, capture_output=True, text=True, check=False)  # noqa: S603
    if result.returncode != 0:
        lines = (result.stderr or result.stdout).strip().splitlines()
        raise TalkheadError(f"{' '.join(arguments[1:])} failed ({lines[-1] if lines else 'without a message'})")


def _is_taken(port: int) -> bool:
    with socket.socket() as knock:
        return knock.connect_ex(("127.0.0.1", port)) == 0


def _healthy(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"{_address(port)}/api/health", timeout=2) as answer:  # noqa: S310
            return answer.status == 200
    except (urllib.error.URLError, OSError):
        return False


def _wait_until_healthy(workspace: Workspace, port: int, pid: int) -> None:
    deadline = time.monotonic() + _SECONDS_TO_START
    while not _healthy(port):
        if not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE or time.monotonic() > deadline:
            log = (workspace.private / "logs" / "server.log").relative_to(workspace.root)
            raise TalkheadError(f"the Prefect server did not start; its output is in {log}")
        time.sleep(0.2)


def _running(workspace: Workspace) -> dict[str, psutil.Process]:
    """The recorded processes that still live; a number that now belongs to another process does not count."""
    try:
        record = read_json(_record(workspace))
    except FileNotFoundError:
        return {}
    found = {}
    for name in _PROCESSES:
        if name in record and psutil.pid_exists(record[name]["pid"]):
            process = psutil.Process(record[name]["pid"])
            if process.status() != psutil.STATUS_ZOMBIE and abs(process.create_time() - record[name]["created"]) < 1:
                found[name] = process
    return found


def _stop(workspace: Workspace, running: dict[str, psutil.Process]) -> None:
    """The workers first, with the runs they have started, then the server."""
    for process in running.values():
        kept = process.children()  # told by their keeper: told twice, they would drop everything at once
        family = [process, *process.children(recursive=True)]
        for number in (signal.SIGTERM, signal.SIGKILL):
            for member in family:
                if member.is_running() and not (number is signal.SIGTERM and member in kept):
                    os.kill(member.pid, number)
            _, family = psutil.wait_procs(family, timeout=_SECONDS_TO_STOP)
            if not family:
                break
    _record(workspace).unlink(missing_ok=True)
    (workspace.root / "prefect.toml").unlink(missing_ok=True)


def _say(line: str) -> None:
    typer.echo(line)


if __name__ == "__main__":
    run_module(app)

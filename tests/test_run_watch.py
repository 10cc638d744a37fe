"""A run that hears nothing of its server ends itself, with everything that it has started."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import psutil
import pytest

from benchmarks.local_services import free_port
from flows.run_watch import HEARTBEAT_SECONDS, SECONDS_ALONE, ZOMBIE_SECONDS

_CODE = """
import logging, subprocess, sys, threading, uuid
from flows import run_watch
run_watch.SECONDS_ALONE, run_watch._SECONDS_BETWEEN_LOOKS = 2.0, 0.2
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print(child.pid, flush=True)
run_watch._watch(str(uuid.uuid4()), 1, threading.Event(), logging.getLogger("test"))
"""


def test_a_run_without_a_server_ends_itself_and_its_stages() -> None:
    environment = {**os.environ, "PREFECT_API_URL": f"http://127.0.0.1:{free_port()}/api"}
    result = subprocess.run([sys.executable, "-c", _CODE], env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert result.returncode == 75, result.stderr
    assert "no answer of the server" in result.stderr
    deadline = time.monotonic() + 120
    while psutil.pid_exists(pid := int(result.stdout)) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline, "its stage works on"
        time.sleep(0.1)


_SLOW = """
import logging, sys, threading, uuid
from flows import run_watch
run_watch.SECONDS_ALONE, run_watch._SECONDS_BETWEEN_LOOKS = float(sys.argv[1]), 0.2
stop = threading.Event()
threading.Timer(8.0, stop.set).start()
print(flush=True)
run_watch._watch(str(uuid.uuid4()), 1, stop, logging.getLogger("test"))
"""


@contextmanager
def _late_server(seconds: float) -> Iterator[str]:
    """Takes every question, and says after so long that the run goes on."""

    class Late(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            time.sleep(seconds)
            answer = {"id": self.path.split("/")[-1], "flow_id": str(uuid.uuid4()), "run_count": 1, "state": {"type": "RUNNING"}}
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps(answer).encode())

    server = ThreadingHTTPServer(("127.0.0.1", 0), Late)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/api"
    server.shutdown()


@pytest.mark.parametrize(("alone_s", "code"), [("2", 75), ("300", 0)])
def test_a_late_answer_is_an_answer_unless_it_comes_too_late(alone_s: str, code: int) -> None:
    """Not even Prefect's repetitions of a question, minutes in all, make it miss the time at which it must end."""
    with _late_server(4.0) as api:
        command = [sys.executable, "-c", _SLOW, alone_s]
        environment = {**os.environ, "PREFECT_API_URL": api}
        with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None and process.stdout.readline()
            began_s = time.monotonic()
            _, stderr = process.communicate(timeout=300)
    assert process.returncode == code, stderr
    assert time.monotonic() - began_s < 60


def test_it_ends_before_another_machine_begins() -> None:
    """The server calls a run dead after ``ZOMBIE_SECONDS`` without a heartbeat."""
    assert SECONDS_ALONE + HEARTBEAT_SECONDS < ZOMBIE_SECONDS, (
        "a machine cut off just after a heartbeat is called dead 90 s later, one cut off just before, 60 s"
    )


def test_a_server_that_would_call_it_dead_earlier_is_not_set_up() -> None:
    environment = {**os.environ, "PREFECT_API_URL": f"http://127.0.0.1:{free_port()}/api"}
    command = [sys.executable, "-m", "flows.server_setup", "--zombie-seconds", str(SECONDS_ALONE + HEARTBEAT_SECONDS)]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert result.returncode == 1 and "another machine begins before one that was cut off has stopped" in result.stderr

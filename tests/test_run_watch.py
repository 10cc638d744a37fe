"""A run that hears nothing of its server ends itself, with everything that it has started."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import psutil

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

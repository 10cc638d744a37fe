"""What is kept alive is started again when it dies, ends with its keeper, and is left alone when it never worked."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from flows.kept_alive import keep_alive

_KEEP = "import sys; from flows.kept_alive import keep_alive; raise SystemExit(keep_alive(sys.argv[2:], float(sys.argv[1])))"
_LIVE = "import os, sys, time; open(sys.argv[1], 'a').write(f'{os.getpid()}\\n'); time.sleep(600)"


@pytest.fixture
def keeper(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """A keeper of a process that adds its number to a file each time it is started."""
    log = tmp_path / "started.txt"
    command = [sys.executable, "-c", _KEEP, "0", sys.executable, "-c", _LIVE, str(log)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    yield process, log
    process.kill()
    process.communicate()


def _started(log: Path, count: int) -> list[int]:
    deadline = time.monotonic() + 60
    while not log.exists() or log.read_text().count("\n") < count:
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)
    return [int(line) for line in log.read_text().split()]


def _gone(pid: int) -> bool:
    psutil.wait_procs([psutil.Process(pid)] if psutil.pid_exists(pid) else [], timeout=30)
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def test_what_dies_is_started_again_and_stops_with_its_keeper(keeper: tuple[subprocess.Popen[str], Path]) -> None:
    process, log = keeper
    (first,) = _started(log, 1)
    os.kill(first, signal.SIGKILL)
    second = _started(log, 2)[1]
    process.terminate()
    _, said = process.communicate(timeout=60)
    assert process.returncode == 0 and _gone(second)
    assert "(-9); started again in 1 s" in said


def test_nothing_is_left_when_the_keeper_is_killed(keeper: tuple[subprocess.Popen[str], Path]) -> None:
    process, log = keeper
    (child,) = _started(log, 1)
    process.kill()
    assert _gone(child)


def test_what_never_worked_is_not_tried_again() -> None:
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        assert keep_alive([sys.executable, "-c", "raise SystemExit(3)"]) == 3
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)

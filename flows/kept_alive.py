"""A module that is started again when it dies: ``python -m flows.kept_alive prefect worker start --pool machines --limit 1``.

``make up`` starts everything so; by hand it serves where nothing else (compose, Kubernetes, systemd) starts
again what has died. What it started ends with it.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from types import FrameType

from flows.child_process import end_with_parent

__all__ = ["keep_alive"]

_SECONDS_TO_PROVE_ITSELF = 20.0
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 1.0, 60.0
_SECONDS_TO_STOP = 12.0


def keep_alive(command: Sequence[str], seconds_to_prove_itself: float = _SECONDS_TO_PROVE_ITSELF) -> int:
    """Run ``command``, again and again, until this process is told to stop by SIGTERM or SIGINT.

    What dies before it has ever lived for ``seconds_to_prove_itself`` cannot work and is not started again.

    Returns:
        0 when it was stopped; else the exit code of a command that never worked.
    """
    stop = threading.Event()

    def told_to_stop(number: int, frame: FrameType | None) -> None:
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, told_to_stop)
    proved, pause_s = False, _FIRST_PAUSE_S
    while True:
        began_s = time.monotonic()
        process = subprocess.Popen(list(command), preexec_fn=end_with_parent())  # noqa: S603
        while process.poll() is None and not stop.wait(0.2):
            pass
        if stop.is_set():
            _end(process)
            return 0
        lived_s = time.monotonic() - began_s
        if lived_s >= seconds_to_prove_itself:
            proved, pause_s = True, _FIRST_PAUSE_S
        if not proved:
            return process.returncode or 1
        sys.stderr.write(f"{' '.join(command[2:])}: ended after {lived_s:.0f} s ({process.returncode}); started again in {pause_s:.0f} s\n")
        sys.stderr.flush()
        if stop.wait(pause_s):
            return 0
        pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(_SECONDS_TO_STOP)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


if __name__ == "__main__":
    os.environ.setdefault("PYTHONUNBUFFERED", "1")
    raise SystemExit(keep_alive([sys.executable, "-m", *sys.argv[1:]]))

"""Child processes that never outlive the command that started them."""

from __future__ import annotations

import ctypes
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

__all__ = ["child_environment", "end_group", "end_with_parent", "hand_over", "started"]

_PR_SET_PDEATHSIG = 1
_SECONDS_TO_END = 10.0
# MediaPipe's C++ writes these whatever the log level says; they tell a user nothing.
_NATIVE_CHATTER = re.compile(r"[IW]\d{4} \d\d:\d\d:|INFO: Created TensorFlow Lite|WARNING: All log messages before absl::")


def child_environment() -> dict[str, str]:
    """This environment with its own ``python`` and ``dvc`` first on PATH.

    ``dvc.yaml`` says ``exec python``: that must be the one that runs now, and ``$SHELL`` must know ``exec``.
    """
    environment = dict(os.environ)
    environment["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), environment.get("PATH", os.defpath)])
    environment["SHELL"] = "/bin/sh"
    environment["DVC_NO_ANALYTICS"] = "1"
    environment["PYTHONUNBUFFERED"] = "1"
    return environment


@contextmanager
def started(command: Sequence[str | Path], root: Path, *, stdin: int = subprocess.DEVNULL) -> Iterator[subprocess.Popen[str]]:
    """``command`` at work in ``root``, stdout and stderr in one pipe; its process group has ended when the block ends.

    Args:
        command: program and arguments; never a shell line.
        root: the working directory.
        stdin: what it reads: nothing, or ``subprocess.PIPE``.
    """
    process = subprocess.Popen(  # noqa: S603
        [str(part) for part in command],
        cwd=root,
        env=child_environment(),
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
        start_new_session=True,
        preexec_fn=end_with_parent(),
    )
    try:
        yield process
    finally:
        end_group(process)
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with suppress(BrokenPipeError):
                    pipe.close()


def hand_over(command: Sequence[str | Path], root: Path) -> int:
    """Run ``command`` on this terminal, without the chatter of native libraries on stderr; returns its exit code."""
    arguments = [str(part) for part in command]
    with subprocess.Popen(arguments, cwd=root, env=child_environment(), stderr=subprocess.PIPE, text=True, errors="replace") as process:  # noqa: S603
        assert process.stderr is not None
        for line in process.stderr:
            if not _NATIVE_CHATTER.match(line):
                sys.stderr.write(line)
                sys.stderr.flush()
        return process.wait()


def end_with_parent() -> Callable[[], None] | None:
    """For ``preexec_fn`` of a new process: on Linux it is killed when the one that started it dies; elsewhere None."""
    if not sys.platform.startswith("linux"):
        return None
    prctl = ctypes.CDLL(None, use_errno=True).prctl  # looked up before the fork: nothing may be imported after it
    parent = os.getpid()

    def ask_for_signal() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it died before it could be heard of
            os.kill(os.getpid(), signal.SIGKILL)

    return ask_for_signal


def end_group(process: subprocess.Popen[str]) -> None:
    """Interrupt, then kill, whatever is left of the process group; interrupted stages remove what they had half written."""
    for number, seconds in ((signal.SIGINT, _SECONDS_TO_END), (signal.SIGKILL, None)):
        if process.poll() is not None and number is signal.SIGINT:
            continue
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            break
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            continue

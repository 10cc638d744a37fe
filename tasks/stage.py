"""What every stage does around its own work: parameters in, progress out, outputs moved into place whole.

A stage module holds a function ``run(stage: Stage) -> None`` and ends with ``if __name__ == "__main__": main(run)``.
"""

from __future__ import annotations

import argparse
import ctypes
import fcntl
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from talkhead_core.consent import Consent, read_consent
from talkhead_core.errors import TalkheadError, said_of_the_system
from talkhead_core.parameters import from_mapping
from talkhead_core.speakers import check_speaker_name, registered_speaker, speaker_parameters

C = TypeVar("C")

__all__ = ["Stage", "check_speaker_name", "errors_in_one_line", "keep_freed_memory", "main", "print_progress", "resolve_section"]

_NEED_CONSENT = ("ingest", "train_coarse", "train_fine", "train_torso", "render")
_PR_SET_PDEATHSIG = 1
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3


def resolve_section(root: Path, speaker: str, section: str) -> dict[str, Any]:
    """The parameters of one section for one speaker; see :func:`talkhead_core.speakers.speaker_parameters`."""
    return speaker_parameters(root, speaker, section)


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One stage at work on one speaker.

    Args:
        name: the stage's name, also of its section and module.
        speaker: the speaker's name.
        root: the workspace, which holds ``params.yaml``, ``speakers.yaml`` and ``data/``.
    """

    name: str
    speaker: str
    root: Path

    def inputs(self, stage: str) -> Path:
        """The folder that another stage of the same speaker wrote."""
        return self.root / "data" / self.speaker / stage

    @property
    def out(self) -> Path:
        """The folder this stage writes to, ``data/<speaker>/<stage>``; write with the core's whole-file writers."""
        folder = self.inputs(self.name)
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    @property
    def source_video(self) -> Path:
        """The raw video that the speaker was registered with."""
        return self.root / registered_speaker(self.root / "speakers.yaml", self.speaker).video

    def consent(self) -> Consent:
        """The speaker's consent record, which holds today.

        Raises:
            ConsentError: there is none, it was withdrawn or it has expired.
        """
        consent = read_consent(self.inputs("raw") / "consent.json", self.speaker)
        consent.check(self.speaker)
        return consent

    def section(self, config: type[C], name: str | None = None) -> C:
        """This stage's parameters (or those of another section) as its configuration dataclass."""
        section = name or self.name
        return from_mapping(config, resolve_section(self.root, self.speaker, section), where=section)

    def progress(self, done: int, total: int, note: str = "") -> None:
        """Print ``PROGRESS done/total seconds_left note`` for whoever runs the stage; at most a few lines a second."""
        print_progress(done, total, note)


def main(run: Callable[[Stage], None]) -> None:
    """Entry point of ``python -m tasks.<stage> --speaker NAME``; errors for people become one line and exit code 1."""
    name = Path(sys.modules["__main__"].__file__ or "stage").stem
    parser = argparse.ArgumentParser(prog=f"python -m tasks.{name}")
    parser.add_argument("--speaker", required=True)
    parser.add_argument("--debug", action="store_true", help="show tracebacks")
    arguments = parser.parse_args()
    with errors_in_one_line(name, debug=arguments.debug):
        stage = Stage(name=name, speaker=check_speaker_name(arguments.speaker), root=Path.cwd())
        _die_with_parent()
        keep_freed_memory()
        with _alone(stage):
            if name in _NEED_CONSENT:
                stage.consent()
            _remove_half_written(stage.out)
            run(stage)


@contextmanager
def errors_in_one_line(name: str, *, debug: bool = False) -> Iterator[None]:
    """Turn a ``TalkheadError``, and what the system refuses, into ``name: message`` on stderr and exit code 1, unless ``debug``."""
    try:
        yield
    except Exception as error:
        line = str(error) if isinstance(error, TalkheadError) else said_of_the_system(error)
        if debug or line is None:
            raise
        sys.stderr.write(f"{name}: {' '.join(line.split())}\n")
        raise SystemExit(1) from None


_started_s: float | None = None
_last_s = 0.0
_last_done = _first_done = 0


def print_progress(done: int, total: int, note: str = "") -> None:
    """The listener of every process in ``tasks``: one line of text that ``flows`` turns into a bar."""
    global _started_s, _last_s, _last_done, _first_done
    now = time.monotonic()
    if _started_s is None or done == 0 or done < _last_done:  # less than before: the next of several pieces of work
        _started_s, _first_done = now, done  # what is taken up again does not begin at 0
    _last_done = done
    if done < total and now - _last_s < 0.5:
        return
    _last_s = now
    left = (now - _started_s) / (done - _first_done) * (total - done) if done > _first_done else 0.0
    sys.stdout.write(f"PROGRESS {done}/{total} {left:.0f}s {note}".rstrip() + "\n")
    sys.stdout.flush()


def _remove_half_written(folder: Path) -> None:
    """What a killed process of this stage was writing; nobody else writes there while the stage's lock is held."""
    if os.environ.get("LOCAL_RANK", "0") == "0":
        for path in folder.glob(".writing-*"):
            path.unlink(missing_ok=True)


def _die_with_parent() -> None:
    """On Linux, end when DVC is killed; else a killed run would leave its stage working beside the next one."""
    if not sys.platform.startswith("linux"):
        return
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if _orphaned():  # DVC was killed while this process loaded its libraries
        raise TalkheadError("what started this stage has ended already, so it ends too; to let it outlive its parent, start it by setsid")


def _orphaned() -> bool:
    """Whether the parent is another than started this: orphans go to a process of another session, and DVC starts stages in its own."""
    session = os.getsid(0)
    try:
        return session != os.getpid() and os.getsid(os.getppid()) != session
    except ProcessLookupError:  # it died just now
        return True


def keep_freed_memory() -> None:
    """Have glibc hand out again what it otherwise returns to the system after every frame: a quarter of a stage's time went there.

    The limits are those at which glibc itself arrives in a process that has freed 32 MB at once.
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, 32 << 20)
        mallopt(_M_TRIM_THRESHOLD, 64 << 20)


@contextmanager
def _alone(stage: Stage) -> Iterator[None]:
    """Hold the lock of this stage of this speaker; a second process waits for the first to end."""
    if os.environ.get("LOCAL_RANK", "0") != "0":  # torchrun's first process on this machine holds it for all
        yield
        return
    path = stage.root / ".talkhead" / "locks" / f"{stage.name}@{stage.speaker}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            sys.stderr.write(f"{stage.name}: waiting for another process at work on {stage.speaker}\n")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield

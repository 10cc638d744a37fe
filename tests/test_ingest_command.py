"""What cannot work, as a user meets it: through the stage's own command, in bounded memory and time, with nothing left behind.

The interpreter that runs the command is forked for each file after it has loaded its libraries, which takes longer than the refusals.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from flows.child_process import child_environment
from talkhead_core.consent import Consent, statement_hash, write_consent
from talkhead_core.speakers import Speaker, write_speakers
from tests.footage_maker import plain_video
from tests.test_bad_input import REFUSED
from tests.toy_workspace import REPOSITORY

MEMORY_BYTES = 2 << 30  # more than the process has mapped when the file is given
PROCESSOR_SECONDS, SECONDS = 60, 600  # the second for what hangs without working; the machine may be busy

_COMMANDS = f"""
import json, os, resource, runpy, signal, sys, time
import tasks.ingest

def command(speaker, said):
    mapped = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (mapped + {MEMORY_BYTES}, resource.RLIM_INFINITY))
    resource.setrlimit(resource.RLIMIT_CPU, ({PROCESSOR_SECONDS}, {PROCESSOR_SECONDS}))
    signal.alarm({SECONDS})
    for number in (1, 2):
        os.dup2(os.open(said, os.O_WRONLY | os.O_CREAT | os.O_APPEND), number)
    sys.argv = ["ingest", "--speaker", speaker]
    runpy.run_module("tasks.ingest", run_name="__main__", alter_sys=True)

for line in sys.stdin:
    speaker, said = line.split()
    child = os.fork()
    if child == 0:
        code = 99
        try:
            command(speaker, said)
            code = 0
        except SystemExit as end:
            code = end.code
        except BaseException:
            import traceback
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)
    _, status, used = os.wait4(child, 0)
    print(json.dumps([os.waitstatus_to_exitcode(status), used.ru_maxrss * 1024]), flush=True)
"""


@dataclass(frozen=True, kw_only=True)
class Done:
    code: int
    resident_bytes: int
    said: list[str]


class Commands:
    """``python -m tasks.ingest --speaker NAME``, again and again, in one workspace."""

    def __init__(self, root: Path) -> None:
        self.root = root
        environment = child_environment() | {"OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-c", _COMMANDS]
        self._process = subprocess.Popen(command, cwd=root, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._speakers: dict[str, Speaker] = {}

    def add(self, name: str, video: Path) -> None:
        """Register a speaker with consent."""
        consent = Consent(who="Ada", purpose="tests", given_on="2020-01-01", statement_sha256=statement_hash("yes"))
        write_consent(self.root / "data" / name / "raw" / "consent.json", consent)
        self._speakers[name] = Speaker(video=str(video.relative_to(self.root)), profile="smoke", config="talkhead")
        write_speakers(self.root / "speakers.yaml", self._speakers)

    def ingest(self, speaker: str) -> Done:
        said = self.root / f"{speaker}.txt"
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(f"{speaker} {said}\n")
        self._process.stdin.flush()
        code, resident = json.loads(self._process.stdout.readline())
        return Done(code=code, resident_bytes=resident, said=said.read_text().splitlines())

    def close(self) -> None:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(30)
        self._process.stdout.close()


@pytest.fixture(scope="module")
def commands(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Commands]:
    root = tmp_path_factory.mktemp("workspace")
    for name in ("tasks", "talkhead_core", "flows", "params.yaml"):
        (root / name).symlink_to(REPOSITORY / name)
    running = Commands(root)
    yield running
    running.close()


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return plain_video(tmp_path_factory.mktemp("plain") / "plain.mp4")


@pytest.mark.parametrize("name", REFUSED)
def test_the_command_refuses_in_one_line(name: str, plain: Path, commands: Commands) -> None:
    make, complaint = REFUSED[name]
    speaker = re.sub(r"[^a-z0-9]+", "-", name)
    raw = commands.root / "data" / speaker / "raw"
    raw.mkdir(parents=True)
    video = make(plain, raw)
    commands.add(speaker, video)
    done = commands.ingest(speaker)
    told = [line for line in done.said if line.startswith("ingest: ")]
    assert done.code == 1 and len(told) == 1, done.said
    assert not any("Traceback" in line or "MemoryError" in line for line in done.said), done.said
    assert str(video.relative_to(commands.root)) in told[0] and re.search(complaint, told[0]) and "; " in told[0]
    written = [path for path in (commands.root / "data" / speaker).rglob("*") if path.is_file() and raw not in path.parents]
    assert written == [], "half-written files"
    assert done.resident_bytes < 1.5e9


def test_the_command_does_what_can_be_done_under_the_same_limits(plain: Path, commands: Commands) -> None:
    """Else the limits themselves might be what refuses."""
    raw = commands.root / "data" / "whole" / "raw"
    raw.mkdir(parents=True)
    (raw / "video.mp4").write_bytes(plain.read_bytes())
    commands.add("whole", raw / "video.mp4")
    done = commands.ingest("whole")
    assert done.code == 0, done.said
    assert sorted(path.name for path in (raw.parent / "ingest").iterdir()) == ["clip.mkv", "ingest.json"]

"""A process that is killed leaves its work folder to the next one, which removes it, and never that of one still at work."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from flows.forgetting import forget
from flows.workspace import Workspace
from talkhead_core.errors import TalkheadError
from talkhead_core.work_folders import folders_at_work, work_folder
from tests.toy_workspace import add_speaker, make_toy_workspace

_WORKER = """
import sys
from pathlib import Path
from talkhead_core.work_folders import work_folder

with work_folder(Path(sys.argv[1]), "dub-", Path(sys.argv[2])) as folder:
    (folder / "silent.mp4").write_bytes(b"half a video")
    print(folder, flush=True)
    sys.stdin.read()
"""


class Worker:
    """A process at work in a folder of its own, until it is told to end or is killed."""

    def __init__(self, parent: Path, gate: Path) -> None:
        command = [sys.executable, "-c", _WORKER, str(parent), str(gate)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.folder = Path(self.process.stdout.readline().strip())

    def ends(self) -> None:
        self.process.communicate()

    def is_killed(self) -> None:
        self.process.kill()
        self.process.communicate()


def test_the_next_one_removes_what_a_killed_one_left_and_nothing_else(tmp_path: Path) -> None:
    parent, gate = tmp_path / "ada", tmp_path / "locks" / "dubs-ada.lock"
    parent.mkdir()
    (parent / "ingest").mkdir()
    at_work, killed = Worker(parent, gate), Worker(parent, gate)
    killed.is_killed()
    assert (killed.folder / "silent.mp4").exists(), "nobody cleans up after kill -9"
    with work_folder(parent, "dub-", gate) as mine:
        assert {path.name for path in parent.iterdir()} == {"ingest", at_work.folder.name, mine.name}
        assert (at_work.folder / "silent.mp4").read_bytes() == b"half a video"
        assert set(folders_at_work(parent, "dub-")) == {at_work.folder, mine}
    at_work.ends()
    assert [path.name for path in parent.iterdir()] == ["ingest"]


def test_whoever_was_forgotten_gets_no_folder(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), work_folder(tmp_path / "ada", "dub-", tmp_path / "gate"):
        pass
    assert not (tmp_path / "ada").exists()


def test_forgetting_waits_for_no_dub_and_takes_what_a_killed_one_left(tmp_path: Path) -> None:
    root = make_toy_workspace(tmp_path)
    add_speaker(root, "ada")
    parent = root / "data" / "ada"
    dub = Worker(parent, root / ".talkhead" / "locks" / "dubs-ada.lock")
    with pytest.raises(TalkheadError, match="at work on speaker 'ada'"):
        forget(Workspace(root), "ada")
    assert (dub.folder / "silent.mp4").exists() and (parent / "raw").is_dir()
    dub.is_killed()
    assert forget(Workspace(root), "ada").left == []
    assert not parent.exists()

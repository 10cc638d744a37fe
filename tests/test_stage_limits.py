"""Stages that hang, disks that are full, and a disk that fills while a stage works; with toy stages."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from flows.dub_process import DubProcess, DubSource
from flows.free_space import check_free_space, space_needed
from flows.stage_graph import read_stage_graph
from flows.stage_runs import Outcome, StageFailedError, reproduce, run_task
from flows.stage_status import speaker_status
from flows.workspace import Workspace
from talkhead_core.errors import TalkheadError
from tests.toy_workspace import REPOSITORY, add_speaker, make_toy_workspace

STAGES = [node.name for node in read_stage_graph(REPOSITORY)]
_DISK_MB = 320


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, in memory."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={_DISK_MB}m", "talkhead-test", str(folder)]
    if os.getuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("mounting a file system needs root")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_hanging_stage_is_ended_with_all_its_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workspace = Workspace(make_toy_workspace(tmp_path))
    add_speaker(workspace.root, "ada")
    monkeypatch.setenv("TOY_INGEST_SECONDS", "600")
    began = time.monotonic()
    with pytest.raises(StageFailedError, match="ingest: stopped after 3 s") as error:
        list(reproduce(workspace, "ada", ["ingest"], alone=True, timeout_s=3))
    assert error.value.worth_retrying and time.monotonic() - began < 300
    _nobody_works_in(workspace.root)
    monkeypatch.delenv("TOY_INGEST_SECONDS")
    events = list(reproduce(workspace, "ada", ["ingest"], alone=True, timeout_s=300))
    assert events[-1].outcome is Outcome.RAN


def test_hanging_task_is_ended(tmp_path: Path) -> None:
    workspace = Workspace(make_toy_workspace(tmp_path))
    (workspace.root / "tasks" / "dub.py").write_text("import time\ntime.sleep(600)\n")
    with pytest.raises(StageFailedError, match="dub: stopped after 1 s"):
        run_task(workspace, "dub", [], lambda event: None, timeout_s=1)
    _nobody_works_in(workspace.root)


def test_hanging_dub_is_ended_and_the_next_one_is_made(tmp_path: Path) -> None:
    workspace = Workspace(make_toy_workspace(tmp_path))
    add_speaker(workspace.root, "ada")
    model = workspace.root / "data/ada/train_torso/model.safetensors"
    model.parent.mkdir()
    model.write_text("model")
    task = workspace.root / "tasks" / "dub_requests.py"
    good = task.read_text()
    task.write_text("import time\ntime.sleep(600)\n")
    speech, out = workspace.root / "speech.wav", workspace.root / "out.mp4"
    speech.write_bytes(b"speech")
    source = DubSource(root=workspace.root, speaker="ada", options=(), signature="")
    with DubProcess() as process:
        with pytest.raises(StageFailedError, match="dub: stopped after 1 s"):
            process.dub(source, speech, out, lambda event: None, timeout_s=1)
        task.write_text(good)
        process.dub(source, speech, out, lambda event: None, timeout_s=300)
        assert out.is_file() and out.with_suffix(".html").is_file()
    _nobody_works_in(workspace.root)


def test_errors_of_a_stage_itself_are_not_worth_a_retry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workspace = Workspace(make_toy_workspace(tmp_path))
    add_speaker(workspace.root, "ada")
    list(reproduce(workspace, "ada", ["ingest"], alone=True))
    for variable, worth in (("TOY_FAILS", False), ("TOY_CRASHES", True)):
        monkeypatch.setenv(variable, "landmarks")
        with pytest.raises(StageFailedError) as error:
            list(reproduce(workspace, "ada", ["landmarks"], alone=True))
        assert error.value.worth_retrying is worth, variable
        monkeypatch.delenv(variable)


def test_no_stage_starts_on_a_full_disk(small_disk: Path) -> None:
    workspace = Workspace(make_toy_workspace(small_disk))
    add_speaker(workspace.root, "ada")
    check_free_space(workspace, "ada", STAGES)
    filler = small_disk / "filler"
    filler.write_bytes(b"x" * (_DISK_MB - 150) * 1_000_000)
    with pytest.raises(TalkheadError, match=r"ingest: 0\.\d+ GB free in .* 0\.2\d GB needed; make room"):
        list(reproduce(workspace, "ada", ["ingest"], alone=True))
    assert not (workspace.root / "ran.txt").exists()
    filler.unlink()
    assert list(reproduce(workspace, "ada", ["ingest"], alone=True))[-1].outcome is Outcome.RAN


def test_room_is_reckoned_from_what_a_stage_wrote(tmp_path: Path) -> None:
    workspace = Workspace(make_toy_workspace(tmp_path))
    add_speaker(workspace.root, "ada", video=b"good" * 250_000)
    reserve = space_needed(workspace, "nobody", ["ingest"])
    assert space_needed(workspace, "ada", ["ingest"]) == reserve + 2 * 3 * 1_000_000, "never ran: a guess from the recording"
    list(reproduce(workspace, "ada", ["ingest"], alone=True))
    written = sum(path.stat().st_size for path in (workspace.root / "data/ada/ingest").iterdir())
    assert space_needed(workspace, "ada", ["ingest"]) == reserve + 2 * written


_ORPHAN = """
import os, pathlib, sys, time
{before}
parent = os.getpid()
if os.fork():
    os._exit(0)
while os.getppid() == parent:
    time.sleep(0.01)
{ask}
pathlib.Path(sys.argv[1]).write_text("works on")
"""


@pytest.mark.parametrize(
    ("before", "ask"),
    [
        ("from flows.child_process import end_with_parent; ask = end_with_parent()", "ask()"),
        ("from tasks.stage import _die_with_parent", "_die_with_parent()"),
        pytest.param("", "", id="nobody asks"),
    ],
)
def test_a_parent_that_died_too_early_to_be_heard_of_is_noticed(tmp_path: Path, before: str, ask: str) -> None:
    """The system tells of a parent's death only those who asked before it."""
    marker = tmp_path / "marker"
    command = [sys.executable, "-c", _ORPHAN.format(before=before, ask=ask), str(marker)]
    subprocess.run(command, check=True, capture_output=True, timeout=120, start_new_session=True)  # as DVC is started
    assert marker.exists() is (before == "")


@pytest.mark.slow
def test_disk_that_fills_while_a_stage_works_costs_that_stage_only(small_disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workspace = Workspace(make_toy_workspace(small_disk))
    add_speaker(workspace.root, "ada")
    list(reproduce(workspace, "ada", STAGES[:4]))
    monkeypatch.setenv("TOY_LANDMARKS_SECONDS", "6")
    filler = small_disk / "filler"
    stop = threading.Event()

    def fill() -> None:
        while not stop.wait(0.05):
            if "landmarks@ada" in (workspace.root / "ran.txt").read_text():
                with filler.open("ab") as file:
                    try:
                        while not stop.is_set():
                            file.write(b"x" * 1_000_000)
                            file.flush()
                    except OSError:
                        continue

    thread = threading.Thread(target=fill, daemon=True)
    thread.start()
    with pytest.raises(TalkheadError):
        list(reproduce(workspace, "ada", ["landmarks"], alone=True))
    stop.set()
    thread.join()
    filler.unlink()
    monkeypatch.delenv("TOY_LANDMARKS_SECONDS")
    events = [event for event in reproduce(workspace, "ada", STAGES) if event.outcome is not None]
    outcomes = {event.stage: event.outcome for event in events}
    assert [outcomes[stage] for stage in STAGES[:4]] == [Outcome.UNCHANGED] * 4
    assert all(row.up_to_date for row in speaker_status(workspace, "ada"))


def _nobody_works_in(root: Path) -> None:
    deadline = time.monotonic() + 120
    while True:
        working = []
        for process in psutil.process_iter():
            try:
                if Path(process.cwd()) == root and process.status() != psutil.STATUS_ZOMBIE:
                    working.append(process.cmdline())
            except (psutil.Error, OSError):
                continue
        if not working:
            return
        assert time.monotonic() < deadline, working
        time.sleep(0.1)

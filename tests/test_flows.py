"""The graph as DVC runs it, on toy stages: order, caching, what reruns, failing and killing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from dvc.repo import Repo

from flows.child_process import child_environment
from flows.dvc_locks import release_dead_holders
from flows.stage_graph import last_stages, read_stage_graph
from flows.stage_runs import Outcome, StageFailedError, reproduce
from flows.stage_status import speaker_status, speakers_up_to_date
from flows.workspace import Workspace
from tests.toy_workspace import REPOSITORY, add_speaker, make_toy_workspace, ran, set_parameter, talkhead

STAGES = [node.name for node in read_stage_graph(REPOSITORY)]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A toy workspace whose speaker has run once."""
    root = make_toy_workspace(tmp_path_factory.mktemp("flows"))
    add_speaker(root, "ada")
    outcomes = _outcomes(root, "ada", STAGES)
    assert outcomes == dict.fromkeys(STAGES, Outcome.RAN)
    assert ran(root) == [f"{stage}@ada" for stage in STAGES]
    return root


def _outcomes(root: Path, speaker: str, stages: list[str], *, alone: bool = False) -> dict[str, Outcome]:
    events = list(reproduce(Workspace(root), speaker, stages, alone=alone))
    return {event.stage: event.outcome for event in events if event.outcome is not None}


def _descendants(stage: str) -> set[str]:
    found = {stage}
    for node in read_stage_graph(REPOSITORY):
        if found & set(node.upstream):
            found.add(node.name)
    return found


def test_graph_is_the_one_that_dvc_sees(finished: Path) -> None:
    with Repo(str(finished)) as repo:
        graph = repo.index.graph
        dvc_edges = {stage.name.split("@")[0]: {d.name.split("@")[0] for d in graph.successors(stage)} for stage in graph}
    assert {node.name: set(node.upstream) for node in read_stage_graph(finished)} == dvc_edges


def test_second_run_runs_nothing_and_status_is_clean(finished: Path) -> None:
    assert _outcomes(finished, "ada", STAGES) == dict.fromkeys(STAGES, Outcome.UNCHANGED)
    assert ran(finished) == []
    assert all(row.up_to_date for row in speaker_status(Workspace(finished), "ada"))


def test_stages_that_bring_all_others_with_them() -> None:
    nodes = read_stage_graph(REPOSITORY)
    assert last_stages(nodes, STAGES) == ["report"]
    assert last_stages(nodes, ["denoise", "ingest", "landmarks"]) == ["denoise", "landmarks"]


@pytest.mark.parametrize("stage", ["segment", "train_fine"])
def test_one_parameter_reruns_only_what_depends_on_it(finished: Path, stage: str) -> None:
    set_parameter(finished, stage, "x", f"changed for {stage}")
    stale = {row.stage for row in speaker_status(Workspace(finished), "ada") if not row.up_to_date}
    assert stale == _descendants(stage) and speakers_up_to_date(Workspace(finished), ["ada"]) == []
    _outcomes(finished, "ada", STAGES)
    assert set(ran(finished)) == {f"{name}@ada" for name in _descendants(stage)}
    set_parameter(finished, stage, "x", 1)
    outcomes = _outcomes(finished, "ada", STAGES)
    assert ran(finished) == [], "what was made before comes back from the run cache"
    assert {name for name, outcome in outcomes.items() if outcome is Outcome.RESTORED} == _descendants(stage)


def test_override_of_another_profile_reruns_nothing(finished: Path) -> None:
    import yaml

    params = yaml.safe_load((finished / "params.yaml").read_text())
    params["profiles"]["full"]["train_coarse"] = {"x": 7}
    (finished / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    assert all(row.up_to_date for row in speaker_status(Workspace(finished), "ada"))
    params["profiles"]["smoke"]["report"] = {"x": 7}
    (finished / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    assert {row.stage for row in speaker_status(Workspace(finished), "ada") if not row.up_to_date} == {"report"}
    params["profiles"]["smoke"]["report"] = {}
    (finished / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))


def test_compiled_python_is_no_dependency(finished: Path) -> None:
    cache = finished / "talkhead_core" / "audio" / "__pycache__"
    cache.mkdir(exist_ok=True)
    (cache / "x.cpython-311.pyc").write_bytes(b"anything")
    assert all(row.up_to_date for row in speaker_status(Workspace(finished), "ada"))


def test_a_change_in_the_code_of_a_stage_reruns_it(finished: Path) -> None:
    module = finished / "tasks" / "report.py"
    text = module.read_text()
    module.write_text(text + "\n# changed\n")
    rows = {row.stage: row.reasons for row in speaker_status(Workspace(finished), "ada") if not row.up_to_date}
    assert rows == {"report": ("tasks/report.py modified",)}
    module.write_text(text)


def test_events_tell_progress(finished: Path) -> None:
    set_parameter(finished, "report", "x", "progress")
    events = [event for event in reproduce(Workspace(finished), "ada", ["report"], alone=True) if event.stage == "report"]
    steps = [(event.done, event.total, event.note) for event in events if event.done is not None]
    assert steps[0] == (1, 4, "toy") and steps[-1] == (4, 4, "toy")
    assert events[0].outcome is None and events[-1].outcome is Outcome.RAN
    ran(finished)


def test_a_failing_stage_is_one_line_and_the_rest_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = make_toy_workspace(tmp_path)
    add_speaker(root, "ada")
    monkeypatch.setenv("TOY_FAILS", "track_head")
    with pytest.raises(StageFailedError) as error:
        _outcomes(root, "ada", STAGES)
    assert str(error.value) == "track_head: data/x.mp4: the toy was asked to fail; ask it not to"
    assert not (root / "data/ada/track_head/track.json").exists()
    monkeypatch.delenv("TOY_FAILS")
    before = set(ran(root))
    outcomes = _outcomes(root, "ada", STAGES)
    assert {f"{stage}@ada" for stage, outcome in outcomes.items() if outcome is Outcome.UNCHANGED} == before - {"track_head@ada"}
    monkeypatch.setenv("TOY_CRASHES", "segment")
    set_parameter(root, "segment", "x", 2)
    result = talkhead(root, "run", "--speaker", "ada")
    assert result.returncode == 1
    last = result.stderr.strip().splitlines()[-1]
    assert last == "talkhead: segment: stopped unexpectedly (ZeroDivisionError: a toy bug); its output is in .talkhead/logs/ada/segment.log"
    assert "Traceback" not in result.stderr and "Traceback" in (root / ".talkhead/logs/ada/segment.log").read_text()


def test_killed_run_leaves_no_process_and_picks_up(tmp_path: Path) -> None:
    root = make_toy_workspace(tmp_path)
    add_speaker(root, "ada")
    environment = {**child_environment(), "TOY_SEGMENT_SECONDS": "600"}
    command = [sys.executable, "-m", "flows.command_line", "run", "--speaker", "ada"]
    process = subprocess.Popen(command, cwd=root, env=environment, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _wait_until(lambda: "segment@ada" in _log(root))
    busy = talkhead(root, "run", "--speaker", "ada")
    assert busy.returncode == 1 and "another talkhead is at work on speaker 'ada'" in busy.stderr
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    _wait_until(lambda: not _processes_in(root))
    assert talkhead(root, "run", "--speaker", "ada").returncode == 0
    assert sorted(ran(root)) == sorted([*(f"{stage}@ada" for stage in STAGES), "segment@ada"])
    assert all(row.up_to_date for row in speaker_status(Workspace(root), "ada"))


def test_two_speakers_at_once(tmp_path: Path) -> None:
    root = make_toy_workspace(tmp_path)
    for name in ("ada", "bob"):
        add_speaker(root, name)
    commands = [[sys.executable, "-m", "flows.command_line", "run", "--speaker", name] for name in ("ada", "bob")]
    processes = [subprocess.Popen(command, cwd=root, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) for command in commands]
    for process in processes:
        _, stderr = process.communicate(timeout=300)
        assert process.returncode == 0, stderr
    assert sorted(ran(root)) == sorted(f"{stage}@{name}" for stage in STAGES for name in ("ada", "bob"))
    for name in ("ada", "bob"):
        assert all(row.up_to_date for row in speaker_status(Workspace(root), name))


def test_interrupted_run_ends_its_stage(tmp_path: Path) -> None:
    root = make_toy_workspace(tmp_path)
    add_speaker(root, "ada")
    environment = {**child_environment(), "TOY_LANDMARKS_SECONDS": "600"}
    command = [sys.executable, "-m", "flows.command_line", "run", "--speaker", "ada"]
    process = subprocess.Popen(command, cwd=root, env=environment, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    _wait_until(lambda: "landmarks@ada" in _log(root))
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=120)
    assert process.returncode == 130 and "picks up where it stood" in stderr and "Traceback" not in stderr
    assert not _processes_in(root)


def test_spoiled_dvc_lock_is_put_back(tmp_path: Path) -> None:
    root = make_toy_workspace(tmp_path)
    add_speaker(root, "ada")
    assert talkhead(root, "run", "--speaker", "ada").returncode == 0
    ran(root)
    lock = root / "dvc.lock"
    good = lock.read_text()
    for spoiled in (good[: len(good) // 2 + 3] + '\n  "', good.replace("nfiles: ", "n3iles: ", 1)):
        lock.write_text(spoiled)
        result = talkhead(root, "run", "--speaker", "ada")
        assert result.returncode == 0, result.stderr
        assert ran(root) == [] and spoiled != good == lock.read_text()


@pytest.mark.parametrize("content", ["zombie", "another program", "cut short", "empty"])
def test_lock_of_a_killed_dvc_does_not_block(tmp_path: Path, content: str) -> None:
    """A zombie keeps its process number for as long as nobody reaps it."""
    root = make_toy_workspace(tmp_path)
    add_speaker(root, "ada")
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60 if __import__('sys').argv[1] == 'stay' else 0)",
                              "stay" if content == "another program" else "end"])  # fmt: skip
    if content == "zombie":
        _wait_until(lambda: Path(f"/proc/{child.pid}/stat").read_text().split(")")[1].split()[0] == "Z")
    holder = {"pid": child.pid, "cmd": "dvc repro"}
    entries = json.dumps({"write": {str(root / "data/ada/ingest/clip.mkv"): holder}, "read": {}})
    (root / ".dvc/tmp").mkdir(exist_ok=True)
    (root / ".dvc/tmp/rwlock").write_text({"cut short": entries[:40], "empty": ""}.get(content, entries))
    assert _outcomes(root, "ada", ["ingest"]) == {"ingest": Outcome.RAN}
    child.kill()
    child.wait()


def test_lock_of_a_living_dvc_is_kept(tmp_path: Path) -> None:
    root = make_toy_workspace(tmp_path)
    living = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)", "dvc"])
    entries = {"write": {"a": {"pid": living.pid, "cmd": "dvc repro"}}, "read": {"b": [{"pid": 2**22 + 1, "cmd": "dvc repro"}]}}
    (root / ".dvc/tmp").mkdir(exist_ok=True)
    (root / ".dvc/tmp/rwlock").write_text(json.dumps(entries))
    release_dead_holders(Workspace(root))
    assert json.loads((root / ".dvc/tmp/rwlock").read_text()) == {"write": entries["write"], "read": {}}
    living.kill()
    living.wait()


def test_stages_run_one_by_one_as_an_orchestrator_would(tmp_path: Path) -> None:
    root = make_toy_workspace(tmp_path)
    add_speaker(root, "ada")
    assert _outcomes(root, "ada", ["ingest"], alone=True) == {"ingest": Outcome.RAN}
    assert _outcomes(root, "ada", ["ingest"], alone=True) == {"ingest": Outcome.UNCHANGED}
    with pytest.raises(StageFailedError):
        _outcomes(root, "ada", ["train_coarse"], alone=True)


def test_status_as_json(finished: Path) -> None:
    result = talkhead(finished, "status", "--speaker", "ada", "--json")
    assert [row["stage"] for row in json.loads(result.stdout)] == STAGES


def _log(root: Path) -> str:
    path = root / "ran.txt"
    return path.read_text() if path.exists() else ""


def _processes_in(root: Path) -> list[str]:
    """Command lines of the processes whose working directory is the workspace."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if (entry / "cwd").resolve() == root.resolve() and (entry / "cmdline").read_bytes():
                    found.append((entry / "cmdline").read_bytes().replace(b"\0", b" ").decode())
            except OSError:
                continue
    return found


def _wait_until(condition, seconds: float = 300.0) -> None:  # noqa: ANN001
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)

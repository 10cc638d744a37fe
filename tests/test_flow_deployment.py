"""``make up``, deployments run as a user runs them, and ``make down``: on a real server, with toy stages."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
import pytest

from flows.crash_policy import TAG
from flows.gpu_slots import limit_name
from flows.model_versions import read_history
from flows.run_watch import MOST_RESCHEDULES, TRIED_AGAIN
from flows.stage_graph import read_stage_graph
from flows.workspace import Workspace
from talkhead_core.consent import Consent, statement_hash, write_consent
from tests.headless_chromium import SOFTWARE_RENDERING, Browser, chromium_path, green_pixels
from tests.prefect_server import ask, look_up, run_deployment, server_up, task_states, wait_for, without_prefect
from tests.toy_workspace import REPOSITORY, add_speaker, ran, set_parameter

STAGES = [node.name for node in read_stage_graph(REPOSITORY)]
CRON_FOLDER, TAKEN_FOLDER, ORPHANED_FOLDER = "nothing-comes-here", "nor-here", "nor-there"
SECONDS_TO_BEGIN = 45

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    """A toy workspace with server and workers up, a cron schedule two minutes ahead, and a run that nobody begins."""
    with server_up(tmp_path_factory.mktemp("deployment")) as (root, api):
        deployment = ask(api, "deployments/filter", flows={"name": {"any_": ["talkhead-retrain"]}})[0]
        soon = datetime.now(UTC) + timedelta(minutes=2)
        schedule = {"cron": f"{soon.minute} {soon.hour} * * *", "timezone": "UTC"}
        ask(
            api,
            f"deployments/{deployment['id']}/schedules",
            [{"schedule": schedule, "active": True, "parameters": {"incoming": CRON_FOLDER}}],
        )
        code = f"from flows.crash_policy import set_automations; set_automations(seconds_to_begin={SECONDS_TO_BEGIN})"
        environment = {**without_prefect(), "PREFECT_API_URL": api}
        subprocess.run([sys.executable, "-c", code], cwd=root, env=environment, check=True, capture_output=True)
        taken = {"type": "PENDING", "name": "Submitting"}
        ask(api, f"deployments/{deployment['id']}/create_flow_run", state=taken, parameters={"incoming": TAKEN_FOLDER}, tags=[TAG])
        yield root, api


def _runs(api: str, name: str) -> list[dict[str, Any]]:
    return list(ask(api, "flow_runs/filter", flow_runs={"name": {"any_": [name]}}, sort="EXPECTED_START_TIME_ASC"))


def test_deployment_runs_the_whole_graph_of_the_demo(served: tuple[Path, str]) -> None:
    root, api = served
    output = run_deployment(root, "talkhead/full", speaker="demo")
    assert "finished successfully" in output, output
    assert task_states(api, "speaker demo") == dict.fromkeys(STAGES, "Ran")
    states = task_states(api, "talkhead demo")
    assert (states["make_demo"], states["restore demo"], states["dub"]) == ("Ran", "Unchanged", "Ran")
    assert set(ran(root)) == {"make_demo", *(f"{stage}@demo" for stage in STAGES), "dub@demo"}
    assert (root / "out/demo/speech.mp4").is_file()
    artifacts = {str(artifact["key"]) for artifact in ask(api, "artifacts/latest/filter")}
    assert {"stages-demo", "metrics-demo", "report-demo", "dub-demo", "speakers"} <= artifacts
    rows = ask(api, "task_runs/filter", task_runs={"name": {"any_": ["train_coarse"]}})
    assert set(rows[0]["tags"]) == {"gpu"}


def test_prefects_pages_show_names_progress_and_the_report(served: tuple[Path, str], tmp_path: Path) -> None:
    """As a person finds them who knows nothing but the address that ``make up`` has said."""
    if chromium_path() is None:
        pytest.skip("needs Chromium, which is not installed")
    root, api = served
    with Browser(tmp_path / "profile", height=1400, flags=SOFTWARE_RENDERING) as browser:
        browser.visit(api.removesuffix("/api"))
        browser.wait_for_text("Dashboard", "Flow Runs", "control", "machines")
        browser.click("Runs")
        browser.wait_for_text("talkhead demo", "speaker demo", "Completed")
        browser.click("speaker demo")
        browser.wait_for_text("Task Runs", "Parent Run", "talkhead demo")
        wait_for(lambda: green_pixels(browser, tmp_path / "graph.png") > 2000, 60)  # the bars of the stages that ended well
        browser.click("Task Runs")
        browser.wait_for_text(*STAGES, f"({len(STAGES)} Ran)")
        browser.click("Artifacts")
        browser.wait_for_text("report-demo", "metrics-demo", "stages-demo", "progress-demo-train-coarse", "train_coarse of demo: Ran")
        (artifact,) = ask(api, "artifacts/filter", artifacts={"key": {"any_": ["report-demo"]}})
        browser.visit(f"{api.removesuffix('/api')}/v2/artifacts/artifact/{artifact['id']}")
        report = "[...document.links].find(link => link.textContent.trim() === 'report of demo')"
        browser.wait(f"(window.foundReport = {report}?.href) !== undefined", 60)  # at once: the page is drawn anew now and then
        browser.visit(browser.run("window.foundReport"))
        browser.wait_for_text((root / "data/demo/report/report.html").read_text())
        ours = [error for error in browser.errors if "/report/" in error or "Uncaught" in error]
        assert ours == [], browser.errors
        asked = {urlsplit(address).hostname for address in browser.requests if address.startswith("http")}
        assert asked <= {"127.0.0.1", "sr-client-cfg.amplitude.com"}, "that one for a configuration; usage would go to another host"


def test_only_what_changed_runs_and_unknown_speakers_fail_by_name(served: tuple[Path, str]) -> None:
    root, api = served
    set_parameter(root, "evaluate", "x", 2)
    assert "finished successfully" in run_deployment(root, "talkhead/full", speaker="demo")
    assert ran(root)[:2] == ["evaluate@demo", "report@demo"]
    assert "Failed" in run_deployment(root, "talkhead/full", speaker="nobody")
    failed = ask(api, "flow_runs/filter", flow_runs={"name": {"any_": ["talkhead nobody"]}})
    assert "'nobody' is not registered" in str(failed[0]["state"])


def test_graph_that_is_up_to_date_is_given_to_no_machine(served: tuple[Path, str]) -> None:
    root, api = served
    before = _runs(api, "speaker demo")
    assert "finished successfully" in run_deployment(root, "talkhead/full", speaker="demo")
    last = [run for run in _runs(api, "speaker demo") if run["id"] not in {run["id"] for run in before}]
    assert [(run["deployment_id"], run["state_name"]) for run in last] == [(None, "Completed")]
    rows = ask(api, "task_runs/filter", flow_runs={"id": {"any_": [last[0]["id"]]}})
    assert {row["name"]: row["state_name"] for row in rows} == dict.fromkeys(STAGES, "Unchanged") and ran(root) == []


def test_worker_that_dies_is_started_again(served: tuple[Path, str]) -> None:
    """It takes a run with it, as when a machine dies; what becomes of that is looked at in the end."""
    root, api = served
    keeper = _keeper(root, "control")
    wait_for(lambda: time.time() - keeper.children()[0].create_time() > 25)  # what has never worked for long is not started again
    deployment = ask(api, "deployments/filter", flows={"name": {"any_": ["talkhead-retrain"]}})[0]
    with Workspace(root).locked("retrain"):  # so that it is at work for as long as it takes
        run = ask(api, f"deployments/{deployment['id']}/create_flow_run", parameters={"incoming": ORPHANED_FOLDER}, tags=[TAG])
        heard = {"event": {"name": ["prefect.flow-run.heartbeat"]}, "resource": {"id": [f"prefect.flow-run.{run['id']}"]}}
        wait_for(lambda: ask(api, "events/filter", filter=heard)["events"])
        (worker,) = keeper.children()
        family = worker.children(recursive=True)
        for process in (worker, *family):
            process.kill()
        psutil.wait_procs([worker, *family])
    assert wait_for(lambda: [child for child in keeper.children() if child != worker])
    assert "Failed" in run_deployment(root, "talkhead/full", speaker="nobody")


def test_server_listens_on_the_loopback_only(served: tuple[Path, str]) -> None:
    _, api = served
    port = int(api.split(":")[2].split("/")[0])
    listening = [each.laddr.ip for each in psutil.net_connections("tcp") if each.status == "LISTEN" and each.laddr.port == port]
    assert listening == ["127.0.0.1"]


def test_server_knows_pools_automations_and_gpu(served: tuple[Path, str]) -> None:
    _, api = served
    assert {pool["name"] for pool in ask(api, "work_pools/filter")} >= {"control", "machines"}
    names = [automation["name"] for automation in ask(api, "automations/filter")]
    assert sum(name.startswith("talkhead: ") for name in names) == len(set(names)) == 4, names
    limits = {limit["name"]: limit["limit"] for limit in ask(api, "v2/concurrency_limits/filter")}
    assert limits[limit_name()] == 1


def test_killed_run_is_taken_up_again(served: tuple[Path, str]) -> None:
    root, api = served
    add_speaker(root, "kit")
    ran(root)
    slow = root / "toy_segment_seconds.txt"
    slow.write_text("600")
    command = ["prefect", "deployment", "run", "talkhead-speaker/machine", "-p", "speaker=kit", "--tag", "talkhead"]
    subprocess.run(command, cwd=root, env=without_prefect(), check=True, capture_output=True)
    log = root / "ran.txt"
    wait_for(lambda: log.exists() and "segment@kit" in log.read_text())
    slow.unlink()
    stage = _process(root, "tasks.segment")
    os.kill(_flow_process(stage).pid, signal.SIGKILL)
    wait_for(lambda: not psutil.pid_exists(stage.pid) or stage.status() == psutil.STATUS_ZOMBIE)
    run = wait_for(lambda: next((run for run in _runs(api, "speaker kit") if run["state_name"] == "Completed"), None))
    assert run["run_count"] == 2
    expected = [*(f"{stage}@kit" for stage in STAGES), "segment@kit"]
    assert sorted(line for line in ran(root) if line.endswith("@kit")) == sorted(expected), "only the stage in flight ran again"


def test_run_that_the_server_has_given_up_ends_itself(served: tuple[Path, str]) -> None:
    """As when a machine was cut off for a while: another attempt is made, and the first must not go on beside it."""
    root, api = served
    set_parameter(root, "report", "x", "given up")
    slow = root / "toy_report_seconds.txt"
    slow.write_text("600")
    ran(root)
    command = ["prefect", "deployment", "run", "talkhead-speaker/machine", "-p", "speaker=kit", "--tag", "talkhead"]
    subprocess.run(command, cwd=root, env=without_prefect(), check=True, capture_output=True)
    wait_for(lambda: (root / "ran.txt").exists() and "report@kit" in (root / "ran.txt").read_text())
    slow.unlink()
    stage, run = _process(root, "tasks.report"), _runs(api, "speaker kit")[-1]
    ask(api, f"flow_runs/{run['id']}/set_state", state={"type": "CRASHED"}, force=True)
    wait_for(lambda: not stage.is_running() or stage.status() == psutil.STATUS_ZOMBIE)
    wait_for(lambda: _runs(api, "speaker kit")[-1]["state_name"] == "Completed")
    assert _runs(api, "speaker kit")[-1]["run_count"] == 2 and ran(root) == ["report@kit"] * 2


def test_run_that_keeps_crashing_is_given_up(served: tuple[Path, str]) -> None:
    root, api = served
    deployment = ask(api, "deployments/filter", flows={"name": {"any_": ["talkhead-speaker"]}})[0]
    later = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    waiting = {"type": "SCHEDULED", "name": "AwaitingRetry", "state_details": {"scheduled_time": later}}
    run = ask(api, f"deployments/{deployment['id']}/create_flow_run", parameters={"speaker": "demo"}, state=waiting)
    for _ in range(1 + MOST_RESCHEDULES):
        for state in ({"type": "RUNNING"}, {"type": "CRASHED"}, waiting):
            ask(api, f"flow_runs/{run['id']}/set_state", state=state, force=True)
    ask(api, f"flow_runs/{run['id']}/set_state", state={"type": "SCHEDULED", "name": "AwaitingRetry"}, force=True)

    def ended() -> dict[str, Any] | None:
        found = ask(api, "flow_runs/filter", flow_runs={"id": {"any_": [run["id"]]}})[0]
        return found if found["state_type"] == "FAILED" else None

    assert f"has crashed {1 + MOST_RESCHEDULES} times" in wait_for(ended)["state"]["message"]


def test_batch_isolates_failures_and_makes_only_what_is_missing(served: tuple[Path, str]) -> None:
    root, api = served
    speech = root / "speech"
    speech.mkdir()
    for name, content in (("one.wav", b"one"), ("two.wav", b"two"), ("bad.wav", b"")):
        (speech / name).write_bytes(content)
    rows = [
        ("demo", "one.wav", "demo/one.mp4"),
        ("kit", "two.wav", "kit/two.mp4"),
        ("kit", "bad.wav", "kit/bad.mp4"),
        ("nobody", "one.wav", "x.mp4"),
    ]
    lines = [",".join(row) for row in [("speaker", "audio", "out"), *rows]]
    (speech / "batch.csv").write_text("\n".join(lines) + "\n")
    ran(root)
    assert "Failed" in run_deployment(root, "talkhead-dub/batch", manifest="speech/batch.csv", out="dubs")
    assert sorted(ran(root)) == ["dub@demo", "dub@kit"]
    assert (root / "dubs/demo/one.mp4").is_file() and (root / "dubs/kit/two.mp4").is_file()
    results = _results(root)
    assert [result["result"] for result in results] == ["Ran", "Ran", "Failed", "Failed"]
    assert "holds no audio" in results[2]["error"] and "'nobody' is not registered" in results[3]["error"]
    (speech / "bad.wav").write_bytes(b"good now")
    (speech / "batch.csv").write_text("\n".join(lines[:-1]) + "\n")
    assert "finished successfully" in run_deployment(root, "talkhead-dub/batch", manifest="speech/batch.csv", out="dubs")
    assert ran(root) == ["dub@kit"]
    assert [result["result"] for result in _results(root)] == ["Unchanged", "Unchanged", "Ran"]
    assert "dub-batch" in {str(artifact["key"]) for artifact in ask(api, "artifacts/latest/filter")}


def test_event_starts_retraining(served: tuple[Path, str]) -> None:
    """What is promoted when, and rolling back, is in test_model_versions."""
    root, api = served
    _arrive(root, "ida", "good 31")
    _arrive(root, "jon", "no face")
    (root / "incoming/eve").mkdir()
    (root / "incoming/eve/video.mp4").write_text("good 30")
    run = _retrain_by_event(root, api, 1)
    message = str(run["state"]["message"])
    assert run["state_type"] == "FAILED" and "holds no face" in message and "has no consent.json" in message and "ida" not in message, (
        message
    )
    history = read_history(Workspace(root), "ida")
    assert history is not None and history.current == 1 and history.version().scores["psnr_face"] == 31
    ran(root)
    run = _retrain_by_event(root, api, 2)
    assert run["state_type"] == "COMPLETED" and ran(root) == [], "nothing new, and what was refused is not looked at again"


def test_cron_schedule_fires(served: tuple[Path, str]) -> None:
    """Set when the server came up: by now, or soon, it has started a run by itself."""
    _, api = served
    run = wait_for(lambda: next((run for run in _runs(api, f"retrain from {CRON_FOLDER}") if run["state_type"] == "COMPLETED"), None))
    assert run["auto_scheduled"] and run["created_by"]["type"] == "SCHEDULE"


def test_run_whose_worker_died_before_it_began_is_given_to_another(served: tuple[Path, str]) -> None:
    """It was taken when the server came up, by nobody."""
    _, api = served
    run = wait_for(lambda: next((run for run in _runs(api, f"retrain from {TAKEN_FOLDER}") if run["state_type"] == "COMPLETED"), None))
    states = [state["name"] for state in _states(api, run["id"])]
    assert states[:2] == ["Submitting", "AwaitingRetry"] and "Completed" in states


def test_run_that_was_over_is_not_run_again(served: tuple[Path, str]) -> None:
    """As when an automation hears late that it has completed."""
    root, api = served
    over = run_deployment(root, "talkhead/full", speaker="demo")
    assert "finished successfully" in over
    run = _runs(api, "talkhead demo")[-1]
    set_parameter(root, "report", "x", "would be made again")
    ran(root)
    late = {"type": "SCHEDULED", "name": "AwaitingRetry", "message": f"Its process died. {TRIED_AGAIN}"}
    ask(api, f"flow_runs/{run['id']}/set_state", state=late)

    def states() -> list[str]:
        return [state["name"] for state in _states(api, run["id"])]

    assert "AwaitingRetry" in states()
    wait_for(lambda: states()[-1] == "Completed")
    assert ran(root) == []


def test_run_whose_machine_died_is_given_to_another(served: tuple[Path, str]) -> None:
    """Nobody said that it had died: the server missed its heartbeat. It began and ended in test_worker_that_dies_is_started_again."""
    _, api = served
    run = wait_for(lambda: next((run for run in _runs(api, f"retrain from {ORPHANED_FOLDER}") if run["state_type"] == "COMPLETED"), None))
    states = _states(api, run["id"])
    again = next(state for state in states if state["name"] == "AwaitingRetry")
    assert again["message"].startswith("Nothing was heard of this run")
    names = [state["name"] for state in states]  # a late automation may schedule it once more when it is over, which it puts back itself
    assert names.count("Running") >= 2 and "Crashed" not in names and "Completed" in names


def test_slot_of_a_gpu_is_still_taken_when_the_server_was_restarted(served: tuple[Path, str]) -> None:
    """The last test: a new server hears late of what runs did under the old one."""
    root, api = served
    ask(api, "v2/concurrency_limits/", name="talkhead-gpu-other", limit=1, active=True)

    def taken() -> int:
        limits = ask(api, "v2/concurrency_limits/filter")
        return int(next(limit["active_slots"] for limit in limits if limit["name"] == "talkhead-gpu-other"))

    code = "from flows.gpu_slots import gpu_slot\nwith gpu_slot(needed=True):\n    print('held', flush=True)\n    input()"
    environment = {**without_prefect(), "PREFECT_API_URL": api, "TALKHEAD_MACHINE": "other"}
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, cwd=root, env=environment, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == "held\n" and taken() == 1
        keeper = _keeper(root, "server")
        (server,) = keeper.children()
        server.kill()
        wait_for(lambda: [child for child in keeper.children() if child != server] and _answers(api), 120)
        assert taken() == 1
        holder.communicate("\n", timeout=120)
    wait_for(lambda: taken() == 0, 60)  # a server that had lost the lease would not know what to give back


def _answers(api: str) -> bool:
    try:
        with urllib.request.urlopen(f"{api}/health", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def _keeper(root: Path, name: str) -> psutil.Process:
    """What starts the server or a pool's worker again."""
    return psutil.Process(json.loads((root / ".talkhead/server.json").read_text())[name]["pid"])


def _states(api: str, run: str) -> list[dict[str, Any]]:
    return sorted(look_up(api, f"flow_run_states/?flow_run_id={run}"), key=lambda state: str(state["timestamp"]))


def _process(root: Path, word: str) -> psutil.Process:
    for process in psutil.process_iter():
        try:
            if Path(process.cwd()) == root and any(word in part for part in process.cmdline()) and "exec" not in process.cmdline():
                return process
        except (psutil.NoSuchProcess, psutil.AccessDenied, FileNotFoundError):
            continue
    raise AssertionError(f"no process of {word}")


def _flow_process(stage: psutil.Process) -> psutil.Process:
    """The process of the flow run that a stage works for: above it stands the worker."""
    return next(parent for parent in stage.parents() if not any("dvc" in part for part in parent.cmdline()))


def _results(root: Path) -> list[dict[str, str]]:
    with (root / "dubs/results.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def _arrive(root: Path, speaker: str, video: str) -> None:
    folder = root / "incoming" / speaker
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "video.mp4").write_text(video)
    (folder / "speaker.yaml").write_text("profile: smoke\n")
    write_consent(
        folder / "consent.json", Consent(who="Ida", purpose="tests", given_on="2020-01-01", statement_sha256=statement_hash("yes"))
    )


def _retrain_by_event(root: Path, api: str, count: int) -> dict[str, Any]:
    """Emit the event, and wait for the run that it starts."""
    command = ["prefect", "event", "emit", "talkhead.speaker.added", "--resource-id", "talkhead.speaker.ida"]
    subprocess.run(command, cwd=root, env=without_prefect(), check=True, capture_output=True)

    def ended() -> list[dict[str, Any]]:
        rows = ask(api, "flow_runs/filter", flows={"name": {"any_": ["talkhead-retrain"]}}, sort="EXPECTED_START_TIME_ASC")
        mine = [row for row in rows if (row["created_by"] or {}).get("type") == "AUTOMATION"]
        return mine if len(mine) == count and mine[-1]["state_type"] in ("COMPLETED", "FAILED") else []

    return dict(wait_for(ended)[-1])

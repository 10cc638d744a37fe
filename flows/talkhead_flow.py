"""The Prefect flow ``talkhead``: the whole graph of one speaker, a task per stage, the edges taken from ``dvc.yaml``.

DVC is the only cache and decides what runs; Prefect orders, retries, shows and records. The states that tasks end in say what
DVC did: ``Ran``, ``Restored`` or ``Unchanged``.
"""

from __future__ import annotations

import time
from typing import Any

from prefect import flow, get_run_logger, task
from prefect.artifacts import create_link_artifact, create_progress_artifact, create_table_artifact, update_progress_artifact
from prefect.cache_policies import NO_CACHE
from prefect.futures import PrefectFuture
from prefect.states import Completed, State
from prefect.task_runners import ThreadPoolTaskRunner

from flows.demo_speaker import DEMO_PROFILE, DEMO_SPEAKER, demo_speech, make_demo_speaker
from flows.dubbing import dub_if_changed
from flows.dvc_locks import kept_dvc_lock
from flows.stage_graph import read_stage_graph
from flows.stage_runs import Outcome, StageEvent, reproduce
from flows.stage_status import speaker_status
from flows.workspace import Workspace
from talkhead_core.speakers import check_speaker_name, read_speakers, registered_speaker

__all__ = ["talkhead"]

_SECONDS_BETWEEN_UPDATES = 2.0
_RUNNER: Any = ThreadPoolTaskRunner(max_workers=2)  # the stages of one speaker that may run at once


@flow(name="talkhead", flow_run_name="talkhead {speaker}", task_runner=_RUNNER)
def talkhead(speaker: str = DEMO_SPEAKER) -> None:
    """Bring every stage of ``speaker`` up to date; the demo speaker is made first when it is not there, and dubbed last.

    Args:
        speaker: a registered speaker, or ``demo``.
    """
    workspace = Workspace.here()
    check_speaker_name(speaker)
    with workspace.locked(f"run-{speaker}", refuse=f"another talkhead is at work on speaker {speaker!r}"), kept_dvc_lock(workspace):
        if speaker == DEMO_SPEAKER:
            make_demo.submit().result()
        registered_speaker(workspace.speakers, speaker)
        rows = _run_graph(workspace, speaker)
        if speaker == DEMO_SPEAKER:
            dub_demo.submit().result()
        _publish(workspace, speaker, rows)


@task(name="make_demo", task_run_name="make_demo", cache_policy=NO_CACHE, persist_result=False)
def make_demo() -> State[Any]:
    """Make and register the demo speaker, in the profile that it has or else in ``demo``."""
    workspace = Workspace.here()
    known = read_speakers(workspace.speakers).get(DEMO_SPEAKER)
    with _Listener("make_demo", DEMO_SPEAKER) as listener:
        make_demo_speaker(workspace, known.profile if known else DEMO_PROFILE, None, listener)
    return Completed(name=listener.outcome)


@task(task_run_name="{stage}", cache_policy=NO_CACHE, persist_result=False)
def run_stage(speaker: str, stage: str, up_to_date: bool) -> State[Any]:
    """Run one stage of one speaker through DVC.

    Args:
        speaker: a registered speaker.
        stage: the stage's name.
        up_to_date: DVC has already said that neither it nor anything before it would run.
    """
    if up_to_date:
        return Completed(name=Outcome.UNCHANGED)
    with _Listener(stage, speaker) as listener:
        for event in reproduce(Workspace.here(), speaker, [stage], alone=True):
            listener(event)
    return Completed(name=listener.outcome)


@task(name="dub", task_run_name="dub", cache_policy=NO_CACHE, persist_result=False)
def dub_demo() -> State[Any]:
    """Make the demo speaker say its other speech."""
    workspace = Workspace.here()
    speech = demo_speech(workspace)
    with _Listener("dub", DEMO_SPEAKER) as listener:
        dub_if_changed(workspace, DEMO_SPEAKER, speech, workspace.root / "out" / DEMO_SPEAKER / f"{speech.stem}.mp4", listener)
    return Completed(name=listener.outcome)


def _run_graph(workspace: Workspace, speaker: str) -> list[dict[str, Any]]:
    """Submit a task per stage, each after those it depends on, and wait; returns a row per stage."""
    current = {row.stage: row.up_to_date for row in speaker_status(workspace, speaker)}
    futures: dict[str, PrefectFuture[Any]] = {}
    for node in read_stage_graph(workspace.root):
        stage_task: Any = run_stage.with_options(name=node.name, description=node.description, tags=[node.kind], retries=node.retries)
        before = [futures[name] for name in node.upstream]
        futures[node.name] = stage_task.submit(speaker, node.name, current[node.name], wait_for=before)
    for future in futures.values():
        future.wait()
    rows = [{"stage": name, "state": future.state.name} for name, future in futures.items()]
    for future in futures.values():
        future.result()
    return rows


def _publish(workspace: Workspace, speaker: str, rows: list[dict[str, Any]]) -> None:
    """Leave the stages' outcomes and the report with the run."""
    create_table_artifact(rows, key=f"stages-{speaker}", description=f"What each stage of {speaker} did")
    report = workspace.stage_folder(speaker, "report") / "report.html"
    create_link_artifact(report.as_uri(), link_text=f"report of {speaker}", key=f"report-{speaker}")
    for video in sorted((workspace.root / "out" / speaker).glob("*.mp4")):
        create_link_artifact(video.as_uri(), link_text=video.name, key=f"dub-{speaker}")


class _Listener:
    """Takes the events of one stage to Prefect: progress to an artifact, its output to the run's log."""

    def __init__(self, stage: str, speaker: str) -> None:
        self.outcome = Outcome.UNCHANGED
        self._title = f"{stage} of {speaker}"
        self._logger: Any = get_run_logger()
        self._artifact: Any = None
        self._updated_s = 0.0

    def __enter__(self) -> _Listener:
        return self

    def __exit__(self, kind: type[BaseException] | None, *exception: object) -> None:
        if kind is None and self._artifact is not None:
            update_progress_artifact(self._artifact, 100.0, description=f"{self._title}: {self.outcome}")

    def __call__(self, event: StageEvent) -> None:
        if event.outcome is not None:
            self.outcome = event.outcome
        elif event.done is not None and event.total:
            self._show(100.0 * event.done / event.total, event)
        elif event.line:
            self._logger.info(event.line)

    def _show(self, percent: float, event: StageEvent) -> None:
        now = time.monotonic()
        if now - self._updated_s < _SECONDS_BETWEEN_UPDATES:
            return
        self._updated_s = now
        minutes, seconds = divmod(event.seconds_left or 0, 60)
        description = f"{self._title}: {minutes}:{seconds:02d} left {event.note}".rstrip()
        if self._artifact is None:
            self._artifact = create_progress_artifact(min(percent, 100.0), description=description)
        else:
            update_progress_artifact(self._artifact, min(percent, 100.0), description=description)


if __name__ == "__main__":
    talkhead()

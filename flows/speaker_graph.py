"""The graph of one speaker as Prefect tasks, one a stage, the edges taken from ``dvc.yaml``.

DVC is the only cache and decides what runs; Prefect orders, retries, shows and records. The states that tasks end in say what
DVC did: ``Ran``, ``Restored`` or ``Unchanged``.
"""

from __future__ import annotations

import threading
from typing import Any

from prefect import task
from prefect.artifacts import create_link_artifact, create_table_artifact
from prefect.cache_policies import NO_CACHE
from prefect.futures import PrefectFuture
from prefect.states import Completed, State

from flows.dvc_commands import Dvc
from flows.dvc_locks import kept_dvc_lock
from flows.gpu_slots import gpu_slot
from flows.prefect_listener import StageListener, artifact_key
from flows.results_server import link_to
from flows.shared_cache import SharedCache
from flows.speaker_exchange import publish_report
from flows.stage_graph import StageNode, read_stage_graph
from flows.stage_runs import Outcome, StageFailedError, reproduce
from flows.stage_status import speaker_status
from flows.workspace import Workspace
from talkhead_core.artifacts import read_json

__all__ = ["publish_results", "run_graph", "run_stage", "worth_retrying"]

_RETRY_DELAY_S = 5.0
_ONE_AT_A_TIME = threading.Lock()  # a stage uses every core, and two DVCs in one workspace wait for each other
_PROTOCOL = "head/self"
_FIGURES = ("psnr_face", "psnr_mouth", "ssim_face", "lmd_px512", "mouth_opening_r", "mouth_opening_sd_ratio")


async def worth_retrying(task: Any, run: Any, state: State[Any]) -> bool:
    """Prefect's question after a failure: what a stage said of its own input would be wrong again."""
    error = await state.aresult(raise_on_failure=False)
    return not isinstance(error, StageFailedError) or error.worth_retrying


@task(task_run_name="{stage}", cache_policy=NO_CACHE, persist_result=False, retry_delay_seconds=_RETRY_DELAY_S)
def run_stage(speaker: str, stage: str, node: StageNode, shared: SharedCache, dvc: Dvc | None) -> State[Any]:
    """Run one stage of one speaker through DVC.

    Args:
        speaker: a registered speaker.
        stage: the stage's name.
        node: the stage as ``dvc.yaml`` describes it.
        shared: where other machines find what it writes.
        dvc: what runs it; None: DVC has already said that neither it nor anything before it would run.
    """
    if dvc is None:
        return Completed(name=Outcome.UNCHANGED)
    with StageListener(stage, speaker) as listener, _ONE_AT_A_TIME, gpu_slot(needed=node.kind == "gpu"):
        pull = shared.available
        for event in reproduce(Workspace.here(), speaker, [stage], alone=True, pull=pull, timeout_s=node.timeout_s, dvc=dvc):
            listener(event)
    if listener.outcome is Outcome.RAN:
        shared.push_later(f"{stage}@{speaker}")
    return Completed(name=listener.outcome)


def run_graph(workspace: Workspace, speaker: str, shared: SharedCache, *, up_to_date: bool = False) -> list[dict[str, Any]]:
    """Submit a task per stage, each after those it depends on, and wait; returns a row per stage.

    Args:
        workspace: where.
        speaker: a registered speaker.
        shared: where other machines find what the stages write.
        up_to_date: DVC has already said so of every stage.

    Raises:
        StageFailedError: a stage failed; those that do not depend on it have ended.
    """
    nodes = read_stage_graph(workspace.root)
    stale: set[str] = set()
    if not up_to_date:
        with kept_dvc_lock(workspace):
            stale = {row.stage for row in speaker_status(workspace, speaker) if not row.up_to_date}
    if not stale:
        return _run_tasks(speaker, nodes, {}, shared)
    with Dvc(workspace) as dvc:
        return _run_tasks(speaker, nodes, dict.fromkeys(stale, dvc), shared)


def _run_tasks(speaker: str, nodes: list[StageNode], dvcs: dict[str, Dvc], shared: SharedCache) -> list[dict[str, Any]]:
    """Submit and wait; ``dvcs`` has what runs each stage that is not up to date."""
    futures: dict[str, PrefectFuture[Any]] = {}
    for node in nodes:
        stage_task: Any = run_stage.with_options(
            name=node.name,
            description=node.description,
            tags=[node.kind],
            retries=node.retries,
            retry_condition_fn=worth_retrying,
        )
        before = [futures[name] for name in node.upstream]
        futures[node.name] = stage_task.submit(speaker, node.name, node, shared, dvcs.get(node.name), wait_for=before)
    for future in futures.values():
        future.wait()
    rows = [{"stage": name, "state": future.state.name} for name, future in futures.items()]
    for future in futures.values():
        if future.state.is_failed() or future.state.is_crashed():
            future.result()
    for future in futures.values():
        future.result()
    return rows


def publish_results(workspace: Workspace, speaker: str, rows: list[dict[str, Any]]) -> None:
    """Leave the stages' outcomes, the scores, the report and the dubs with the run."""
    create_table_artifact(rows, key=artifact_key("stages", speaker), description=f"What each stage of {speaker} did")
    metrics = workspace.stage_folder(speaker, "evaluate") / "metrics.json"
    figures = _figures(read_json(metrics)) if metrics.is_file() else []
    if figures:
        create_table_artifact(figures, key=artifact_key("metrics", speaker), description=f"Held-out frames of {speaker}, {_PROTOCOL}")
    report = workspace.stage_folder(speaker, "report") / "report.html"
    published, place, key = publish_report(workspace, speaker), link_to(workspace, report), artifact_key("report", speaker)
    if published is not None and place.startswith("file:"):  # nobody else has this machine's disk
        place = str(published)
    create_link_artifact(place, link_text=f"report of {speaker}", key=key, description=f"How good {speaker} is, to look at and listen to")
    for video in sorted((workspace.root / "out" / speaker).glob("*.mp4")):
        place, key = link_to(workspace, video), artifact_key("dub", speaker)
        create_link_artifact(place, link_text=video.name, key=key, description=f"{speaker} says {video.stem}")


def _figures(metrics: Any) -> list[dict[str, Any]]:
    scores = metrics.get("protocols", {}).get(_PROTOCOL, {}) if isinstance(metrics, dict) else {}
    return [{"metric": name, "value": round(float(scores[name]), 4)} for name in _FIGURES if scores.get(name) is not None]

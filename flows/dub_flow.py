"""The Prefect flows ``talkhead-dub`` (a batch of dubs, many speakers) and ``talkhead-dub-share`` (one machine's part of it)."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from prefect import flow, get_client, get_run_logger, task
from prefect.artifacts import create_link_artifact, create_table_artifact
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId
from prefect.runtime import deployment as this_deployment
from prefect.states import Completed, State

from flows.code_version import check_code_version, code_version
from flows.deployment_runs import ended_well, failure_of, run_deployments
from flows.dub_batch import BatchRow, batch_rows, grouped, is_remote
from flows.dub_delivery import deliver_dub, fetch_delivery
from flows.dub_process import DubProcess
from flows.dub_results import DubRow, write_results
from flows.gpu_slots import gpu_slot
from flows.model_versions import read_history
from flows.object_store import ObjectUri
from flows.object_transfer import upload
from flows.prefect_listener import StageListener, artifact_key
from flows.results_server import link_to
from flows.run_watch import watched_run
from flows.shared_results import restore_results
from flows.speaker_exchange import fetch_speaker, publish_speaker
from flows.speaker_graph import worth_retrying
from flows.store_settings import object_store, shared_store
from flows.workspace import Workspace
from talkhead_core.errors import TalkheadError
from talkhead_core.speakers import read_speakers

__all__ = ["talkhead_dub", "talkhead_dub_share"]

_SHARE = "talkhead-dub-share/machine"


@flow(name="talkhead-dub", flow_run_name="dub {out}", persist_result=False)
def talkhead_dub(
    manifest: str | None = None,
    audio: str | None = None,
    speakers: list[str] | None = None,
    out: str = "out/batch",
    dubs_per_run: int = 25,
    timeout_s: float = 14_400.0,
) -> None:
    """Dub a batch: results come one by one, one that fails leaves the others alone, and only what is missing is made.

    Args:
        manifest: a CSV with the columns speaker, audio and out, as a path or ``s3://`` address; or
        audio: a folder or ``s3://`` prefix of recordings, in a folder for each speaker.
        speakers: each says every recording of ``audio``, which then needs no folders.
        out: the folder or ``s3://`` prefix to write to; a table of all results is written there as ``results.csv``.
        dubs_per_run: how many dubs of a speaker one machine takes at a time.
        timeout_s: the longest that one dub may take.
    """
    workspace = Workspace.here()
    logger: Any = get_run_logger()
    with watched_run():
        rows = batch_rows(object_store(workspace), workspace.root, manifest=manifest, audio=audio, speakers=speakers or [], out=out)
        known = read_speakers(workspace.speakers)
        results = {row.out: _at_first(row, known=row.speaker in known) for row in rows}
        shares = grouped([row for row in rows if row.speaker in known], max(dubs_per_run, 1))
        for name in {share[0].speaker for share in shares.values()}:
            publish_speaker(workspace, name)
        sent = {name: [_sent(workspace, row) for row in share] for name, share in shares.items()}
        version = code_version(workspace)

        def take(name: str, run: Any) -> None:
            found = _rows_of(run) if run is not None else {}
            for row, there in zip(shares[name], sent[name], strict=True):
                state, error = found.get(there.out, ("Failed", None if run is None or ended_well(run) else failure_of(run)))
                results[row.out] = DubRow(row=row, state=state, error=error or (None if state != "Failed" else "no result came back"))
                if state != "Failed" and there.out != row.out:
                    fetch_delivery(object_store(workspace), ObjectUri.parse(there.out), Path(row.out))
            done = sum(1 for result in results.values() if result.state in ("Ran", "Unchanged"))
            logger.info("%s has ended: %d of %d dubs are there", name, done, len(rows))
            write_results(workspace, out, list(results.values()))

        if this_deployment.id is None:  # nobody to give shares to: they are dubbed here
            with DubProcess() as process:
                for row in (row for share in shares.values() for row in share):
                    state, error = _dub_here(workspace, row, timeout_s, process)
                    results[row.out] = DubRow(row=row, state=state, error=error)
        else:
            asked = {
                name: {"speaker": share[0].speaker, "rows": [asdict(row) for row in sent[name]], "code": version, "timeout_s": timeout_s}
                for name, share in shares.items()
            }
            run_deployments(_SHARE, "dubs of", asked, take)
    write_results(workspace, out, list(results.values()))
    table = [{"speaker": r.row.speaker, "out": r.row.out, "result": r.state, "error": r.error or ""} for r in results.values()]
    failed = [r for r in results.values() if r.state == "Failed"]
    create_table_artifact(table, key="dub-batch", description=f"{len(rows) - len(failed)} of {len(rows)} dubs are there")
    if failed:
        raise TalkheadError(f"{len(failed)} of {len(rows)} dubs failed ({failed[0].error}); the same run makes only those again")


@flow(name="talkhead-dub-share", flow_run_name="dubs of {speaker}", persist_result=False)
def talkhead_dub_share(speaker: str, rows: list[dict[str, str]], code: str | None = None, timeout_s: float | None = None) -> None:
    """Dub one speaker's part of a batch on this machine; failed dubs are told in the table, and do not fail the run.

    Args:
        speaker: a trained speaker.
        rows: what to dub: speaker, audio and out.
        code: the version of the code that is asked for; None: whatever this machine has.
        timeout_s: the longest that one dub may take.
    """
    workspace = Workspace.here()
    check_code_version(workspace, code)
    with watched_run():
        fetch_speaker(workspace, speaker)
        shared = shared_store(workspace)
        if shared is not None and shared.machine and read_history(workspace, speaker) is None:
            with workspace.locked(f"run-{speaker}"):
                restore_results(workspace, speaker)
        table = []
        with DubProcess() as process:
            for row in (BatchRow(**entry) for entry in rows):
                state, error = _dub_here(workspace, row, timeout_s, process)
                table.append({"speaker": row.speaker, "audio": row.audio, "out": row.out, "result": state, "error": error or ""})
                if state != "Failed":
                    place = row.out if is_remote(row.out) else link_to(workspace, Path(row.out))
                    said, key = Path(row.out).stem, artifact_key("dub", speaker, Path(row.out).stem)
                    create_link_artifact(place, link_text=Path(row.out).name, key=key, description=f"{speaker} says {said}")
        create_table_artifact(table, key=artifact_key("dubs", speaker), description=f"Dubs of {speaker}")


@task(cache_policy=NO_CACHE, persist_result=False, retries=1, retry_delay_seconds=5, retry_condition_fn=worth_retrying, tags=["gpu"])
def dub_row(row: BatchRow, timeout_s: float | None, process: DubProcess) -> State[Any]:
    """Make one dub in ``process``, unless it is there."""
    workspace = Workspace.here()
    with StageListener(f"dub {Path(row.out).stem}", row.speaker) as listener, gpu_slot(needed=True):
        deliver_dub(workspace, object_store(workspace), row, listener, timeout_s=timeout_s, process=process)
    return Completed(name=listener.outcome, message=row.out)


def _at_first(row: BatchRow, *, known: bool) -> DubRow:
    return (
        DubRow(row=row, state="Waiting") if known else DubRow(row=row, state="Failed", error=f"speaker {row.speaker!r} is not registered")
    )


def _dub_here(workspace: Workspace, row: BatchRow, timeout_s: float | None, process: DubProcess) -> tuple[str, str | None]:
    name = f"dub {Path(row.out).stem}"
    future: Any = dub_row.with_options(name=name, task_run_name=name).submit(row, timeout_s, process)
    future.wait()
    if future.state.is_completed():
        return str(future.state.name), None
    error = future.result(raise_on_failure=False)
    return "Failed", " ".join(str(error).split()) or str(future.state.name)


def _sent(workspace: Workspace, row: BatchRow) -> BatchRow:
    """``row`` as a machine elsewhere can use it: its speech in the shared store, and a place there for its video."""
    shared = shared_store(workspace)
    if shared is None:
        return row
    audio, out = row.audio, row.out
    if not is_remote(audio) and Path(audio).is_file():
        content = hashlib.sha256(Path(audio).read_bytes()).hexdigest()
        uri = shared.address / "speech" / f"{content}{Path(audio).suffix}"
        upload(shared.store, Path(audio), uri)
        audio = str(uri)
    if not is_remote(out):
        out = str(shared.address / "dubs" / row.speaker / f"{hashlib.sha256(out.encode()).hexdigest()[:24]}.mp4")
    return replace(row, audio=audio, out=out)


def _rows_of(run: Any) -> dict[str, tuple[str, str | None]]:
    """What a share says of its dubs, by where they went."""
    with get_client(sync_client=True) as client:
        artifacts = client.read_artifacts(artifact_filter=ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[run.id])))
    found: dict[str, tuple[str, str | None]] = {}
    for artifact in artifacts:
        if artifact.type == "table" and artifact.data:
            table: Any = json.loads(artifact.data) if isinstance(artifact.data, str) else artifact.data
            found |= {entry["out"]: (entry["result"], entry["error"] or None) for entry in table}
    return found


if __name__ == "__main__":
    import sys

    talkhead_dub(manifest=sys.argv[1])

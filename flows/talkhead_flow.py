"""The Prefect flow ``talkhead``: one speaker, several or all, each on a machine of its own where there are many.

The flow itself works in the control workspace and computes nothing heavy: it makes the demo speaker, starts a run of
``talkhead-speaker`` for each speaker, and brings the results here.
"""

from __future__ import annotations

from typing import Any

from prefect import flow, get_run_logger, task
from prefect.artifacts import create_link_artifact, create_table_artifact
from prefect.cache_policies import NO_CACHE
from prefect.runtime import deployment as this_deployment
from prefect.states import Completed, State

from flows.code_version import code_version
from flows.demo_speaker import DEMO_PROFILE, DEMO_SPEAKER, demo_speech, make_demo_speaker
from flows.deployment_runs import ended_well, failure_of, run_deployments
from flows.dubbing import dub_if_changed
from flows.dvc_locks import kept_dvc_lock
from flows.prefect_listener import StageListener
from flows.results_server import link_to
from flows.run_watch import watched_run
from flows.shared_results import restore_results
from flows.speaker_exchange import publish_speaker
from flows.speaker_flow import talkhead_speaker
from flows.stage_status import speakers_up_to_date
from flows.workspace import Workspace
from talkhead_core.errors import TalkheadError
from talkhead_core.speakers import check_speaker_name, read_speakers, registered_speaker

__all__ = ["bring_speakers_up_to_date", "talkhead"]


@flow(name="talkhead", flow_run_name="talkhead {speaker}", persist_result=False)
def talkhead(speaker: str = DEMO_SPEAKER) -> None:
    """Bring every stage of each speaker up to date; the demo speaker is made first when it is not there, and dubbed last.

    Args:
        speaker: a registered speaker or ``demo``; several with commas between; ``all`` for every registered one.
    """
    workspace = Workspace.here()
    with watched_run():
        names = _chosen(workspace, speaker)
        if DEMO_SPEAKER in names:
            make_demo.submit().result()
        for name in names:
            registered_speaker(workspace.speakers, name)
        failures = bring_speakers_up_to_date(workspace, names)
        if DEMO_SPEAKER in names and DEMO_SPEAKER not in failures:
            dub_demo.submit().result()
    if failures:
        raise TalkheadError("; ".join(f"{name}: {why}" for name, why in failures.items()))


def bring_speakers_up_to_date(workspace: Workspace, names: list[str]) -> dict[str, str]:
    """Run ``talkhead-speaker`` for each, on the machines there are, and bring the results here; one that fails leaves others alone.

    Machines are given only what this workspace does not have: a speaker who is up to date here is told as that, here.

    Returns:
        Why, by the name of each speaker that failed.
    """
    if this_deployment.id is None:  # nobody to give runs to: they run here
        for name in names:
            talkhead_speaker(name)
        return {}
    logger: Any = get_run_logger()
    failures: dict[str, str] = {}
    with kept_dvc_lock(workspace):
        nothing_to_do = speakers_up_to_date(workspace, names)
    for name in names:
        publish_speaker(workspace, name)

    def take(name: str, run: Any) -> None:
        if ended_well(run):
            restored: Any = restore.with_options(task_run_name=f"restore {name}").submit(name)
            restored.wait()
            if not restored.state.is_completed():
                failures[name] = " ".join(str(restored.result(raise_on_failure=False)).split())
        else:
            failures[name] = failure_of(run)
        if name in failures:
            logger.error("%s: %s", name, failures[name])

    version = code_version(workspace)
    asked = {name: {"speaker": name, "code": version} for name in names if name not in nothing_to_do}
    run_deployments("talkhead-speaker/machine", "speaker", asked, take)
    for name in nothing_to_do:
        try:
            talkhead_speaker(name, up_to_date=True)
        except TalkheadError as error:
            failures[name] = " ".join(str(error).split())
    rows = [{"speaker": name, "result": failures.get(name, "ok")} for name in names]
    create_table_artifact(rows, key="speakers", description=f"{len(names) - len(failures)} of {len(names)} speakers are up to date")
    return failures


@task(name="make_demo", task_run_name="make_demo", cache_policy=NO_CACHE, persist_result=False, tags=["cpu"])
def make_demo() -> State[Any]:
    """Make and register the demo speaker, in the profile that it has or else in ``demo``."""
    workspace = Workspace.here()
    known = read_speakers(workspace.speakers).get(DEMO_SPEAKER)
    with StageListener("make_demo", DEMO_SPEAKER) as listener:
        make_demo_speaker(workspace, known.profile if known else DEMO_PROFILE, None, listener)
    return Completed(name=listener.outcome)


@task(name="restore", cache_policy=NO_CACHE, persist_result=False, tags=["cpu"], retries=2, retry_delay_seconds=5)
def restore(speaker: str) -> State[Any]:
    """Bring what a machine has made of ``speaker`` into the control workspace."""
    workspace = Workspace.here()
    with workspace.locked(f"run-{speaker}"):
        outcome = restore_results(workspace, speaker)
    return Completed(name=outcome)


@task(name="dub", task_run_name="dub", cache_policy=NO_CACHE, persist_result=False, tags=["gpu"])
def dub_demo() -> State[Any]:
    """Make the demo speaker say its other speech."""
    workspace = Workspace.here()
    speech = demo_speech(workspace)
    video = workspace.root / "out" / DEMO_SPEAKER / f"{speech.stem}.mp4"
    with StageListener("dub", DEMO_SPEAKER) as listener:
        dub_if_changed(workspace, DEMO_SPEAKER, speech, video, listener)
    place, said = link_to(workspace, video), f"{DEMO_SPEAKER} says {speech.stem}"
    create_link_artifact(place, link_text=video.name, key=f"dub-{DEMO_SPEAKER}", description=said)
    return Completed(name=listener.outcome)


def _chosen(workspace: Workspace, speaker: str) -> list[str]:
    if speaker == "all":
        names = list(read_speakers(workspace.speakers))
        if not names:
            raise TalkheadError("no speaker is registered; run 'talkhead run --speaker NAME --video FILE'")
        return names
    return [check_speaker_name(name.strip()) for name in speaker.split(",")]


if __name__ == "__main__":
    talkhead()

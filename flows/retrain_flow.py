"""The Prefect flow ``talkhead-retrain``: takes in new recordings, trains, and promotes what is at least as good.

It runs every night, and whenever the event ``talkhead.speaker.added`` is heard. Until a new model scores at least as well on its
held-out frames as the one in use, dubs go on being made with the old one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from prefect import flow, get_run_logger, task
from prefect.artifacts import create_table_artifact
from prefect.cache_policies import NO_CACHE

from flows.incoming import Arrival, arrivals, remember, remembered, take_in
from flows.model_versions import add_version, is_trained, read_history
from flows.prefect_listener import StageListener
from flows.promotion import OnChangedRecording, Promotion, PromotionRule, promote_if_as_good
from flows.run_watch import watched_run
from flows.speaker_exchange import publish_speaker
from flows.speaker_registration import Registration, consent_from_document, register
from flows.talkhead_flow import bring_speakers_up_to_date
from flows.version_workspace import make_version_workspace
from flows.workspace import Workspace
from talkhead_core.errors import ConsentError, InputError, TalkheadError
from talkhead_core.speakers import read_speakers

__all__ = ["talkhead_retrain"]

_TAKEN = "taken"


@dataclass
class _Night:
    """What became of each speaker, for the table at the end."""

    rows: dict[str, dict[str, Any]] = field(default_factory=dict)

    def tell(self, speaker: str, result: str, **more: Any) -> None:
        self.rows[speaker] = {"speaker": speaker, "result": result, "version": "", "why": "", "compared with": "", **more}


@flow(name="talkhead-retrain", flow_run_name="retrain from {incoming}", persist_result=False)
def talkhead_retrain(
    incoming: str = "incoming",
    tolerance: float = 0.0,
    higher: list[str] | None = None,
    lower: list[str] | None = None,
    on_changed_recording: OnChangedRecording = "score",
) -> None:
    """Take in what is new in ``incoming``, train it, and promote each model that scores at least as well as the one in use.

    Args:
        incoming: a folder (relative to the workspace) or ``s3://`` prefix with a folder for each speaker.
        tolerance: the share of the old score by which a new one may be worse.
        higher: held-out scores that must not fall; by default the face's PSNR.
        lower: held-out scores that must not rise; by default the distance of the lips' landmarks.
        on_changed_recording: where the model in use is of another recording: ``score`` it on the new one's held-out frames and compare
            (one that cannot be scored so stays), ``promote`` the new one in any case, or ``hold`` it for a person to decide.
    """
    workspace, night = Workspace.here(), _Night()
    chosen = {name: tuple(value) for name, value in (("higher", higher), ("lower", lower)) if value is not None}
    rule = PromotionRule(tolerance=tolerance, on_changed_recording=on_changed_recording, **chosen)
    with watched_run(), workspace.locked("retrain"):  # the clock and an event may start it at once
        taken = _take_in_all(workspace, incoming, night)
        failures = bring_speakers_up_to_date(workspace, list(taken)) if taken else {}
        for speaker, arrival in taken.items():
            if speaker in failures:
                night.tell(speaker, "training failed", why=failures[speaker])
                continue
            future: Any = promote.with_options(task_run_name=f"promote {speaker}").submit(speaker, rule)
            promotion: Promotion = future.result()
            word = "promoted" if promotion.taken else "kept the old model"
            row = {"version": promotion.version.number, "why": "; ".join(promotion.reasons), "compared with": promotion.compared}
            night.tell(speaker, word, **row)
            remember(workspace, arrival, _TAKEN)
    create_table_artifact(list(night.rows.values()), key="retrain", description=f"What came of {incoming}")
    failed = [row for row in night.rows.values() if row["result"] in ("refused", "training failed")]
    if failed:
        told = "; ".join(f"{row['speaker']}: {row['result']} ({row['why']})" for row in failed)
        raise TalkheadError(f"{len(failed)} of {len(night.rows)} speakers: {told}")


@task(name="register", cache_policy=NO_CACHE, persist_result=False, tags=["cpu"])
def take_speaker_in(arrival: Arrival) -> str:
    """Register one arrival after the footage doctor and the consent check; keeps the trained model as a version first."""
    workspace = Workspace.here()
    recording = take_in(workspace, arrival)
    name = arrival.speaker
    known = read_speakers(workspace.speakers).get(name)
    if known is not None and is_trained(workspace, name) and read_history(workspace, name) is None:
        make_version_workspace(workspace, name, add_version(workspace, name, "in use before the first retraining"))
    request = Registration(speaker=name, video=recording.video, profile=recording.profile, config=recording.config, replace=True)
    with StageListener("doctor", name) as listener:
        register(workspace, request, lambda: consent_from_document(recording.consent, None, name), listener)
    return name


@task(name="promote", cache_policy=NO_CACHE, persist_result=False, tags=["cpu"])
def promote(speaker: str, rule: PromotionRule) -> Promotion:
    """Compare the new model with the one in use, and move the pointer if it is at least as good."""
    workspace = Workspace.here()
    with StageListener("promote", speaker) as listener:
        promotion = promote_if_as_good(workspace, speaker, "talkhead-retrain", rule, listener)
    publish_speaker(workspace, speaker)
    return promotion


def _take_in_all(workspace: Workspace, incoming: str, night: _Night) -> dict[str, Arrival]:
    """Register what is new; what is refused is remembered and told, and leaves the others alone."""
    logger: Any = get_run_logger()
    taken: dict[str, Arrival] = {}
    for arrival in arrivals(workspace, incoming):
        before = remembered(workspace, arrival)
        if before == _TAKEN:
            continue
        if before is not None:
            night.tell(arrival.speaker, "refused before", why=before)
            continue
        future: Any = take_speaker_in.with_options(task_run_name=f"register {arrival.speaker}").submit(arrival)
        future.wait()
        if future.state.is_completed():
            taken[arrival.speaker] = arrival
            continue
        error = future.result(raise_on_failure=False)
        why = " ".join(str(error).split())
        if isinstance(error, InputError | ConsentError):  # it is their recording: it would be refused again
            remember(workspace, arrival, why)
        logger.error("%s: %s", arrival.speaker, why)
        night.tell(arrival.speaker, "refused", why=why)
    return taken


if __name__ == "__main__":
    talkhead_retrain()

"""Runs whose process or machine died are taken up again, at most ``MOST_RESCHEDULES`` times.

Three automations on the server do it: one schedules a run again that has not been heard of, one a run that has crashed, and one a run
that a worker took and never began, because it died in between: no heartbeat of it is missed. DVC
makes the second attempt cheap: finished stages are skipped, trainings go on from their checkpoint.
"""

from __future__ import annotations

from datetime import timedelta

from prefect.automations import Automation
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import StateType
from prefect.events.actions import ChangeFlowRunState
from prefect.events.schemas.automations import EventTrigger, Posture
from prefect.events.schemas.events import ResourceSpecification

from flows.run_watch import MOST_RESCHEDULES, TRIED_AGAIN, ZOMBIE_SECONDS

__all__ = ["TAG", "set_automations"]

TAG = "talkhead"
_PAUSE = timedelta(seconds=20)  # on a machine under ten times its load, a worker was seen to take more than 12 s to clear a run away
_SECONDS_TO_BEGIN = 600.0  # to load the flow's code; on a machine under ten times its load, half a minute was seen
_BEGUN_OR_GIVEN_BACK = ("Running", "Completed", "Failed", "Crashed", "Cancelled", "Cancelling", "Scheduled", "Late", "AwaitingRetry")
_ZOMBIES = "talkhead: runs not heard of have crashed"
_AGAIN = "talkhead: crashed runs are scheduled again"
_NEVER_BEGUN = "talkhead: runs that a worker took and never began are scheduled again"


def set_automations(zombie_seconds: float = ZOMBIE_SECONDS, seconds_to_begin: float = _SECONDS_TO_BEGIN) -> None:
    """Make the server handle crashes, for every run tagged ``talkhead``; replaces what was set before, unless it is the same.

    Args:
        zombie_seconds: a run not heard of for so long has crashed.
        seconds_to_begin: a run that a worker has taken begins within this time, or is given to another.
    """
    ours = ResourceSpecification({"prefect.resource.id": "prefect.flow-run.*"})
    tagged = ResourceSpecification({"prefect.resource.id": f"prefect.tag.{TAG}", "prefect.resource.role": "tag"})
    zombies = Automation(
        name=_ZOMBIES,
        description=f"A run that sends no heartbeat for {zombie_seconds:.0f} s is dead: its machine died or lost its network.",
        trigger=EventTrigger(
            after={"prefect.flow-run.heartbeat"},
            expect={
                "prefect.flow-run.heartbeat",
                "prefect.flow-run.Completed",
                "prefect.flow-run.Failed",
                "prefect.flow-run.Cancelled",
                "prefect.flow-run.Crashed",
            },  # fmt: skip
            match=ours,
            match_related=tagged,
            for_each={"prefect.resource.id"},
            posture=Posture.Proactive,
            threshold=1,
            within=timedelta(seconds=zombie_seconds),
        ),
        # not called crashed first: a server that was started anew hears of a run's next state a quarter of an hour late, because the
        # state before was another server's
        actions=[_try_again("Nothing was heard of this run: its machine died.")],
    )
    again = Automation(
        name=_AGAIN,
        description=f"At most {MOST_RESCHEDULES} times; the run itself counts.",
        trigger=EventTrigger(
            # not at once: a worker that is handed a run which it has not done clearing away stops working altogether
            after={"prefect.flow-run.Crashed"},
            expect={f"prefect.flow-run.{state}" for state in ("AwaitingRetry", "Scheduled", "Pending", "Running")},
            match=ours,
            match_related=tagged,
            for_each={"prefect.resource.id"},
            posture=Posture.Proactive,
            threshold=1,
            within=_PAUSE,
        ),
        actions=[_try_again("Its process died.")],
    )
    never_begun = Automation(
        name=_NEVER_BEGUN,
        description=f"A run that does not begin within {seconds_to_begin:.0f} s was taken by a worker that died.",
        trigger=EventTrigger(
            after={"prefect.flow-run.Pending", "prefect.flow-run.Submitting"},
            expect={f"prefect.flow-run.{state}" for state in _BEGUN_OR_GIVEN_BACK},
            match=ours,
            match_related=tagged,
            for_each={"prefect.resource.id"},
            posture=Posture.Proactive,
            threshold=1,
            within=timedelta(seconds=seconds_to_begin),
        ),
        actions=[_try_again("Its worker died before it began.")],
    )
    with get_client(sync_client=True) as client:
        wanted = {automation.name: automation for automation in (zombies, again, never_begun)}
        there = [old for old in client._client.post("/automations/filter", json={}).json() if old["name"] in wanted]  # noqa: SLF001 - the client has no call for it
        for name, automation in wanted.items():
            found = [old for old in there if old["name"] == name]
            if len(found) == 1 and _same(Automation.model_validate(found[0]), automation):
                continue  # it knows which runs it waits for; a new one would never hear of those that died with the server
            for old in found:
                client._client.delete(f"/automations/{old['id']}")  # noqa: SLF001
            automation.create()


def _same(one: Automation, other: Automation) -> bool:
    return (one.enabled, one.trigger, one.actions) == (other.enabled, other.trigger, other.actions)


def _try_again(why: str) -> ChangeFlowRunState:
    return ChangeFlowRunState(force=False, state=StateType.SCHEDULED, name="AwaitingRetry", message=f"{why} {TRIED_AGAIN}")

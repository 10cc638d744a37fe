"""Runs of a deployment, started and awaited by another flow, with crashes taken into account."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import httpx
from prefect import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId
from prefect.client.schemas.objects import FlowRun
from prefect.deployments import run_deployment
from prefect.runtime import flow_run as this_run

from flows.crash_policy import TAG
from flows.run_watch import MOST_RESCHEDULES

__all__ = ["ended_well", "failure_of", "run_deployments"]

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 1.0, 5.0
_PAGE = 100
# a crashed run that nobody schedules again within this time has ended: the automation may be gone
_SECONDS_TO_RESCHEDULE = 300.0
# for a server that does not answer: each attempt already repeats itself for minutes
_ATTEMPTS, _SECONDS_BETWEEN_ATTEMPTS = 5, 10.0


def run_deployments(
    deployment: str, title: str, runs: Mapping[str, dict[str, Any]], on_end: Callable[[str, FlowRun], None] | None = None
) -> dict[str, FlowRun]:
    """Start a run of ``deployment`` for each entry of ``runs`` (name -> parameters) and wait for all.

    A flow that was started again finds the runs that it had started before, and starts none twice.

    Args:
        deployment: ``flow/deployment``.
        title: what a person sees of each run, before its name: Prefect would make up names like "misty-caterpillar".
        runs: what to start.
        on_end: called with name and run as each one ends.

    Returns:
        The runs as they ended, by name.
    """
    waiting = {_start(deployment, title, name, parameters): name for name, parameters in runs.items()}
    ended: dict[str, FlowRun] = {}
    crashed_s: dict[UUID, float] = {}
    pause_s = _FIRST_PAUSE_S
    while waiting:
        time.sleep(pause_s)
        pause_s = min(pause_s * 1.3, _LONGEST_PAUSE_S)
        for run in _read(list(waiting)):
            if _has_ended(run, crashed_s):
                name = waiting.pop(run.id)
                ended[name] = run
                pause_s = _FIRST_PAUSE_S
                if on_end is not None:
                    on_end(name, run)
    return ended


def ended_well(run: FlowRun) -> bool:
    """Whether the run completed."""
    return run.state is not None and run.state.is_completed()


def failure_of(run: FlowRun) -> str:
    """One line: why the run did not complete."""
    if run.state is None:
        return "never started"
    message = " ".join((run.state.message or run.state.name or "failed").split())
    return message.removeprefix("Flow run encountered an exception: ")


def _start(deployment: str, title: str, name: str, parameters: dict[str, Any]) -> UUID:
    """The run that this flow has started before, or a new one; also a new one where that has failed: this is another attempt."""
    key = f"{this_run.id}-{deployment}-{name}"
    for attempt in (key, f"{key}-{datetime.now(UTC).timestamp():.0f}"):
        started = _ask_for(deployment, f"{title} {name}", parameters, attempt)
        if started.state is None or not started.state.is_final() or started.state.is_completed():
            break
    return UUID(str(started.id))


def _ask_for(deployment: str, run_name: str, parameters: dict[str, Any], key: str) -> Any:
    """The run with this key, made by the first of these requests that gets through."""
    attempt = 1
    while True:
        try:
            return run_deployment(deployment, flow_run_name=run_name, parameters=parameters, timeout=0, tags=[TAG], idempotency_key=key)
        except httpx.HTTPError:
            if attempt == _ATTEMPTS:
                raise
        attempt += 1
        time.sleep(_SECONDS_BETWEEN_ATTEMPTS)


def _read(ids: list[UUID]) -> list[FlowRun]:
    found: list[FlowRun] = []
    try:
        with get_client(sync_client=True) as client:
            for start in range(0, len(ids), _PAGE):
                wanted = FlowRunFilter(id=FlowRunFilterId(any_=ids[start : start + _PAGE]))
                found += client.read_flow_runs(flow_run_filter=wanted, limit=_PAGE)
    except (OSError, httpx.HTTPError):  # the server is away for a while; this run's watch ends it when that lasts
        return found
    return found


def _has_ended(run: FlowRun, crashed_s: dict[UUID, float]) -> bool:
    if run.state is None or not run.state.is_final():
        crashed_s.pop(run.id, None)
        return False
    if not run.state.is_crashed() or run.run_count > MOST_RESCHEDULES:
        return True
    return time.monotonic() - crashed_s.setdefault(run.id, time.monotonic()) > _SECONDS_TO_RESCHEDULE

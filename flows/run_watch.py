"""A run minds whether it may still run: not for ever after crashes, and not when the server has given it up.

Otherwise a machine cut off from the network would go on beside its own replacement.

The server calls a run crashed when it has not heard of it for ``ZOMBIE_SECONDS`` and lets another machine take it. Before that,
after ``SECONDS_ALONE`` without an answer of the server, the run kills itself, with all its stages. Likewise at once when the
server answers that the run is over or has been started again elsewhere.

And it does not run again what was over: the server's automations may hear of a run's states late or never, and then schedule one again
that has completed, failed or been cancelled in the meantime. Prefect allows that, so the run itself puts its last state back.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import httpx
import psutil
from prefect import get_client, get_run_logger
from prefect.client.schemas.objects import FlowRun, State
from prefect.runtime import flow_run as this_run
from prefect.settings import PREFECT_CLIENT_MAX_RETRIES, temporary_settings

from talkhead_core.errors import TalkheadError

__all__ = [
    "HEARTBEAT_SECONDS",
    "MOST_RESCHEDULES",
    "SECONDS_ALONE",
    "TRIED_AGAIN",
    "ZOMBIE_SECONDS",
    "state_before_a_needless_try",
    "watched_run",
]

TRIED_AGAIN = "Tried again."  # how the message of a state ends that an automation has set
MOST_RESCHEDULES = 3
HEARTBEAT_SECONDS = 30.0
ZOMBIE_SECONDS = 150.0
SECONDS_ALONE = 100.0  # longer than the minute that a server on SQLite may wait for its own database
_SECONDS_BETWEEN_LOOKS = 5.0
# A network that swallows everything lets nobody connect; a server that is overloaded answers late, but answers.
_SECONDS_TO_CONNECT, _SECONDS_TO_ANSWER = 8.0, 30.0
_EXIT_CODE = 75  # what sendmail and its kin call "try again later"


@contextmanager
def watched_run() -> Iterator[None]:
    """End this process and its children when the server has given up this flow run; for runs of a deployment.

    Raises:
        TalkheadError: the run has crashed more often than it is tried again.
    """
    run_id = this_run.id
    if run_id is None or os.environ.get("PREFECT__FLOW_RUN_ID") != str(run_id):  # no worker has started it
        yield
        return
    with get_client(sync_client=True) as client:
        run_count = client.read_flow_run(run_id).run_count  # type: ignore[arg-type]
        was = state_before_a_needless_try(client.read_flow_run_states(run_id))  # type: ignore[arg-type]
        if was is not None:
            get_run_logger().warning("this run was over (%s) when it was scheduled again; nothing is done again", was.name)
            client.set_flow_run_state(run_id, State(type=was.type, name=was.name, message=was.message), force=True)  # type: ignore[arg-type]
            os._exit(0)
    if run_count > 1 + MOST_RESCHEDULES:
        raise TalkheadError(f"this run has crashed {run_count - 1} times and is not tried again; its logs say what it did last")
    stop = threading.Event()
    watcher = threading.Thread(target=_watch, args=(str(run_id), run_count, stop, get_run_logger()), daemon=True)
    watcher.start()
    try:
        yield
    finally:
        stop.set()


def state_before_a_needless_try(states: Iterable[State]) -> State | None:
    """The final state that a run had when an automation scheduled it again for the last time; none if it had crashed or was going on."""
    ordered = sorted(states, key=lambda state: state.timestamp)
    tries = [earlier for earlier, later in pairwise(ordered) if later.is_scheduled() and (later.message or "").endswith(TRIED_AGAIN)]
    return tries[-1] if tries and tries[-1].is_final() and not tries[-1].is_crashed() else None


def _watch(run_id: str, run_count: int, stop: threading.Event, logger: Any) -> None:
    # Prefect's own repetitions, with ever longer pauses, may go on for longer than the server waits before it calls a run dead
    with temporary_settings({PREFECT_CLIENT_MAX_RETRIES: 0}):
        _look_again_and_again(run_id, run_count, stop, logger)


def _look_again_and_again(run_id: str, run_count: int, stop: threading.Event, logger: Any) -> None:
    heard_s, why = time.monotonic(), "nothing"
    while not stop.wait(_SECONDS_BETWEEN_LOOKS):
        left_s = heard_s + SECONDS_ALONE - time.monotonic()
        if left_s <= 0:
            _end(logger, f"no answer of the server for {SECONDS_ALONE:.0f} s ({why})")
        try:
            found = _ask_for(run_id, left_s)
        except Exception as error:  # noqa: BLE001 - whatever it is, the server did not answer
            why = type(error).__name__
            continue
        heard_s = time.monotonic()
        state = found.state
        if found.run_count != run_count or (state is not None and (state.is_final() or state.is_scheduled())):
            if stop.is_set():
                return
            _end(logger, f"the server has given up this run (state {state.name if state else 'none'}, run {found.run_count})")


def _ask_for(run_id: str, left_s: float) -> FlowRun:
    """The run, if the server tells of it in time."""
    timeout = httpx.Timeout(min(_SECONDS_TO_ANSWER, left_s), connect=min(_SECONDS_TO_CONNECT, left_s))
    with get_client(httpx_settings={"timeout": timeout}, sync_client=True) as client:
        return client.read_flow_run(run_id)  # type: ignore[arg-type]


def _end(logger: Any, why: str) -> None:
    logger.error("%s; ending this run, its work is kept", why)
    for child in psutil.Process().children(recursive=True):
        try:
            child.kill()
        except psutil.NoSuchProcess:
            continue
    os._exit(_EXIT_CODE)

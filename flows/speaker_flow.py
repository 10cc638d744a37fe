"""The Prefect flow ``talkhead-speaker``: the whole graph of one speaker on the machine that takes the run."""

from __future__ import annotations

from typing import Any

from prefect import flow
from prefect.task_runners import ThreadPoolTaskRunner

from flows.code_version import check_code_version
from flows.run_watch import watched_run
from flows.shared_cache import SharedCache
from flows.speaker_exchange import fetch_speaker
from flows.speaker_graph import publish_results, run_graph
from flows.workspace import Workspace
from talkhead_core.speakers import check_speaker_name, registered_speaker

__all__ = ["talkhead_speaker"]

_RUNNER: Any = ThreadPoolTaskRunner(max_workers=4)  # one works, others wait for what they depend on


@flow(name="talkhead-speaker", flow_run_name="speaker {speaker}", task_runner=_RUNNER, persist_result=False)
def talkhead_speaker(speaker: str, code: str | None = None, up_to_date: bool = False) -> None:
    """Bring every stage of ``speaker`` up to date on this machine.

    Args:
        speaker: a registered speaker.
        code: the version of the code that is asked for; None: whatever this machine has.
        up_to_date: DVC has already said that no stage would run here: they are told as they are.
    """
    workspace = Workspace.here()
    check_speaker_name(speaker)
    check_code_version(workspace, code)
    busy = f"another talkhead is at work on speaker {speaker!r}"
    with watched_run(), workspace.locked(f"run-{speaker}", refuse=busy):
        fetch_speaker(workspace, speaker)
        registered_speaker(workspace.speakers, speaker)
        shared = SharedCache(workspace, speaker)
        shared.fetch()
        try:
            rows = run_graph(workspace, speaker, shared, up_to_date=up_to_date)
        finally:
            shared.finish()
        publish_results(workspace, speaker, rows)


if __name__ == "__main__":
    import sys

    talkhead_speaker(sys.argv[1])

"""The whole graph of one speaker, as ``talkhead run`` runs it: one DVC process, no orchestrator."""

from __future__ import annotations

from collections.abc import Callable

from flows.stage_graph import read_stage_graph
from flows.stage_runs import StageEvent, reproduce
from flows.workspace import Workspace

__all__ = ["bring_up_to_date"]


def bring_up_to_date(workspace: Workspace, speaker: str, show: Callable[[StageEvent], None]) -> None:
    """Run every stage of ``speaker`` that is not up to date.

    Raises:
        StageFailedError: a stage failed.
        TalkheadError: another run is at work on this speaker.
    """
    busy = f"another talkhead is at work on speaker {speaker!r}; wait for it to end"
    stages = [node.name for node in read_stage_graph(workspace.root)]
    with workspace.locked(f"run-{speaker}", refuse=busy):
        for event in reproduce(workspace, speaker, stages):
            show(event)

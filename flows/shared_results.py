"""Results of other machines brought into this workspace, without running anything."""

from __future__ import annotations

from flows.shared_cache import SharedCache
from flows.stage_graph import read_stage_graph
from flows.stage_runs import Outcome, reproduce
from flows.workspace import Workspace
from talkhead_core.errors import TalkheadError

__all__ = ["restore_results"]


def restore_results(workspace: Workspace, speaker: str) -> Outcome:
    """Every stage of ``speaker`` as the machines have made it.

    Raises:
        TalkheadError: a stage is not in the shared store and would have to run here.
    """
    shared = SharedCache(workspace, speaker)
    if not shared.available:
        return Outcome.UNCHANGED
    shared.fetch()
    stages = [node.name for node in read_stage_graph(workspace.root)]
    outcome = Outcome.UNCHANGED
    for event in reproduce(workspace, speaker, stages, pull=True):
        if event.outcome is None and event.line is None and event.done is None:
            raise TalkheadError(f"{event.stage} of {speaker} is not in the shared store; run it again")
        if event.outcome is Outcome.RESTORED:
            outcome = Outcome.RESTORED
    return outcome

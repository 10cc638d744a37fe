"""Which stages of a speaker are up to date, and which would run and why."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from flows.child_process import child_environment
from flows.dvc_locks import release_dead_holders
from flows.stage_graph import StageNode, last_stages, read_stage_graph
from flows.workspace import Workspace
from talkhead_core.errors import TalkheadError
from talkhead_core.speakers import registered_speaker

__all__ = ["StageStatus", "speaker_status", "speakers_up_to_date"]


@dataclass(frozen=True, kw_only=True)
class StageStatus:
    """Whether a stage would run; ``reasons`` is empty when it would not."""

    stage: str
    reasons: tuple[str, ...]

    @property
    def up_to_date(self) -> bool:
        """Whether nothing that it depends on has changed, its upstream stages included."""
        return not self.reasons


def speaker_status(workspace: Workspace, speaker: str) -> list[StageStatus]:
    """The status of every stage of ``speaker``, in the order of the graph.

    Raises:
        TalkheadError: the speaker is not registered, or DVC cannot tell.
    """
    return _statuses(workspace, [speaker])[speaker]


def speakers_up_to_date(workspace: Workspace, speakers: Sequence[str]) -> list[str]:
    """Those of ``speakers`` of whom no stage would run; DVC is asked once for all.

    Raises:
        TalkheadError: a speaker is not registered, or DVC cannot tell.
    """
    return [name for name, rows in _statuses(workspace, speakers).items() if all(row.up_to_date for row in rows)]


def _statuses(workspace: Workspace, speakers: Sequence[str]) -> dict[str, list[StageStatus]]:
    for speaker in speakers:
        registered_speaker(workspace.speakers, speaker)
    nodes = read_stage_graph(workspace.root)
    last = last_stages(nodes, [node.name for node in nodes])
    changes = _dvc_status(workspace, [f"{name}@{speaker}" for speaker in speakers for name in last])
    return {speaker: _rows(nodes, speaker, changes) for speaker in speakers}


def _rows(nodes: list[StageNode], speaker: str, changes: dict[str, list[Any]]) -> list[StageStatus]:
    rows: dict[str, StageStatus] = {}
    for node in nodes:
        own = tuple(_reasons(changes.get(f"{node.name}@{speaker}", [])))
        waits = tuple(f"{name} would run" for name in node.upstream if not rows[name].up_to_date)
        rows[node.name] = StageStatus(stage=node.name, reasons=own or waits)
    return list(rows.values())


def _dvc_status(workspace: Workspace, targets: list[str]) -> dict[str, list[Any]]:
    release_dead_holders(workspace)
    command = ["dvc", "--wait-for-lock", "status", "--json", "--with-deps", *targets]
    result = subprocess.run(command, cwd=workspace.root, env=child_environment(), capture_output=True, text=True, check=False)  # noqa: S603
    if result.returncode != 0:
        errors = [line.removeprefix("ERROR: ") for line in result.stderr.splitlines() if line.startswith("ERROR: ")]
        raise TalkheadError(f"dvc cannot tell the status: {errors[-1] if errors else f'exit code {result.returncode}'}")
    return dict(json.loads(result.stdout))


def _reasons(changes: list[Any]) -> Iterator[str]:
    for change in changes:
        if not isinstance(change, dict):
            yield str(change)
            continue
        for paths in change.values():
            for path, state in (paths if isinstance(paths, dict) else {str(paths): "changed"}).items():
                if isinstance(state, dict):
                    yield from (f"parameter {name} {word}" for name, word in state.items())
                else:
                    yield f"{path} {state}"

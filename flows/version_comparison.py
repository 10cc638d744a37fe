"""What an earlier version of a model scores on the held-out frames of the recording that its speaker has now.

Scores of two recordings do not compare: another light, another length of hair or another sentence moves them more than a training does.
So the earlier model is rendered and scored like the new one, on the same frames, by the same stages.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from flows.model_versions import ModelVersion, trained_scores
from flows.stage_graph import read_stage_graph
from flows.stage_runs import StageEvent, run_task
from flows.version_workspace import SHARED, make_version_workspace, point_at
from flows.workspace import Workspace
from talkhead_core.errors import TalkheadError
from talkhead_core.speakers import registered_speaker, speaker_parameters, write_speakers

__all__ = ["scores_on_this_recording"]

_STAGES = ("render", "evaluate")
_MODEL = "train_torso"


def scores_on_this_recording(
    workspace: Workspace, speaker: str, version: ModelVersion, show: Callable[[StageEvent], None]
) -> dict[str, float]:
    """The scores that ``version`` reaches on what the workspace holds out now; takes as long as rendering and evaluating a model does.

    Args:
        workspace: where ``speaker`` is trained on the new recording.
        speaker: a registered speaker.
        version: an earlier version of the speaker.
        show: called with what the stages say.

    Raises:
        TalkheadError: the version cannot be rendered with the new recording; the message says why.
    """
    earlier = make_version_workspace(workspace, speaker, version)
    if speaker_parameters(earlier.root, speaker, "speech_features") != speaker_parameters(workspace.root, speaker, "speech_features"):
        raise TalkheadError(f"version {version.number} of {speaker!r} hears other speech features than are computed now")
    limits = {node.name: node.timeout_s for node in read_stage_graph(workspace.root)}
    with _mixed_workspace(workspace, speaker, earlier, version.number) as mixed:
        for stage in _STAGES:
            run_task(mixed, stage, ["--speaker", speaker], show, timeout_s=limits[stage])
        return trained_scores(mixed, speaker)


@contextmanager
def _mixed_workspace(workspace: Workspace, speaker: str, earlier: Workspace, number: int) -> Iterator[Workspace]:
    """The new recording's artifacts with the earlier model, by links; gone after the block."""
    mixed = Workspace(workspace.root / "data" / speaker / "versions" / f"{number}-on-this-recording")
    shutil.rmtree(mixed.root, ignore_errors=True)  # of a run that was killed
    inputs = [path for node in read_stage_graph(workspace.root) if node.name in _STAGES for path in node.inputs]
    read = {path.split("/")[2] for path in inputs if path.startswith("data/${key}/")} - {*_STAGES, _MODEL}
    try:
        for stage in (*sorted(read), "raw"):
            point_at(mixed.stage_folder(speaker, stage), workspace.stage_folder(speaker, stage))
        point_at(mixed.stage_folder(speaker, _MODEL), earlier.stage_folder(speaker, _MODEL))
        for name in (*SHARED, "params.yaml"):
            point_at(mixed.root / name, workspace.root / name)
        write_speakers(mixed.speakers, {speaker: registered_speaker(workspace.speakers, speaker)})
        yield mixed
    finally:
        shutil.rmtree(mixed.root, ignore_errors=True)

"""How much processor time DVC takes to say that nothing is to do, against the number of speakers in one workspace."""

from __future__ import annotations

import resource
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

import yaml

from flows.child_process import child_environment
from flows.stage_graph import read_stage_graph
from talkhead_core.speakers import Speaker, write_speakers
from tests.toy_workspace import add_speaker, make_toy_workspace

__all__ = ["measure_dvc"]


def measure_dvc(speakers: Sequence[int]) -> list[dict[str, float]]:
    """Processor seconds of ``dvc status`` and of ``dvc repro --single-item`` of one stage that is up to date, for each number of speakers.

    One speaker is run for real with toy stages; the others have its entries of ``dvc.lock`` under their names.
    """
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        root = make_toy_workspace(Path(folder))
        add_speaker(root, "s0")
        names = [node.name for node in read_stage_graph(root)]
        _seconds(root, ["dvc", "repro", *(f"{name}@s0" for name in names)])
        lock = yaml.safe_load((root / "dvc.lock").read_text())
        for count in speakers:
            entry = Speaker(video="data/s0/raw/video.mp4", profile="smoke", config="talkhead")
            write_speakers(root / "speakers.yaml", {f"s{i}": entry for i in range(count)})
            stages = {
                name.replace("@s0", f"@s{i}"): yaml.safe_load(yaml.safe_dump(stage).replace("data/s0/", f"data/s{i}/"))
                for i in range(count)
                for name, stage in lock["stages"].items()
            }
            (root / "dvc.lock").write_text(yaml.safe_dump({**lock, "stages": stages}, sort_keys=False))
            targets = [f"{name}@s0" for name in names]
            rows.append(
                {
                    "speakers": count,
                    "status_of_one_speaker_s": round(_seconds(root, ["dvc", "status", *targets]), 2),
                    "one_stage_up_to_date_s": round(_seconds(root, ["dvc", "repro", "--single-item", "ingest@s0"]), 2),
                }
            )
    return rows


def _seconds(root: Path, command: list[str]) -> float:
    """Processor seconds, which other work on the machine does not lengthen."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, cwd=root, env=child_environment(), check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

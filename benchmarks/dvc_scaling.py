"""How much processor time DVC takes to know its own stages, against the number of speakers in one workspace.

Every ``dvc`` command pays it before it does anything.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from flows.child_process import child_environment
from talkhead_core.speakers import Speaker, write_speakers
from tests.toy_workspace import make_toy_workspace

__all__ = ["measure_dvc"]

_LOAD = "from dvc.repo import Repo; repo = Repo('.'); print(len(repo.index.stages))"


def measure_dvc(speakers: Sequence[int]) -> list[dict[str, float]]:
    """Processor seconds, which other work on the machine does not lengthen, for each number of registered speakers."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        root = make_toy_workspace(Path(folder))
        for count in speakers:
            entries = {f"s{i}": Speaker(video=f"data/s{i}/raw/video.mp4", profile="smoke", config="talkhead") for i in range(count)}
            write_speakers(root / "speakers.yaml", entries)
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            command = [sys.executable, "-c", _LOAD]
            stages = subprocess.run(command, cwd=root, env=child_environment(), check=True, capture_output=True, text=True).stdout
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
            rows.append({"speakers": count, "stages": int(stages), "processor_s": round(seconds, 2)})
    return rows

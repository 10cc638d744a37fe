"""Every stage is a process of its own, so what it loads without using is paid by every speaker, nine times."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

_STAGES = ("ingest", "extract_audio", "denoise", "speech_features", "landmarks", "track_head", "segment", "flow_masks", "inpaint")
_SLOW = ("IPython", "librosa", "matplotlib", "numba", "pandas", "scipy.optimize", "scipy.signal", "scipy.stats", "sounddevice", "torch")
_CODE = """
import importlib, sys
for stage in {stages!r}:
    importlib.import_module("tasks." + stage)
from talkhead_core.media.mediapipe_solutions import mediapipe_package
assert mediapipe_package().solutions.face_mesh.FaceMesh
print(*[name for name in {slow!r} if name in sys.modules])
import matplotlib.pyplot
assert matplotlib.pyplot.figure, "who draws afterwards gets the real one"
"""


def test_the_preparation_loads_no_slow_package_that_it_does_not_use() -> None:
    code = _CODE.format(stages=_STAGES, slow=_SLOW)
    done = subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[1], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == []

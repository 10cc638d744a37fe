"""Two processes that share a step's rays do what one process with all of them does."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from talkhead_core.artifacts import read_arrays
from talkhead_core.training.ray_sampling import RaySampler
from tests.test_training import trainer

_STEPS = 6
_WORKER = """
import sys
import torch
from pathlib import Path
from talkhead_core.artifacts import write_arrays
from talkhead_core.training.data_parallel import average_values, process_rank
from tests.test_training import trainer

torch.distributed.init_process_group("gloo")
folder, structure_weight = Path(sys.argv[1]), float(sys.argv[2])
seed = torch.manual_seed
torch.manual_seed = lambda number: seed(number + process_rank())  # process 0's weights must win
run = trainer(folder / "checkpoints", frames_per_step=4, structure_weight=structure_weight, patch_px=16)
losses = [average_values(run.step(step))["loss"].item() for step in range(int(sys.argv[3]))]
arrays = {name: value.numpy() for name, value in run.head.state_dict().items()}
write_arrays(folder / f"process_{process_rank()}.safetensors", arrays | {"losses": torch.tensor(losses).numpy()})
torch.distributed.destroy_process_group()
"""


@pytest.mark.slow
@pytest.mark.parametrize("structure_weight", [0.0, 0.02])
def test_two_processes_take_the_step_of_one_with_twice_the_rays(tmp_path: Path, structure_weight: float) -> None:
    script = tmp_path / "worker.py"
    script.write_text(_WORKER)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    root = Path(__file__).parents[1]
    done = subprocess.run(
        [*command, str(script), str(tmp_path), str(structure_weight), str(_STEPS)],
        capture_output=True, text=True, cwd=root, env=_environment(root), timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    first, second = (read_arrays(tmp_path / f"process_{rank}.safetensors") for rank in (0, 1))
    for name in first:
        np.testing.assert_array_equal(first[name], second[name], err_msg=f"{name} differs between the processes")
    alone = trainer(tmp_path / "alone", frames_per_step=8, structure_weight=structure_weight, patch_px=16)
    losses = [alone.step(step)["loss"].item() for step in range(_STEPS)]
    np.testing.assert_allclose(first["losses"], losses, rtol=2e-4)
    assert losses[-1] < losses[0]
    for name, value in alone.head.state_dict().items():
        # Adam turns a rounding difference of a gradient near zero into one of its step, so a few entries may differ by a step
        difference = np.abs(first[name] - value.numpy())
        assert np.mean(difference > 1e-4) < 0.02, name


def test_processes_draw_different_rays_of_the_same_step(tmp_path: Path) -> None:
    whole = trainer(tmp_path)
    sampler = whole._sampler
    parts = []
    for rank in (0, 1):
        boxes = sampler._boxes.numpy()
        part = RaySampler(whole.cache, whole.dataset, boxes, whole.config.seed, (rank, 2))
        parts.append(part.draw(3, frames=4, rays=16, mouth_fraction=0.25, samples=3))
    together = sampler.draw(3, frames=8, rays=16, mouth_fraction=0.25, samples=3)
    for name in ("frames", "row", "flat", "pixel", "jitter", "colour", "label"):
        torch.testing.assert_close(torch.cat([getattr(part, name) for part in parts]), getattr(together, name), rtol=0, atol=0)


def _environment(root: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}

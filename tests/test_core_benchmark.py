"""What the core is measured against is a working way to train, and the documented figures are the measured ones."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

from benchmarks.marching_head import MarchingHead
from benchmarks.nerf_core import compared_kernels
from benchmarks.nerf_core_table import tables
from talkhead_core.artifacts import read_json
from talkhead_core.training.checkpoints import CheckpointStore
from talkhead_core.training.head_training import HeadTrainer
from talkhead_core.training.ray_sampling import mouth_boxes
from tests.test_training import FIELD, TRAINING, trainer

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
def test_the_marching_reference_learns_and_prunes(tmp_path: Path) -> None:
    shell_run = trainer(tmp_path / "shell")
    torch.manual_seed(0)
    head = MarchingHead(shell_run.cache.shell, dataclasses.replace(FIELD, kernel="torch"), len(shell_run.dataset.frames))
    occupied = int((head.occupancy > 0.1).sum())
    run = HeadTrainer(
        head=head,
        dataset=shell_run.dataset,
        cache=shell_run.cache,
        conditions=(shell_run._lips.numpy(), shell_run._expression.numpy()),
        boxes=mouth_boxes(shell_run.cache.shell, shell_run.dataset, shell_run._lips.numpy()),
        config=dataclasses.replace(TRAINING, iterations=400),
        store=CheckpointStore(tmp_path / "marching"),
    )
    history = run.train()
    assert history[-1]["psnr"] > history[0]["psnr"] + 3
    assert int((head.occupancy > 0.1).sum()) < occupied
    assert 3 < head.samples_a_ray <= 16


def test_a_kernel_that_does_not_load_is_named_with_its_reason() -> None:
    kernels, left_out = compared_kernels(torch.device("cuda"))
    assert kernels[0] == "torch" and {*kernels, *left_out} == {"torch", "triton", "tinycudann"} and all(left_out.values())
    path = next(iter(sorted((ROOT / "benchmarks" / "results").glob("nerf_core_*.json"))))
    assert "tinycudann was not measured: no device." in tables(read_json(path) | {"left_out": {"tinycudann": "no device"}})


def test_the_documented_figures_are_the_measured_ones() -> None:
    results = sorted((ROOT / "benchmarks" / "results").glob("nerf_core_*.json"))
    if not results:
        pytest.skip("no results of the benchmark here: python -m benchmarks.nerf_core WORKSPACE SPEAKER")
    document = (ROOT / "docs" / "kernels.md").read_text(encoding="utf-8")
    for path in results:
        assert tables(read_json(path)) in document, f"{path.name} is newer: run python -m benchmarks.nerf_core_table"

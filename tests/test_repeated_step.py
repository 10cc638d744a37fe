"""A step that is recorded and replayed on a GPU is the step that was written."""

import dataclasses
import importlib.util

import numpy as np
import pytest
import torch

from talkhead_core.rendering.shell_cache import ShellCache
from talkhead_core.rendering.talking_head import TalkingHead
from talkhead_core.training.checkpoints import CheckpointStore
from talkhead_core.training.head_training import HeadTrainer
from talkhead_core.training.photometric_poses import PoseRefinementConfig
from talkhead_core.training.ray_sampling import mouth_boxes
from talkhead_core.training.repeated_step import RepeatedStep
from tests.synthetic_portrait import synthetic_portrait
from tests.test_head_shell import shell_of
from tests.test_training import FIELD, TRAINING

on_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="a CUDA graph needs a GPU")
trains_on_gpu = pytest.mark.skipif(
    not torch.cuda.is_available() or importlib.util.find_spec("triton") is None, reason="needs a GPU and Triton"
)


def test_without_recording_every_call_is_the_work_itself() -> None:
    step = RepeatedStep(lambda given: {"sum": given.sum()}, torch.Generator(), recorded=False)
    assert [float(step(torch.full((2,), float(number)))["sum"]) for number in range(6)] == [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]


@on_gpu
def test_a_replay_reads_its_input_and_the_seed_and_keeps_earlier_results() -> None:
    generator = torch.Generator("cuda")
    table = torch.zeros(4, device="cuda")

    def work(given: torch.Tensor) -> dict[str, torch.Tensor]:
        table.add_(given)
        return {"drawn": torch.rand(3, generator=generator, device="cuda") + given[0], "table": table.sum()}

    step = RepeatedStep(work, generator, recorded=True)
    seen = []
    for number in range(8):
        generator.manual_seed(number)
        seen.append(step(torch.full((4,), float(number), device="cuda")))
    for number, result in enumerate(seen):
        generator.manual_seed(number)
        torch.testing.assert_close(result["drawn"], torch.rand(3, generator=generator, device="cuda") + number)
        assert float(result["table"]) == 4 * sum(range(number + 1))
    assert step._graph is not None
    step.forget()
    step(torch.ones(4, device="cuda"))
    assert step._graph is None


def trainer(folder, *, recorded: bool, **changes) -> HeadTrainer:
    dataset = synthetic_portrait()
    shell, codes = shell_of(dataset)
    torch.manual_seed(0)
    head = TalkingHead(shell, dataclasses.replace(FIELD, kernel="triton"), len(dataset.frames)).to("cuda")
    track = dataset.track
    return HeadTrainer(
        head=head,
        dataset=dataset,
        cache=ShellCache(shell, track.camera(96), track.rotation, track.translation_cm, codes, device="cuda"),
        conditions=(codes, track.expression),
        boxes=mouth_boxes(shell, dataset, codes),
        config=dataclasses.replace(TRAINING, cuda_graph=recorded, **changes),
        store=CheckpointStore(folder),
        poses=PoseRefinementConfig(rounds=1, points=64),
    )


@trains_on_gpu
@pytest.mark.parametrize("structure_weight", [0.0, 0.02])
def test_a_recorded_training_learns_what_one_kernel_after_the_other_does(tmp_path, structure_weight) -> None:
    changes = {"structure_weight": structure_weight, "patch_px": 16, "iterations": 200}
    plain, recorded = (trainer(tmp_path / str(each), recorded=each, **changes) for each in (False, True))
    plain.train()
    recorded.train()
    assert recorded._rays_step._graph is not None
    assert (recorded._patches_step._graph is not None) == bool(structure_weight)
    # sums on a GPU have no order of their own, so the weights drift apart in their last bits, and what is learned does not
    first, second = ([row["loss"] for row in each.history] for each in (plain, recorded))
    np.testing.assert_allclose(second, first, rtol=0.05)
    assert recorded.history[-1]["psnr"] > recorded.history[0]["psnr"] + 3


@trains_on_gpu
def test_a_recorded_training_goes_on_from_its_checkpoint(tmp_path) -> None:
    whole, killed, resumed = (trainer(tmp_path / name, recorded=True, iterations=120) for name in ("whole", "killed", "killed"))
    whole.train()

    def kill(done: int, total: int, note: str = "") -> None:
        if done >= 100:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        killed.train(kill)
    resumed.train()
    np.testing.assert_allclose(resumed.history[-1]["loss"], whole.history[-1]["loss"], rtol=0.05)

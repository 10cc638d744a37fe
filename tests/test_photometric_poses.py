"""Poses refined on the picture during training: errors of single frames shrink, held-out frames keep theirs, a killed run ends alike."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from talkhead_core.face.rotations import exp_so3, log_so3
from talkhead_core.fields.head_field import HeadFieldConfig
from talkhead_core.rendering.pose_correction import corrected_poses
from talkhead_core.rendering.shell_cache import ShellCache
from talkhead_core.rendering.talking_head import TalkingHead
from talkhead_core.training.checkpoints import CheckpointStore
from talkhead_core.training.head_training import HeadTrainer, HeadTrainingConfig
from talkhead_core.training.photometric_poses import PoseRefinementConfig
from talkhead_core.training.portrait_dataset import PortraitDataset
from talkhead_core.training.ray_sampling import mouth_boxes
from tests.synthetic_portrait import synthetic_portrait
from tests.test_head_shell import shell_of

FIELD = HeadFieldConfig(levels=6, base_resolution=8, finest_resolution=128, log2_entries=12, hidden=32, lip_codes=2)
TRAINING = HeadTrainingConfig(iterations=300, frames_per_step=8, rays_per_frame=64, checkpoint_every=100)
# the synthetic face is smooth and small: a pixel is a millimetre and a half, and colours change little from one to the next
POSES = PoseRefinementConfig(rounds=2, rotation_std_deg=1.0, shift_std_cm=0.2, colour_std=0.05)


def trembling_portrait() -> PortraitDataset:
    """The synthetic speaker with tracked poses that are wrong by about a degree and a millimetre, each frame for itself."""
    dataset, random = synthetic_portrait(), np.random.default_rng(0)
    track, frames = dataset.track, len(dataset.frames)
    wrong = np.concatenate([random.normal(0, np.radians(1.0), (frames, 3)), random.normal(0, 0.1, (frames, 3))], axis=1)
    rotation, translation = corrected_poses(track.rotation, track.translation_cm, wrong)
    return dataclasses.replace(dataset, track=dataclasses.replace(track, rotation=rotation, translation_cm=translation))


def trainer(folder: Path, poses: PoseRefinementConfig | None, iterations: int = 300) -> HeadTrainer:
    dataset = trembling_portrait()
    shell, codes = shell_of(dataset)
    torch.manual_seed(0)
    track = dataset.track
    return HeadTrainer(
        head=TalkingHead(shell, FIELD, len(dataset.frames)),
        dataset=dataset,
        cache=ShellCache(shell, track.camera(96), track.rotation, track.translation_cm, codes),
        conditions=(codes, track.expression),
        boxes=mouth_boxes(shell, dataset, codes),
        config=dataclasses.replace(TRAINING, iterations=iterations),
        store=CheckpointStore(folder),
        poses=poses,
    )


def pose_error(run: HeadTrainer) -> float:
    """Root mean square, in millimetres on the face, of what is left of the training poses' errors once their common part is removed."""
    true, track, train = synthetic_portrait().track, run.dataset.track, run.dataset.train_ids
    rotation, translation = corrected_poses(track.rotation, track.translation_cm, run.head.pose_correction.numpy())
    turn = log_so3(true.rotation[train] @ rotation[train].swapaxes(1, 2))
    point = np.array([0, 0, 8.0])  # across the view, where the face is
    error = np.cross(turn, point)[:, :2] + (true.translation_cm - translation)[train, :2]
    return float(10 * np.sqrt(((error - error.mean(axis=0)) ** 2).sum(axis=1).mean()))


def test_errors_of_single_frames_shrink_and_the_field_fits_better(tmp_path) -> None:
    as_tracked, refined = trainer(tmp_path / "a", None), trainer(tmp_path / "b", POSES)
    plain, better = as_tracked.train()[-1], refined.train()[-1]
    assert pose_error(refined) < 0.6 * pose_error(as_tracked)
    assert better["psnr"] > plain["psnr"] + 0.5
    corrections = refined.head.pose_correction.numpy()
    assert (corrections[refined.dataset.held_out_ids] == 0).all()
    assert np.abs(corrections[refined.dataset.train_ids].mean(axis=0)).max() < 1e-6  # the tracker's frame of reference stays


def test_right_poses_stay_where_they_are(tmp_path) -> None:
    run = trainer(tmp_path, POSES)
    run.dataset = dataclasses.replace(run.dataset, track=synthetic_portrait().track)
    run.train()
    assert pose_error(run) < 0.5  # a third of a pixel


def test_a_killed_training_ends_with_the_same_poses(tmp_path) -> None:
    whole, killed = trainer(tmp_path / "whole", POSES, 150), trainer(tmp_path / "killed", POSES, 150)
    whole.train()

    def kill(done: int, total: int, note: str = "") -> None:
        if done >= 100:
            raise KeyboardInterrupt

    killed.store = CheckpointStore(tmp_path / "killed")
    killed.config = dataclasses.replace(killed.config, checkpoint_every=50)
    with pytest.raises(KeyboardInterrupt):
        killed.train(kill)
    again = trainer(tmp_path / "killed", POSES, 150)
    again.train()
    for (name, expected), actual in zip(whole.head.state_dict().items(), again.head.state_dict().values(), strict=True):
        assert torch.equal(expected, actual), name
    assert whole.head.pose_correction.abs().max() > 0


def test_a_field_that_is_not_a_number_moves_no_pose(tmp_path) -> None:
    run = trainer(tmp_path, POSES)
    with torch.no_grad():
        run.head.field.output.weight.fill_(float("nan"))
    run._refine_poses()
    assert torch.isfinite(run.head.pose_correction).all()


def test_corrections_turn_the_head_about_its_origin() -> None:
    rotation, translation = np.eye(3)[None], np.array([[1.0, 2.0, -60.0]])
    turned, moved = corrected_poses(rotation, translation, np.array([[0, 0.1, 0, 0.5, 0, 0]]))
    np.testing.assert_allclose(turned[0], exp_so3(np.array([0, 0.1, 0])), atol=1e-7)
    np.testing.assert_allclose(moved, [[1.5, 2.0, -60.0]])

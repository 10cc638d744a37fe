"""Optical flow back ends on known motion; temporal masks (eq. 4) on an object that comes, stays and goes."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from talkhead_core.artifacts import read_json
from talkhead_core.errors import NotAvailableError, ParameterError
from talkhead_core.media.video_reader import read_gray_frames
from talkhead_core.motion.gmflow import GmFlow, matched, windows, without_windows
from talkhead_core.motion.optical_flow import OPTICAL_FLOWS
from talkhead_core.motion.raft import RaftSmall, correlation_around, correlation_pyramid
from talkhead_core.motion.temporal_mask import FlowMaskConfig, TemporalMask
from talkhead_core.types import Label
from tasks import flow_masks
from tests.torso_scene import TorsoScene, intersection_over_union, mask_stage, texture


def built(name: str):
    try:
        return OPTICAL_FLOWS.get(name)(None)
    except NotAvailableError as error:
        assert "talkhead models pull" in str(error)
        pytest.skip(str(error))


@pytest.mark.parametrize("name", OPTICAL_FLOWS.names())
@pytest.mark.parametrize(("height", "width"), [(128, 128), (121, 157)])
def test_flow_of_a_known_shift(name: str, height: int, width: int) -> None:
    flow = built(name)
    large = texture(height + 20, width + 20, seed=3)
    right, down = 4, -3
    first = np.ascontiguousarray(large[10 : 10 + height, 10 : 10 + width])
    second = np.ascontiguousarray(large[10 - down : 10 - down + height, 10 - right : 10 - right + width])
    found = flow(first, second)
    assert found.shape == (height, width, 2) and found.dtype == np.float32
    error = np.linalg.norm(found[16:-16, 16:-16] - (right, down), axis=-1)
    assert np.median(error) < 0.3


@pytest.mark.parametrize("name", OPTICAL_FLOWS.names())
def test_flow_of_a_tiny_image_and_of_nothing(name: str) -> None:
    flow = built(name)
    tiny = texture(17, 20, seed=4)
    assert flow(tiny, tiny).shape == (17, 20, 2)
    still = texture(96, 96, seed=5)
    assert np.abs(flow(still, still)).max() < 0.5


# --- learnt flow: without the official weights, what can be known about the networks ----------------------------------------


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Small networks on a busy machine spend their time on handing work to threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def saved(path: Path, name: str) -> str:
    """A file of the official format, with random weights."""
    torch.manual_seed(0)
    state = {"raft_small": RaftSmall, "gmflow": GmFlow}[name]().state_dict()
    torch.save({"model": state} if name == "gmflow" else state, path)
    return str(path)


@pytest.mark.parametrize(("network", "parameters"), [(RaftSmall, 990_162), (GmFlow, 4_680_288)])
def test_networks_are_as_large_as_published(network: type[torch.nn.Module], parameters: int) -> None:
    assert sum(weights.numel() for weights in network().parameters()) == parameters


@pytest.mark.parametrize("name", ["raft_small", "gmflow"])
def test_learnt_flow_loads_a_file_of_the_official_format(name: str, tmp_path: Path) -> None:
    flow = OPTICAL_FLOWS.get(name)(saved(tmp_path / "weights.pth", name))
    one, two = texture(75, 141, seed=1), texture(75, 141, seed=2)
    found = flow(one, two)
    assert found.shape == (75, 141, 2) and found.dtype == np.float32 and np.isfinite(found).all()
    assert np.array_equal(found, flow(one, two))
    assert not np.allclose(found, flow(one, one))


@pytest.mark.parametrize("name", ["raft_small", "gmflow"])
def test_learnt_flow_says_what_is_missing(name: str, tmp_path: Path) -> None:
    for weights in (None, str(tmp_path), str(tmp_path / "no.pth")):
        with pytest.raises(NotAvailableError, match=f"talkhead models pull {name}"):
            OPTICAL_FLOWS.get(name)(weights)
    (tmp_path / "torn.pth").write_bytes(b"torn")
    with pytest.raises(NotAvailableError, match="not a file of weights"):
        OPTICAL_FLOWS.get(name)(str(tmp_path / "torn.pth"))
    other = "gmflow" if name == "raft_small" else "raft_small"
    with pytest.raises(NotAvailableError, match="names do not match"):
        OPTICAL_FLOWS.get(name)(saved(tmp_path / "other.pth", other))


def unlike_features(height: int, width: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(0).normal(size=(1, 128, height, width)).astype(np.float32)) * 4


def test_matching_finds_a_shift_across_the_image() -> None:
    first = unlike_features(10, 14)
    second = torch.roll(first, (3, -5), (2, 3))
    found = matched(first, second)[0, :, :7, 5:]
    assert torch.allclose(found[0], torch.tensor(-5.0), atol=1e-3) and torch.allclose(found[1], torch.tensor(3.0), atol=1e-3)


def test_windows_can_be_put_together_again() -> None:
    tokens = torch.arange(2 * 6 * 8 * 3).reshape(2, 6, 8, 3)
    split = windows(tokens)
    assert split.shape == (8, 12, 3)
    assert torch.equal(split[1], tokens[0, :3, 4:].reshape(12, 3)), "the second window is to the right of the first"
    assert torch.equal(without_windows(split, 6, 8), tokens)


def test_correlation_is_looked_up_where_the_flow_points() -> None:
    features = unlike_features(16, 24)
    pyramid = correlation_pyramid(features, features)
    assert [tuple(level.shape[2:]) for level in pyramid] == [(16, 24), (8, 12), (4, 6), (2, 3)]
    still = correlation_around(pyramid, torch.zeros(1, 2, 16, 24))
    assert still.shape == (1, 4 * 49, 16, 24)
    inner = np.s_[4:-4, 4:-4]
    assert (still[0, :49].argmax(dim=0)[inner] == 24).all(), "the middle of the 7 x 7 window"
    right = torch.zeros(1, 2, 16, 24)
    right[0, 0] = 1.0
    # Flow points one to the right of the match, which is one to the left in the window; columns vary slowest.
    assert (correlation_around(pyramid, right)[0, :49].argmax(dim=0)[inner] == 2 * 7 + 3).all()


# --- temporal masks ---------------------------------------------------------------------------------------------------------


def masks_of(scene: TorsoScene, corners: list, sways: list | None = None, **settings) -> list[np.ndarray]:
    mask = TemporalMask(FlowMaskConfig(**settings), height=scene.height, width=scene.width, fps=Fraction(25))
    sways = sways or [0.0] * len(corners)
    return [mask(scene.frame(corner, sway)[0], scene.labels) for corner, sway in zip(corners, sways, strict=True)]


def crossing(frames: int, step: int = 6, row: int = 80) -> list[tuple[int, int] | None]:
    return [None, None, None, *[(row, step * index - 40) for index in range(frames)]]


def test_moving_object_is_found() -> None:
    scene = TorsoScene()
    corners = crossing(32)
    masks = masks_of(scene, corners)
    scores = [intersection_over_union(mask > 127, scene.frame(corner)[1]) for mask, corner in zip(masks, corners, strict=True)]
    assert np.mean(scores[14:28]) > 0.8
    assert min(scores[14:28]) > 0.7


def test_resting_object_is_held_and_torso_is_let_go() -> None:
    scene = TorsoScene()
    came = crossing(16)
    stays = [came[-1]] * 50
    masks = masks_of(scene, [*came, *stays, *[None] * 6])
    _, truth = scene.frame(came[-1])
    assert intersection_over_union(masks[len(came) + 49] > 127, truth) > 0.7, "two seconds at rest, and still in front of the torso"
    assert (masks[-1] > 127).sum() < 0.05 * truth.sum(), "gone, and the torso is trusted again"
    behind = truth & ~scene.frame(came[8])[1]
    uncovered = scene.frame(came[8])[1] & ~truth
    assert uncovered.sum() > 300 and behind.any()
    assert (masks[len(came) + 5][uncovered] > 127).mean() < 0.1, "no trail where the object came from"


def test_still_and_swaying_torso_is_not_transient() -> None:
    scene = TorsoScene()
    sway = [2.0 * np.sin(0.5 * index) for index in range(30)]
    assert max(mask.max() for mask in masks_of(scene, [None] * 30, sway)) < 127
    assert max(mask.max() for mask in masks_of(scene, [None] * 5)) == 0


def test_torso_that_moves_as_a_whole_is_not_transient() -> None:
    scene = TorsoScene()
    lean = [0.0] * 5 + [4.0 * index for index in range(8)]
    masks = masks_of(scene, [None] * len(lean), lean)
    assert np.mean([(mask[60:-5, 45:-45] > 127).mean() for mask in masks]) < 0.02


def test_cut_forgets() -> None:
    scene, other = TorsoScene(), TorsoScene(seed=9)
    came = crossing(16)

    def last(with_cut: bool) -> np.ndarray:
        mask = TemporalMask(FlowMaskConfig(), height=scene.height, width=scene.width, fps=Fraction(25))
        for corner in came:
            mask(scene.frame(corner)[0], scene.labels)
        if with_cut:
            mask.cut()
        return mask(other.frame()[0], other.labels)

    assert last(with_cut=True).max() == 0
    assert (last(with_cut=False) > 127).mean() > 0.05


def test_an_object_is_found_from_its_first_frame_on_and_nothing_else_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    scene = TorsoScene()
    corners = [None] * 4 + [(161 - round(30 * step), 60) for step in (0.4, 1, 2, 2.6, 2.6, 2.6)]  # comes in at full speed
    pictures = [scene.frame(corner) for corner in corners]
    frames = [(image, scene.labels) for image, _ in pictures]

    def mask() -> TemporalMask:
        made = TemporalMask(FlowMaskConfig(), height=scene.height, width=scene.width, fps=Fraction(25))
        steps, flow = iter(range(1, 99)), made._flow
        monkeypatch.setattr(made, "_flow", lambda one, two: flow(one, two) * (next(steps) != 4))  # blurred: flow sees nothing in frame 4
        return made

    causal = mask()
    alone = [causal(*frame) for frame in frames]
    masks = list(mask().over(frames, cuts={0}))
    assert len(masks) == len(frames)
    assert not (alone[4] > 127).any()
    for index, (_, truth) in enumerate(pictures):
        assert (masks[index] >= alone[index]).all(), "what is known from before stays"
        if truth.any():
            assert (masks[index] > 127)[truth].mean() > 0.7, f"frame {index}"
        else:
            assert (masks[index] > 127).mean() < 0.01, f"frame {index}"
    cut = list(mask().over(frames, cuts={0, 5}))
    assert np.array_equal(cut[4], alone[4]), "the next shot says nothing about this one"


def test_only_torso_and_hands_are_transient() -> None:
    scene = TorsoScene()
    mask = TemporalMask(FlowMaskConfig(), height=scene.height, width=scene.width, fps=Fraction(25))
    for corner in [None, None, *[(0, 6 * index) for index in range(12)]]:
        image, truth = scene.frame(corner)
        found = mask(image, scene.labels)
        assert not found[scene.labels != Label.TORSO].any()
    mask.cut()
    for corner in [None, None, *[(0, 6 * index) for index in range(12)]]:
        image, truth = scene.frame(corner)
        labels = np.where(truth, np.uint8(Label.HANDS), scene.labels)
        found = mask(image, labels)
    assert (found[truth] > 127).mean() > 0.7, "a hand in front of head and background"


@pytest.mark.parametrize(("size", "fps"), [(128, 25), (256, 25), (256, 50), (512, 25)])
@pytest.mark.parametrize(("speed_px", "expected"), [(2.5, False), (8.0, True)])
def test_threshold_means_the_same_at_every_size_and_rate(size: int, fps: int, speed_px: float, expected: bool) -> None:
    """``speed_px`` is for 512 pixels and 25 fps; the threshold is 4.5."""
    torso, thing = texture(size, size, 0, grain_px=size // 20), texture(size, size, 1, low=150, high=255, grain_px=size // 20)
    labels = np.full((size, size), Label.TORSO, np.uint8)
    mask = TemporalMask(FlowMaskConfig(flow_size_px=min(size, 256)), height=size, width=size, fps=Fraction(fps))
    mask(torso, labels)
    step = speed_px * size / 512 * 25 / fps
    for index in range(1, round(0.1 * size / step)):
        inside = cv2.warpAffine(np.ones((size, size), np.uint8), np.array([[1, 0, step * index - size], [0, 1, 0]]), (size, size)) > 0
        moved = cv2.warpAffine(thing, np.array([[1, 0, step * index - size], [0, 1, 0]]), (size, size))
        found = mask(np.where(inside[..., None], moved, torso), labels)
    assert ((found[inside] > 127).mean() > 0.5) == expected


def test_settings_are_checked() -> None:
    for wrong in ({"method": "diss"}, {"theta_px": 0.0}, {"rest_s": 3.0, "hold_s": 1.0}, {"flow_size_px": 8}):
        with pytest.raises(ParameterError):
            FlowMaskConfig(**wrong)  # type: ignore[arg-type]


def test_stage_writes_a_row_and_a_frame_for_every_frame(tmp_path: Path) -> None:
    scene = TorsoScene(height=96, width=112, object_px=32)
    corners = crossing(14, row=50)
    frames = [scene.frame(corner)[0] for corner in corners]
    stage = mask_stage(tmp_path, "flow_masks", frames, labels=[scene.labels] * len(frames), shots=[[0, 10], [10, len(frames)]])
    flow_masks.run(stage)
    transient = list(read_gray_frames(stage.out / "transient.mkv"))
    coverage = read_json(stage.out / "coverage.json")
    assert len(transient) == len(frames) and transient[0].shape == (96, 112)
    assert coverage["frame_id"] == list(range(len(frames)))
    assert coverage["transient"] == pytest.approx([(mask > 127).mean() for mask in transient])
    assert coverage["transient"][10] == 0, "the second shot starts without a past"
    assert coverage["transient"][9] > 0.01

"""Removal of hands: what is removed, what it is filled with, and how much of that was seen in other frames."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from talkhead_core.artifacts import read_json
from talkhead_core.errors import NotAvailableError, ParameterError
from talkhead_core.inpaint.hand_removal import InpaintConfig, clean_frames
from talkhead_core.inpaint.inpainter import INPAINTERS
from talkhead_core.inpaint.removal_mask import removal_mask
from talkhead_core.inpaint.telea import TeleaInpainter
from talkhead_core.inpaint.temporal_median import TemporalMedianInpainter
from talkhead_core.media.video_reader import read_frames, video_info
from talkhead_core.types import Label
from tasks import inpaint
from tests.torso_scene import TorsoScene, mask_stage, texture


class HalfGrey(torch.nn.Module):
    """Called as LaMa's export is; refuses sizes that LaMa refuses."""

    def forward(self, image: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        assert image.size(2) % 8 == 0 and image.size(3) % 8 == 0
        assert mask.max() <= 1.0 and image.max() <= 1.0
        return image * (1.0 - mask) + 0.5 * mask


@pytest.fixture(scope="module")
def lama_file(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("weights") / "big-lama.pt"
    torch.jit.script(HalfGrey()).save(str(path))
    return str(path)


def psnr(found: np.ndarray, expected: np.ndarray) -> float:
    return float(-10 * np.log10(np.mean((found.astype(float) - expected) ** 2) / 255**2 + 1e-12))


@pytest.mark.parametrize("name", INPAINTERS.names())
@pytest.mark.parametrize(("height", "width"), [(96, 128), (97, 131)])
def test_every_inpainter_fills_the_hole_and_nothing_else(name: str, height: int, width: int, lama_file: str) -> None:
    inpainter = INPAINTERS.get(name)(lama_file)
    clean = texture(height, width, 0, grain_px=30)
    hole = np.zeros((height, width), bool)
    hole[30:60, 40:80] = True
    elsewhere = np.roll(hole, 45, axis=1)
    covered = np.where(hole[..., None], np.uint8(255), clean)
    inpainter.begin_shot([(covered, hole), (np.where(elsewhere[..., None], np.uint8(255), clean), elsewhere)])
    filled = inpainter(covered, hole)
    assert filled.image.shape == clean.shape and filled.image.dtype == np.uint8
    assert np.array_equal(filled.image[~hole], covered[~hole])
    assert np.abs(filled.image[hole].astype(int) - 255).mean() > 20, "what was to be removed is gone"
    assert filled.recovered.shape == hole.shape and not filled.recovered[~hole].any()
    nothing = np.zeros_like(hole)
    untouched = inpainter(clean, nothing)
    assert np.array_equal(untouched.image, clean) and not untouched.recovered.any()
    inpainter.begin_shot([])
    assert not inpainter(covered, hole).recovered.any(), "a new shot knows nothing of the last"


def test_what_no_frame_shows_is_left_to_telea_or_lama(lama_file: str) -> None:
    image, hole = texture(96, 128, 0), np.zeros((96, 128), bool)
    hole[30:60, 40:80] = True
    for name, by in (("temporal_median", "telea"), ("temporal_median_lama", "lama")):
        inpainter = INPAINTERS.get(name)(lama_file)
        inpainter.begin_shot([(image, hole), (image, hole)])
        filled = inpainter(image, hole)
        assert filled.invented_by == by and not filled.recovered.any()
        grey = np.abs(filled.image[hole].astype(int) - 128).max() <= 1
        assert grey == (by == "lama"), "the network of this test fills with grey"


def test_missing_weights_say_what_to_run(tmp_path: Path) -> None:
    for weights in (None, str(tmp_path / "big-lama.pt"), str(tmp_path)):
        with pytest.raises(NotAvailableError, match="talkhead models pull lama"):
            INPAINTERS.get("lama")(weights)
        with pytest.raises(NotAvailableError, match="talkhead models pull lama"):
            INPAINTERS.get("temporal_median_lama")(weights)
    (tmp_path / "big-lama.pt").write_bytes(b"not a network")
    with pytest.raises(NotAvailableError, match="not a TorchScript file"):
        INPAINTERS.get("lama")(str(tmp_path))


def scene_frames(count: int, sway_px: float) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Frames with an object that crosses, its hole, and the same frames without it."""
    scene = TorsoScene()
    result = []
    for index in range(count):
        sway = sway_px * np.sin(0.4 * index)
        frame, hole = scene.frame((90, 6 * index - 30), sway)
        result.append((frame, hole, scene.frame(None, sway)[0]))
    return result


@pytest.mark.parametrize(("sway_px", "least_db"), [(0.0, 45.0), (3.0, 30.0)])
def test_texture_behind_the_object_comes_back(sway_px: float, least_db: float) -> None:
    frames = scene_frames(30, sway_px)
    median, telea = TemporalMedianInpainter(), TeleaInpainter()
    median.begin_shot([(frame, hole) for frame, hole, _ in frames[::3]])
    scores, floor = [], []
    for frame, hole, clean in frames[8:28:4]:
        filled = median(frame, hole)
        assert filled.recovered[hole].mean() > 0.98
        scores.append(psnr(filled.image[hole], clean[hole]))
        floor.append(psnr(telea(frame, hole).image[hole], clean[hole]))
    assert np.mean(scores) > least_db
    assert np.mean(scores) > np.mean(floor) + 8


def test_change_of_light_leaves_no_edge() -> None:
    frames = scene_frames(30, 0.0)
    median = TemporalMedianInpainter()
    median.begin_shot([(frame, hole) for frame, hole, _ in frames[:15]])
    frame, hole, clean = frames[20]
    dimmed, clean = (np.clip(image.astype(int) - 15, 0, 255).astype(np.uint8) for image in (frame, clean))
    filled = median(dimmed, hole).image
    assert abs(filled[hole].astype(int).mean() - clean[hole].astype(int).mean()) < 3
    assert psnr(filled[hole], clean[hole]) > 30


def test_only_what_no_frame_shows_is_invented() -> None:
    scene = TorsoScene()
    frames = [scene.frame((90, 60 + 2 * index)) for index in range(12)]
    always = np.logical_and.reduce([hole for _, hole in frames])
    inpainter = TemporalMedianInpainter()
    inpainter.begin_shot(frames)
    for frame, hole in (frames[0], frames[-1]):
        filled = inpainter(frame, hole)
        assert not filled.recovered[always].any()
        # The alignment may take a pixel's breadth along the edge of what is never seen.
        assert (hole & ~filled.recovered & ~always).sum() < 0.15 * hole.sum()
        seen = hole & filled.recovered
        assert psnr(filled.image[seen], scene.clean[seen]) > 25
        assert np.abs(filled.image[always].astype(int) - frame[always]).mean() > 10


def test_removal_is_hands_and_transient_torso_with_a_margin() -> None:
    labels = np.full((200, 200), Label.TORSO, np.uint8)
    labels[:60] = Label.HEAD
    labels[100:130, 100:130] = Label.HANDS
    transient = np.zeros((200, 200), np.uint8)
    transient[150:180, 20:60] = 255
    transient[20:50, 20:60] = 255  # the head moves, and stays
    transient[190:193, 190:193] = 255  # noise
    transient[100:130, 20:60] = 120  # below the threshold
    mask = removal_mask(labels, transient, margin=0.02)
    assert mask[100:130, 100:130].all() and mask[150:180, 20:60].all()
    assert mask[97, 115] and mask[148, 40] and not mask[90, 115]
    assert not mask[labels == Label.HEAD].any()
    assert not mask[185:, 185:].any() and not mask[105:125, 20:60].any()
    assert not removal_mask(labels[:60], transient[:60], 0.02).any()
    odd = removal_mask(labels[:199, :197], transient[:199, :197], margin=0.02)
    assert odd.shape == (199, 197) and odd[100:130, 100:130].all()


def test_a_small_part_is_noise_unless_it_comes_in_over_the_border() -> None:
    labels, transient = np.full((200, 200), Label.TORSO, np.uint8), np.zeros((200, 200), np.uint8)
    transient[100:106, 100:106] = 255
    transient[194:, 40:46] = 255
    found = removal_mask(labels, transient, margin=0.01)
    assert not found[90:116, 90:116].any()
    assert found[195:, 41:45].all()


def test_shots_do_not_see_each_other_and_frames_keep_their_order() -> None:
    one, two = TorsoScene(seed=0), TorsoScene(seed=5)
    frames = [one.frame((90, 6 * index)) for index in range(10)] + [two.frame((90, 100 - 6 * index)) for index in range(7)]
    images, truth = [image for image, _ in frames], [hole for _, hole in frames]
    asked: list[int] = []

    def frame_at(index: int) -> np.ndarray:
        asked.append(index)
        return images[index]

    cleaned = list(clean_frames(iter(images), frame_at, lambda: iter(truth), [(0, 10), (10, 17)], InpaintConfig(samples=4)))
    assert len(cleaned) == 17
    for index, (filled, hole) in enumerate(cleaned):
        assert np.array_equal(hole, truth[index])
        assert np.array_equal(filled.image[~hole], images[index][~hole])
        seen = filled.recovered
        assert psnr(filled.image[seen], (one if index < 10 else two).clean[seen]) > 25
    assert asked == sorted(asked) and len(asked) <= 8 and min(asked) < 10 <= max(asked)


def test_nothing_is_decoded_for_a_shot_without_holes() -> None:
    images = [texture(40, 40, seed) for seed in range(5)]
    nothing = [np.zeros((40, 40), bool)] * 5

    def frame_at(index: int) -> np.ndarray:
        raise AssertionError(f"frame {index} was not needed")

    cleaned = list(clean_frames(iter(images), frame_at, lambda: iter(nothing), [(0, 5)], InpaintConfig()))
    assert all(np.array_equal(filled.image, image) for (filled, _), image in zip(cleaned, images, strict=True))


def test_settings_are_checked() -> None:
    for wrong in ({"method": "temporal_mean"}, {"margin": 0.5}, {"samples": 0}, {"transient_threshold": 1.0}):
        with pytest.raises(ParameterError):
            InpaintConfig(**wrong)  # type: ignore[arg-type]


def test_stage_restores_the_torso(tmp_path: Path) -> None:
    scene = TorsoScene(height=160, width=176)
    pairs = [scene.frame((90, 7 * index - 30)) for index in range(24)]
    frames = [image for image, _ in pairs]
    transient = [255 * hole.astype(np.uint8) for _, hole in pairs]
    stage = mask_stage(tmp_path, "inpaint", frames, labels=[scene.labels] * 24, transient=transient)
    inpaint.run(stage)
    cleaned, given = list(read_frames(stage.out / "clean.mkv")), list(read_frames(stage.inputs("ingest") / "clip.mkv"))
    assert len(cleaned) == 24 and video_info(stage.out / "clean.mkv").frames == 24
    for index in range(4, 24, 5):
        hole = pairs[index][1]
        assert psnr(cleaned[index][hole], scene.clean[hole]) > 25
        assert psnr(cleaned[index][~hole], given[index][~hole]) > 32
    coverage = read_json(stage.out / "coverage.json")
    assert coverage["frame_id"] == list(range(24)) and len(coverage["removed"]) == 24
    assert coverage["recovered_percent_of_removed"] > 97
    assert coverage["never_uncovered_percent_of_removed"] == pytest.approx(100 - coverage["recovered_percent_of_removed"])
    filled_by = coverage["filled_by_percent_of_removed"]
    assert set(filled_by) <= {"temporal_median", "telea"} and sum(filled_by.values()) == pytest.approx(100)
    assert filled_by["temporal_median"] == pytest.approx(coverage["recovered_percent_of_removed"])


def test_clip_without_hands_stays_as_it_is(tmp_path: Path) -> None:
    scene = TorsoScene(height=96, width=112)
    nothing = [np.zeros((96, 112), np.uint8)] * 4
    stage = mask_stage(tmp_path, "inpaint", [scene.clean] * 4, labels=[scene.labels] * 4, transient=nothing)
    inpaint.run(stage)
    assert (stage.out / "clean.mkv").read_bytes() == (stage.inputs("ingest") / "clip.mkv").read_bytes()
    coverage = read_json(stage.out / "coverage.json")
    assert coverage["frames_with_removal"] == 0 and coverage["removed"] == [0.0] * 4 and coverage["filled_by_percent_of_removed"] == {}


def test_what_no_frame_shows_is_told_apart_by_what_invented_it(tmp_path: Path) -> None:
    scene = TorsoScene(height=160, width=176)
    image, held_still = scene.frame((90, 60))
    transient = [255 * held_still.astype(np.uint8)] * 4
    stage = mask_stage(tmp_path, "inpaint", [image] * 4, labels=[scene.labels] * 4, transient=transient)
    inpaint.run(stage)
    assert read_json(stage.out / "coverage.json")["filled_by_percent_of_removed"] == {"telea": pytest.approx(100)}

"""PSNR, SSIM, MS-SSIM, LPIPS, BRISQUE, flicker and seam against other implementations and known answers."""

from __future__ import annotations

import math
from importlib import import_module
from pathlib import Path

import cv2
import numpy as np
import pytest
import skimage.color
import skimage.data
import skimage.metrics
import torch
from pytorch_msssim import ms_ssim as reference_ms_ssim
from scipy.special import gamma
from torch.nn import functional

from talkhead_core.errors import NotAvailableError
from talkhead_core.metrics.bootstrap import BlockBootstrap, BootstrapConfig
from talkhead_core.metrics.brisque import load_brisque
from talkhead_core.metrics.frame_scores import FrameScorer, ReferenceFrame, region_masks
from talkhead_core.metrics.lpips import lpips_from
from talkhead_core.metrics.lpips_weights import ALEXNET_FILE, HEADS_FILE, load_lpips
from talkhead_core.metrics.motion import flicker_levels
from talkhead_core.metrics.psnr import PSNR_CEILING_DB, psnr_db, squared_error
from talkhead_core.metrics.seam import join_ratio, seam_levels, seam_ratio
from talkhead_core.metrics.ssim import MS_SSIM_SMALLEST_SIDE_PX, ms_ssim, ssim_in, ssim_map
from talkhead_core.types import Label


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    return np.ascontiguousarray(cv2.resize(skimage.data.astronaut(), (257, 240), interpolation=cv2.INTER_AREA))


@pytest.fixture(scope="module")
def noisy(picture: np.ndarray) -> np.ndarray:
    noise = np.random.default_rng(1).normal(0, 12, picture.shape)
    return np.clip(cv2.GaussianBlur(picture, (0, 0), 1.0) + noise, 0, 255).astype(np.uint8)


def test_psnr_matches_scikit_image(picture: np.ndarray, noisy: np.ndarray) -> None:
    ours = psnr_db(squared_error(picture, noisy))
    assert ours == pytest.approx(skimage.metrics.peak_signal_noise_ratio(picture, noisy, data_range=255), abs=1e-4)


def test_psnr_of_a_region_ignores_what_is_outside(picture: np.ndarray) -> None:
    wrong = picture.copy()
    wrong[:100] = 0
    wrong[100:] = np.clip(picture[100:].astype(int) + np.where(picture[100:] > 127, -5, 5), 0, 255)
    mask = np.zeros(picture.shape[:2], bool)
    mask[100:] = True
    assert psnr_db(squared_error(picture, wrong), mask) == pytest.approx(-20 * math.log10(5 / 255), abs=1e-4)


def test_psnr_of_identical_pixels_is_finite_and_of_no_pixels_is_nan(picture: np.ndarray) -> None:
    squared = squared_error(picture, picture)
    assert psnr_db(squared) == PSNR_CEILING_DB
    assert math.isnan(psnr_db(squared, np.zeros(squared.shape, bool)))


def test_ssim_is_the_pinned_definition(picture: np.ndarray, noisy: np.ndarray) -> None:
    expected = skimage.metrics.structural_similarity(
        picture, noisy, data_range=255, channel_axis=2, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
    )
    assert ssim_in(ssim_map(picture, noisy)) == pytest.approx(expected, abs=1e-5)
    assert ssim_in(ssim_map(picture, picture)) == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize("size", [(240, 257), (256, 256), (175, 301)])
def test_ms_ssim_matches_pytorch_msssim_on_odd_sizes_too(picture: np.ndarray, noisy: np.ndarray, size: tuple[int, int]) -> None:
    first, second = (cv2.resize(image, size[::-1], interpolation=cv2.INTER_LINEAR) for image in (picture, noisy))
    tensors = [torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))[None].float() for image in (first, second)]
    assert ms_ssim(first, second) == pytest.approx(float(reference_ms_ssim(*tensors, data_range=255)), abs=2e-5)


def test_ms_ssim_of_a_frame_too_small_has_no_value(picture: np.ndarray) -> None:
    side = MS_SSIM_SMALLEST_SIDE_PX - 1
    assert math.isnan(ms_ssim(picture[:side, :side], picture[:side, :side]))


def _random_alexnet() -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    generator = torch.Generator().manual_seed(0)
    shapes = {0: (64, 3, 11, 11), 3: (192, 64, 5, 5), 6: (384, 192, 3, 3), 8: (256, 384, 3, 3), 10: (256, 256, 3, 3)}
    backbone = {}
    for index, shape in shapes.items():
        backbone[f"features.{index}.weight"] = torch.randn(shape, generator=generator) * (2 / np.prod(shape[1:])) ** 0.5
        backbone[f"features.{index}.bias"] = torch.randn(shape[0], generator=generator) * 0.1
    backbone["classifier.6.bias"] = torch.zeros(1000)
    heads = {f"lin{i}.model.1.weight": torch.rand(1, shape[0], 1, 1, generator=generator) for i, shape in enumerate(shapes.values())}
    return backbone, heads


def test_lpips_is_equation_1_on_alexnet(picture: np.ndarray, noisy: np.ndarray) -> None:
    """The metric written out step by step from the paper, with random weights in the official files' layout."""
    backbone, heads = _random_alexnet()
    activations = []
    for image in (picture, noisy):
        x = torch.from_numpy(image.copy()).permute(2, 0, 1)[None].float() / 255 * 2 - 1
        x = (x - torch.tensor([-0.030, -0.088, -0.188]).view(1, 3, 1, 1)) / torch.tensor([0.458, 0.448, 0.450]).view(1, 3, 1, 1)
        taps = []
        for index, stride, padding, pool in ((0, 4, 2, False), (3, 1, 2, True), (6, 1, 1, True), (8, 1, 1, False), (10, 1, 1, False)):
            x = functional.max_pool2d(x, 3, 2) if pool else x
            x = functional.relu(
                functional.conv2d(x, backbone[f"features.{index}.weight"], backbone[f"features.{index}.bias"], stride, padding)
            )
            taps.append(x / (x.pow(2).sum(1, keepdim=True).sqrt() + 1e-10))
        activations.append(taps)
    expected = sum(
        float(functional.conv2d((a - b) ** 2, heads[f"lin{i}.model.1.weight"]).mean())
        for i, (a, b) in enumerate(zip(*activations, strict=True))
    )
    model = lpips_from(backbone, heads)
    assert model.score(picture, noisy) == pytest.approx(expected, rel=1e-5)
    assert model.score(picture, picture) == 0.0


def test_lpips_without_weights_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(NotAvailableError, match="talkhead models pull lpips-alexnet"):
        load_lpips(tmp_path)


def test_lpips_refuses_a_file_that_is_not_the_official_one(tmp_path: Path) -> None:
    backbone, heads = _random_alexnet()
    torch.save(backbone, tmp_path / ALEXNET_FILE)
    torch.save(heads, tmp_path / HEADS_FILE)
    with pytest.raises(NotAvailableError, match="not the official file"):
        load_lpips(tmp_path)


def test_brisque_rises_with_distortion(picture: np.ndarray) -> None:
    brisque = load_brisque()
    noise = np.random.default_rng(0).normal(0, 40, picture.shape)
    assert brisque(np.clip(picture + noise, 0, 255).astype(np.uint8)) > brisque(picture) + 10


def _asymmetric_gaussian(values: np.ndarray) -> tuple[float, float, float, float]:
    """Shape, mean and both variances by the moments of Lasmar, Stitou, Berthoumieu (ICIP 2009), the shape from a table as in the paper."""
    shapes = np.arange(0.2, 10.0, 0.001)
    ratio = gamma(2 / shapes) ** 2 / (gamma(1 / shapes) * gamma(3 / shapes))
    left, right = (np.sqrt(np.mean(side**2)) for side in (values[values < 0], values[values >= 0]))
    spread = left / right
    wanted = np.mean(np.abs(values)) ** 2 / np.mean(values**2) * (spread**3 + 1) * (spread + 1) / (spread**2 + 1) ** 2
    shape = float(shapes[np.argmin((ratio - wanted) ** 2)])
    mean = (right - left) * np.sqrt(gamma(1 / shape) / gamma(3 / shape)) * gamma(2 / shape) / gamma(1 / shape)
    return shape, float(mean), float(left**2), float(right**2)


def _brisque_features(gray: np.ndarray) -> list[float]:
    """The 18 features of one scale (Mittal et al. 2012, table I)."""
    blur = {"ksize": (7, 7), "sigmaX": 7 / 6, "borderType": cv2.BORDER_CONSTANT}
    mean = cv2.GaussianBlur(gray, **blur)
    normal = (gray - mean) / (np.sqrt(np.abs(cv2.GaussianBlur(gray**2, **blur) - mean**2)) + 1 / 255)
    shape, _, left, right = _asymmetric_gaussian(normal)
    pairs = (normal[:, :-1] * normal[:, 1:], normal[:-1] * normal[1:], normal[:-1, :-1] * normal[1:, 1:], normal[1:, :-1] * normal[:-1, 1:])
    return [shape, (left + right) / 2, *(figure for pair in pairs for figure in _asymmetric_gaussian(pair))]


def test_brisque_is_the_model_on_features_computed_by_hand(picture: np.ndarray, noisy: np.ndarray) -> None:
    score = load_brisque()
    model = import_module("brisque").BRISQUE(url=False)
    for image in (picture, noisy, cv2.GaussianBlur(picture, (0, 0), 2)):
        gray = skimage.color.rgb2gray(image)
        half = cv2.resize(gray, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_CUBIC)
        expected = model.calculate_image_quality_score(np.array([*_brisque_features(gray), *_brisque_features(half)]))
        assert score(image) == pytest.approx(expected, abs=0.3)


def test_a_still_error_does_not_flicker_and_a_blinking_one_does(picture: np.ndarray) -> None:
    moved = np.roll(picture, 1, axis=1)
    off = (np.minimum(picture, 200) + 10).astype(np.uint8)
    base, base_moved = np.minimum(picture, 200), np.minimum(moved, 200)
    assert flicker_levels(base_moved, base_moved + 10, base, off) == 0.0
    assert flicker_levels(base_moved, base_moved, base, off) == pytest.approx(10.0)


def _head_on_neck() -> np.ndarray:
    labels = np.full((120, 120), Label.BACKGROUND, np.uint8)
    labels[20:70, 30:90] = Label.HEAD
    labels[70:90, 40:80] = Label.NECK
    labels[90:, 10:110] = Label.TORSO
    return labels


def test_seam_is_the_step_added_at_the_neck_line() -> None:
    labels = _head_on_neck()
    reference = np.full((120, 120, 3), 120, np.uint8)
    reference[70:] = 60  # a collar: an edge of the reference itself
    stepped = reference.copy()
    stepped[labels == Label.HEAD] += 14
    shifted_everywhere = reference + 14
    assert seam_levels(reference, stepped, labels) == pytest.approx(14.0, abs=0.1)
    assert seam_levels(reference, shifted_everywhere, labels) == pytest.approx(0.0, abs=1e-3)
    assert math.isnan(seam_levels(reference, stepped, np.zeros_like(labels)))


def test_the_neck_gradient_is_that_of_the_reference_where_nothing_was_joined() -> None:
    labels = _head_on_neck()
    reference = np.full((120, 120, 3), 120, np.uint8)
    reference[70:] = 60  # the jaw's shadow, 60 levels deep
    soft, stepped = cv2.blur(reference, (9, 9)), reference.copy()
    stepped[labels == Label.HEAD] += 30
    assert seam_ratio(reference, reference, labels) == pytest.approx(1.0)
    assert seam_ratio(reference, reference + 14, labels) == pytest.approx(1.0), "another exposure is no seam"
    assert seam_ratio(reference, stepped, labels) == pytest.approx(1.5, abs=0.05)
    assert seam_ratio(reference, soft, labels) < 0.5
    assert math.isnan(seam_ratio(reference, stepped, np.zeros_like(labels)))
    region = np.zeros(labels.shape, bool)
    region[20:100, 30:90] = True
    textured = np.clip(reference + np.random.default_rng(0).integers(-9, 10, reference.shape), 0, 255).astype(np.uint8)
    joined = textured.copy()
    joined[region] += 25
    assert join_ratio(textured, textured, labels, region) == pytest.approx(1.0)
    assert join_ratio(textured, joined, labels, region) > 2.0
    assert join_ratio(textured, stepped, labels, region) < 1.0, "the neck line lies inside"
    assert math.isnan(seam_ratio(np.full_like(reference, 60), stepped, labels)), "a flat reference has no gradient to compare with"


def test_frame_scorer_scores_each_region_on_its_own_pixels(picture: np.ndarray) -> None:
    height, width = picture.shape[:2]
    no_face = np.full((478, 3), np.nan)
    head = np.zeros((height, width), np.uint8)
    head[:100] = 200
    transient = np.zeros((height, width), np.uint8)
    transient[:100] = 255
    reference = ReferenceFrame(
        frame_id=7, image=picture, masks=region_masks(no_face, height, width, head=head, transient=transient), labels=np.zeros_like(head)
    )
    wrong = picture.copy()
    wrong[:100] = 255 - wrong[:100]
    scores = FrameScorer(["full", "head", "face", "torso", "outside_transient"]).score(reference, wrong)
    assert scores["psnr_outside_transient"] == PSNR_CEILING_DB
    assert scores["psnr_head"] < scores["psnr_full"] < PSNR_CEILING_DB
    assert math.isnan(scores["psnr_face"]) and math.isnan(scores["psnr_torso"]), "no face and no label: no figure, not zero"


def test_block_bootstrap_is_wider_than_single_frames_on_correlated_frames() -> None:
    rng = np.random.default_rng(0)
    correlated = np.repeat(rng.normal(30, 2, 20), 10)  # errors that last 10 frames
    single = BlockBootstrap(200, 25.0, BootstrapConfig(block_s=0.04)).mean_interval(correlated)
    blocks = BlockBootstrap(200, 25.0, BootstrapConfig(block_s=0.4)).mean_interval(correlated)
    assert single is not None and blocks is not None
    width_single, width_blocks = single[1] - single[0], blocks[1] - blocks[0]
    expected = 2 * 1.96 * correlated[::10].std() / math.sqrt(20)  # of 20 independent values
    assert width_blocks == pytest.approx(expected, rel=0.25)
    assert width_blocks > 2 * width_single


def test_block_bootstrap_covers_the_mean_about_95_times_in_100() -> None:
    rng = np.random.default_rng(3)
    inside = 0
    for seed in range(200):
        interval = BlockBootstrap(100, 25.0, BootstrapConfig(resamples=200, seed=seed)).mean_interval(rng.normal(5, 1, 100))
        assert interval is not None
        inside += interval[0] <= 5 <= interval[1]
    assert 0.87 <= inside / 200 <= 0.99


def test_bootstrap_leaves_out_frames_without_a_value() -> None:
    values = np.full(60, 4.0)
    values[10:20] = np.nan
    assert BlockBootstrap(60, 25.0).mean_interval(values) == (4.0, 4.0)
    assert BlockBootstrap(60, 25.0).mean_interval(np.full(60, np.nan)) is None

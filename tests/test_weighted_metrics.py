"""FID, NIQE and AUE: the official files' formats, and values known from elsewhere."""

from __future__ import annotations

import zipfile
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import scipy.linalg
import skimage.data
import torch
from PIL import Image as PillowImage
from scipy.stats import gennorm

from talkhead_core.errors import InputError, NotAvailableError
from talkhead_core.media.openface_csv import ACTION_UNITS, read_action_units
from talkhead_core.metrics.action_units import action_unit_error
from talkhead_core.metrics.evaluation import EvaluateConfig, load_extra_metrics, metrics_document, score_protocols
from talkhead_core.metrics.frame_scores import ReferenceFrame
from talkhead_core.metrics.frechet_distance import INCEPTION_FILE, FrechetInception, Moments, frechet_distance, load_inception
from talkhead_core.metrics.inception_network import InceptionV3
from talkhead_core.metrics.niqe import NIQE_FILE, Niqe, block_features, generalised_gaussian, halved, load_niqe, luminance
from talkhead_core.metrics.protocol import PAIR
from tests.official_weights import random_tensor, randomised


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A weight folder with files in the formats of the official ones."""
    folder = tmp_path_factory.mktemp("weights")
    state = {name: tensor for name, tensor in randomised(InceptionV3()).items() if not name.endswith("num_batches_tracked")}
    # so that what a picture shows still tells at the last of fifty rectifiers
    state |= {name: 2**0.5 * tensor for name, tensor in state.items() if name.endswith("conv.weight")}
    state |= {name: torch.ones_like(tensor) for name, tensor in state.items() if name.endswith(("bn.weight", "running_var"))}
    state |= {name: torch.zeros_like(tensor) for name, tensor in state.items() if name.endswith(("bn.bias", "running_mean"))}
    state |= {"fc.weight": random_tensor("fc.weight", (1008, 2048)), "fc.bias": random_tensor("fc.bias", (1008,))}
    torch.save(state, folder / INCEPTION_FILE)
    window = np.outer(*[np.exp(-(np.arange(-3, 4) ** 2) / (2 * (7 / 6) ** 2))] * 2)
    window /= window.sum()
    features = np.concatenate([block_features(luminance(image), window) for image in pristine()])
    mean, covariance = features.mean(axis=0)[None], np.cov(features, rowvar=False)
    np.savez(folder / NIQE_FILE, mu_pris_param=mean, cov_pris_param=covariance, gaussian_window=window)
    return folder


def pristine() -> list[np.ndarray]:
    pictures = [skimage.data.astronaut(), skimage.data.coffee(), skimage.data.chelsea()]
    return [np.ascontiguousarray(picture[:288, :384]) for picture in pictures]


def gaussian_moments(mean: np.ndarray, covariance: np.ndarray, count: int, seed: int) -> Moments:
    moments = Moments(len(mean))
    rows = np.random.default_rng(seed).multivariate_normal(mean, covariance, count)
    for part in np.array_split(rows, 7):
        moments.add(part)
    np.testing.assert_allclose(moments.mean, rows.mean(axis=0))
    np.testing.assert_allclose(moments.covariance, np.cov(rows, rowvar=False), atol=1e-9)
    return moments


def test_the_frechet_distance_is_that_of_its_formula() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(0, 1, (6, 6)), rng.normal(0, 1, (6, 6))
    first, second = gaussian_moments(rng.normal(0, 1, 6), a @ a.T, 500, 1), gaussian_moments(rng.normal(0, 1, 6), b @ b.T, 500, 2)
    root = scipy.linalg.sqrtm(first.covariance @ second.covariance).real
    expected = ((first.mean - second.mean) ** 2).sum() + np.trace(first.covariance + second.covariance - 2 * root)
    assert frechet_distance(first, second) == pytest.approx(expected, rel=1e-8)
    assert frechet_distance(first, first) == pytest.approx(0, abs=1e-6)
    few = Moments(6), Moments(6)
    for moments, seed in zip(few, (5, 6), strict=True):
        moments.add(np.random.default_rng(seed).normal(0, 1, (4, 6)))
    shared = np.sqrt(np.maximum(np.linalg.eigvals(few[0].covariance @ few[1].covariance).real, 0)).sum()
    expected = ((few[0].mean - few[1].mean) ** 2).sum() + np.trace(few[0].covariance + few[1].covariance) - 2 * shared
    assert frechet_distance(*few) == pytest.approx(expected, rel=1e-4)


def test_inception_has_the_published_files_size_and_shape(weights: Path) -> None:
    assert (weights / INCEPTION_FILE).stat().st_size == pytest.approx(91.2 * 2**20, rel=2e-3)
    network = load_inception(weights)
    output = network(torch.rand(1, 3, 120, 90))
    assert output.shape == (1, 2048) and (output >= 0).all()
    # averages without the border: a constant picture stays constant
    assert torch.allclose(torch.nn.functional.avg_pool2d(torch.ones(1, 1, 5, 5), 3, 1, 1, count_include_pad=False), torch.ones(1, 1, 5, 5))


def test_fid_tells_a_blurred_video_from_the_same_video(weights: Path) -> None:
    network = load_inception(weights)
    picture = skimage.data.astronaut()
    same, noisy = FrechetInception(network), FrechetInception(network)
    for shift in range(2):
        frame = np.ascontiguousarray(picture[shift * 20 : 300 + shift * 20, 100:400])
        same.add(frame, frame)
        noisy.add(frame, np.random.default_rng(shift).integers(0, 255, frame.shape).astype(np.uint8))
    assert same.figures()["fid"] == pytest.approx(0, abs=1e-6) and same.figures()["fid_frames"] == 2
    assert noisy.figures()["fid"] > 100 * max(same.figures()["fid"], 1e-6)


@pytest.mark.parametrize("shape", [0.8, 2.0, 4.0])
def test_the_gaussians_shape_and_scale_are_found(shape: float) -> None:
    values = gennorm.rvs(shape, scale=3.0, size=200_000, random_state=0)
    found, left, right = generalised_gaussian(values)
    assert found == pytest.approx(shape, rel=0.05)
    assert left == pytest.approx(3.0, rel=0.05) and right == pytest.approx(3.0, rel=0.05)
    skewed = np.where(values < 0, values * 0.5, values)
    _, left, right = generalised_gaussian(skewed)
    assert right / left == pytest.approx(2.0, rel=0.05)


def test_halving_is_the_antialiased_bicubic_one() -> None:
    image = np.random.default_rng(0).uniform(0, 255, (96, 192)).astype(np.float32)
    expected = np.asarray(PillowImage.fromarray(image, mode="F").resize((96, 48), PillowImage.Resampling.BICUBIC))
    np.testing.assert_allclose(halved(image.astype(np.float64))[4:-4, 4:-4], expected[4:-4, 4:-4], atol=1e-3)


def test_niqe_rises_with_noise_and_blur(weights: Path) -> None:
    niqe = load_niqe(weights)
    picture = pristine()[0]
    noisy = np.clip(picture + np.random.default_rng(0).normal(0, 25, picture.shape), 0, 255).astype(np.uint8)
    blurred = cv2.blur(picture, (7, 7))
    clean = niqe.score(picture)
    assert np.isfinite(clean)
    assert niqe.score(noisy) > 1.5 * clean and niqe.score(blurred) > 1.5 * clean
    assert np.isnan(niqe.score(picture[:95, :192])) and np.isnan(niqe.score(picture[:96, :96]))


def test_niqe_is_the_distance_of_its_formula(weights: Path) -> None:
    with np.load(weights / NIQE_FILE) as file:
        mean, covariance, window = (file[name] for name in ("mu_pris_param", "cov_pris_param", "gaussian_window"))
    picture = pristine()[1]
    features = block_features(luminance(picture), window)
    assert features.shape == (picture.shape[0] // 96 * 4, 36)
    difference = mean.ravel() - features.mean(axis=0)
    expected = np.sqrt(difference @ np.linalg.pinv((covariance + np.cov(features, rowvar=False)) / 2) @ difference)
    assert Niqe(mean, covariance, window).score(picture) == pytest.approx(expected)


@pytest.mark.parametrize(("load", "name", "file"), [(load_inception, "inception", INCEPTION_FILE), (load_niqe, "niqe", NIQE_FILE)])
def test_without_weights_a_metric_says_what_to_run(load, name: str, file: str, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(NotAvailableError, match=f"talkhead models pull {name}"):
        load(tmp_path)
    (tmp_path / file).write_bytes(b"something else")
    with pytest.raises(NotAvailableError, match=f"talkhead models pull {name}"):
        load(tmp_path)


def test_a_header_that_is_no_python_is_refused(tmp_path: Path) -> None:
    header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (36,"
    array = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header
    with zipfile.ZipFile(tmp_path / NIQE_FILE, "w") as archive:
        for name in ("mu_pris_param", "cov_pris_param", "gaussian_window"):
            archive.writestr(f"{name}.npy", array)
    with pytest.raises(NotAvailableError, match="does not hold NIQE's parameters"):
        load_niqe(tmp_path)


def test_an_evaluation_takes_what_is_there_and_says_what_is_not(weights: Path, tmp_path: Path) -> None:
    image = np.ascontiguousarray(skimage.data.astronaut()[:200, 100:300])
    masks = {"face": np.ones(image.shape[:2], bool)}

    def document(folder: Path) -> dict[str, object]:
        config = EvaluateConfig(slow_every=2)
        extra = load_extra_metrics(folder, config)
        references = (ReferenceFrame(frame_id=number, image=np.roll(image, number, axis=1), masks=masks) for number in range(5))
        rendered = {PAIR: iter([np.roll(image, number + 1, axis=1) for number in range(5)])}
        return metrics_document(score_protocols(references, rendered, 5, extra, config), [PAIR], 25.0, extra, config)

    complete = document(weights)
    figures = complete["protocols"][PAIR.name]  # type: ignore[index]
    assert figures["fid"] >= 0 and figures["fid_frames"] == 3 and figures["niqe"] > 0
    assert not {"fid", "niqe"} & set(complete["not_available"])  # type: ignore[call-overload]
    without = document(tmp_path)["not_available"]
    assert "talkhead models pull inception" in without["fid"] and "talkhead models pull niqe" in without["niqe"]  # type: ignore[index]


def openface(path: Path, frames: int, **columns: np.ndarray) -> Path:
    table = {"frame": np.arange(1, frames + 1), " face_id": 0, " timestamp": np.arange(frames) / 25, " confidence": 0.98, " success": 1}
    table |= {f" AU{unit:02}_r": np.zeros(frames) for unit in ACTION_UNITS} | {f" {name}": value for name, value in columns.items()}
    pd.DataFrame(table).to_csv(path, index=False)
    return path


def test_aue_is_the_sum_of_each_units_squared_error(tmp_path: Path) -> None:
    success = np.ones(6)
    success[2] = 0
    reference = read_action_units(openface(tmp_path / "a.csv", 6, AU12_r=np.full(6, 1.0), AU45_r=np.arange(6.0)))
    rendered = read_action_units(openface(tmp_path / "b.csv", 6, AU12_r=np.full(6, 3.0), AU45_r=np.arange(6.0) + 0.5, success=success))
    error = action_unit_error(reference, rendered)
    assert error == pytest.approx({"aue": 4.25, "aue_lower": 4.0, "aue_upper": 0.25, "aue_frames": 5})


def test_action_units_that_openface_did_not_write_are_refused(tmp_path: Path) -> None:
    (tmp_path / "blinks.csv").write_text("frame, AU45_r\n1,0.5\n")
    with pytest.raises(InputError, match="AU01_r"):
        read_action_units(tmp_path / "blinks.csv")
    (tmp_path / "empty.csv").write_text("")
    with pytest.raises(InputError, match="OpenFace"):
        read_action_units(tmp_path / "empty.csv")


def test_a_frame_that_openface_left_out_shifts_nothing(tmp_path: Path) -> None:
    path = openface(tmp_path / "a.csv", 5, AU12_r=np.arange(5.0))
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:3], *lines[4:]]) + "\n")
    units = read_action_units(path)
    assert len(units) == 5 and np.isnan(units["AU12"][2]) and units["AU12"][3] == 3.0

"""The shell: where it lies, what it carries back, how far it reaches."""

import numpy as np
import pytest
import torch

from talkhead_core.errors import ParameterError
from talkhead_core.face.lip_codes import LipCodes, mouth_opening_cm
from talkhead_core.rendering.head_shell import HeadShell, HeadShellConfig, measured_reach
from talkhead_core.rendering.shell_cache import ShellCache
from talkhead_core.types import Label
from tests.synthetic_portrait import synthetic_portrait


def shell_of(dataset, reach_cm=2.0):
    track = dataset.track
    codes = LipCodes.fit(track.mesh_cm, track.shape_cm, 2)
    values = codes.encode(track.mesh_cm, track.shape_cm)
    shell = HeadShell(
        shape_cm=track.shape_cm,
        displacement_mean_cm=codes.mesh_mean_cm,
        displacement_basis_cm=codes.mesh_basis_cm,
        canonical_codes=values[np.argmax(mouth_opening_cm(track.mesh_cm))],
        reach_cm=np.full(36, reach_cm, np.float32),
        config=HeadShellConfig(map_px=96),
    )
    return shell, values


def test_lip_codes_rebuild_the_mesh() -> None:
    track = synthetic_portrait().track
    codes = LipCodes.fit(track.mesh_cm[:30], track.shape_cm, 2)
    values = codes.encode(track.mesh_cm, track.shape_cm)
    rebuilt = track.shape_cm + codes.mesh_mean_cm + np.tensordot(values, codes.mesh_basis_cm, axes=1)
    np.testing.assert_allclose(rebuilt, track.mesh_cm, atol=1e-3)
    np.testing.assert_allclose(codes.opening_cm(values, track.shape_cm), mouth_opening_cm(track.mesh_cm), atol=1e-3)
    assert np.std(values[:30, 0]) == pytest.approx(1.0, abs=1e-3)


def _sampled(cache: ShellCache, *rays: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    points, step = cache.points(*(torch.from_numpy(part) for part in rays))
    return points.numpy(), step.numpy()


def test_a_vertex_of_a_talking_frame_is_carried_back_to_the_canonical_face() -> None:
    dataset = synthetic_portrait()
    shell, codes = shell_of(dataset)
    track, camera, frame = dataset.track, dataset.track.camera(96), 7
    cache = ShellCache(shell, camera, track.rotation, track.translation_cm, codes)
    vertices = [1, 4, 9, 18, 50, 200, 175, 199, 280]  # nose, forehead, chin, cheeks: away from depth edges
    posed = shell.displaced(codes[frame])[vertices] @ track.rotation[frame].T + track.translation_cm[frame]
    pixel = camera.project(posed).astype(np.float32)
    row = np.full(len(vertices), frame)
    points, step = _sampled(cache, row, pixel, np.full((len(vertices), 1), 0.5, np.float32))
    canonical = (points.T - 0.5) * 2 * shell.half_extent_cm + shell.centre_cm
    error = np.linalg.norm(canonical - shell.displaced(shell.canonical_codes)[vertices], axis=1)
    assert error.max() < 0.35, error  # cm; a map pixel is 0.18 cm here, and the blur of the maps rounds the nose's tip
    assert np.median(error) < 0.1
    assert (step > 2 * 0.75).all() and (step < 2 * 2.6).all()


def test_without_the_displacement_the_chin_would_be_off() -> None:
    dataset = synthetic_portrait()
    shell, codes = shell_of(dataset)
    moved = shell.displaced(codes[np.argmin(codes[:, 0])])[152] - shell.displaced(codes[np.argmax(codes[:, 0])])[152]
    assert np.linalg.norm(moved) > 0.5


def test_samples_lie_in_order_along_the_ray() -> None:
    dataset = synthetic_portrait()
    shell, codes = shell_of(dataset)
    track = dataset.track
    cache = ShellCache(shell, track.camera(96), track.rotation, track.translation_cm, codes)
    jitter = np.random.default_rng(0).random((50, 4), dtype=np.float32)
    pixel = np.random.default_rng(1).uniform(35, 60, (50, 2)).astype(np.float32)
    points, step = _sampled(cache, np.zeros(50, np.int64), pixel, jitter)
    depth = -(points[2].reshape(50, 4) * 2 * shell.half_extent_cm)  # frontal: further from the camera is a smaller z
    assert (np.diff(depth, axis=1) > 0).all()
    span = depth[:, -1] - depth[:, 0]
    np.testing.assert_array_less(span, 4 * step + 1e-3)


def test_the_region_holds_the_face_and_is_soft_only_at_its_edge() -> None:
    dataset = synthetic_portrait()
    shell, codes = shell_of(dataset)
    track = dataset.track
    maps = shell.maps(track.rotation[0], track.translation_cm[0], codes[0], track.camera(96))
    region = shell.region(maps.covered, 96, 3.0)
    assert region.min() == 0.0 and region.max() == 1.0
    assert (region[dataset.labels[0] == Label.HEAD] > 0.5).mean() > 0.99


def test_the_reach_follows_the_labels() -> None:
    dataset = synthetic_portrait()
    track, config = dataset.track, HeadShellConfig()
    small = dataset.labels == Label.HEAD
    large = np.stack([_dilated(mask, 8) for mask in small])
    arguments = (track.shape_cm, track.rotation[:5], track.translation_cm[:5])
    tight = measured_reach(*arguments, small[:5], track.camera(96), config)
    wide = measured_reach(*arguments, large[:5], track.camera(96), config)
    upper = slice(0, 9)  # the oval starts at the top of the forehead
    assert (wide[upper] > tight[upper] + 0.5).all()


def test_bad_sizes_are_refused() -> None:
    with pytest.raises(ParameterError, match="face_half_thickness_cm"):
        HeadShellConfig(face_half_thickness_cm=0.0)


def _dilated(mask: np.ndarray, pixels: int) -> np.ndarray:
    import cv2

    return cv2.dilate(mask.astype(np.uint8), np.ones((2 * pixels + 1, 2 * pixels + 1), np.uint8)) > 0

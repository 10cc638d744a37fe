"""The clean plate equals the known background wherever some frame shows it."""

from __future__ import annotations

import numpy as np
import pytest

from talkhead_core.compositing.background_plate import BackgroundPlate
from talkhead_core.media.push_pull import filled_smoothly
from tests.torso_scene import texture


def person_frames(background: np.ndarray, columns: list[int], width: int = 30, noise: float = 0.0, seed: int = 0):
    """A grey person that stands at each of ``columns``, and where the background is to be seen."""
    random = np.random.default_rng(seed)
    for column in columns:
        image = background.astype(np.float64) + random.normal(0, noise, background.shape)
        visible = np.ones(background.shape[:2], bool)
        visible[20:, column : column + width] = False
        image[~visible] = 90
        yield np.clip(np.round(image), 0, 255).astype(np.uint8), visible


@pytest.mark.parametrize(("height", "width"), [(120, 160), (97, 131)])
def test_plate_is_the_background(height: int, width: int) -> None:
    background = texture(height, width, 0)
    plate = BackgroundPlate(height, width, margin_px=3, stride=1)
    for image, visible in person_frames(background, list(range(20, 90, 5))):
        plate.add(image, visible)
    found, coverage = plate.finish()
    assert np.array_equal(found, background)
    assert coverage.seen == 1.0 and coverage.filled == 0.0


def test_noise_averages_out() -> None:
    background = texture(90, 120, 0, low=60, high=200)
    plate = BackgroundPlate(90, 120, margin_px=3, stride=1)
    for image, visible in person_frames(background, list(range(20, 80, 2)), noise=6.0):
        plate.add(image, visible)
    found, _ = plate.finish()
    one_frame, visible = next(person_frames(background, [50], noise=6.0))
    assert np.abs(found.astype(int) - background).mean() < 0.6 * np.abs(one_frame.astype(int) - background)[visible].mean()


def test_passers_by_do_not_stay() -> None:
    background = texture(90, 120, 0)
    plate = BackgroundPlate(90, 120, margin_px=3, stride=1)
    for index, (image, visible) in enumerate(person_frames(background, [30] * 20)):
        image[:, 80 + index : 84 + index] = 255  # something that moves past, and that nobody labelled
        plate.add(image, visible)
    found, _ = plate.finish()
    assert np.array_equal(found[:, 70:], background[:, 70:])


def test_edge_of_the_person_is_no_background() -> None:
    """Hair reaches two pixels beyond the mask; the plate takes pixels next to the person only where nothing else is known."""
    background = texture(90, 120, 0)
    plate = BackgroundPlate(90, 120, margin_px=10, stride=1)
    for image, visible in person_frames(background, [40, 41, 40, 42]):
        hair = visible.copy()
        hair[20:, 38:74] = True
        image[hair & (image == 90).all(axis=-1)] = 0
        dilated = ~visible
        dilated[:, 1:] |= ~visible[:, :-1]
        dilated[:, :-1] |= ~visible[:, 1:]
        image[dilated] = 0
        plate.add(image, visible)
    found, coverage = plate.finish()
    assert not (found == 0).all(axis=-1).any()
    assert 0.1 < coverage.filled < 0.3


def test_never_seen_is_filled_smoothly() -> None:
    background = np.tile(np.linspace(40, 200, 120)[None, :, None], (90, 1, 3)).astype(np.uint8)
    plate = BackgroundPlate(90, 120, margin_px=3, stride=1)
    for image, visible in person_frames(background, [45, 46, 45]):
        plate.add(image, visible)
    found, coverage = plate.finish()
    assert 0.1 < coverage.filled < 0.4
    step = np.abs(np.diff(found.astype(int), axis=1)).max()
    assert step <= 12, "no seam where the known ends"
    assert np.abs(found.astype(int) - background).max() < 40


def test_other_shots_fill_what_the_longest_never_shows() -> None:
    background = texture(90, 120, 0, low=50, high=180)
    plate = BackgroundPlate(90, 120, margin_px=3, stride=1)
    for image, visible in person_frames(background, [40] * 12):
        plate.add(image, visible)
    plate.cut()
    for image, visible in person_frames(background + 20, [0] * 5):  # brighter by 20 grey levels
        plate.add(image, visible)
    found, coverage = plate.finish()
    assert coverage.other_shots > 0.1 and coverage.filled == 0.0
    assert np.abs(found.astype(int) - background).max() <= 1


def test_memory_does_not_grow_with_cuts() -> None:
    background = texture(40, 40, 0)
    plate = BackgroundPlate(40, 40, margin_px=1, stride=1)
    for _ in range(40):
        plate.cut()
        for image, visible in person_frames(background, [10], width=5):
            plate.add(image, visible)
    assert len(plate._shots) <= 8
    assert np.array_equal(plate.finish()[0][:, 20:], background[:, 20:])


def test_same_frames_same_plate() -> None:
    background = texture(60, 80, 0)

    def made() -> np.ndarray:
        plate = BackgroundPlate(60, 80, margin_px=2, samples=5, stride=1)
        for image, visible in person_frames(background, list(range(10, 50)), noise=10.0):
            plate.add(image, visible)
        return plate.finish()[0]

    assert np.array_equal(made(), made())


def test_nothing_but_person() -> None:
    plate = BackgroundPlate(30, 30, margin_px=2, stride=1)
    plate.add(np.full((30, 30, 3), 80, np.uint8), np.zeros((30, 30), bool))
    found, coverage = plate.finish()
    assert found.shape == (30, 30, 3) and coverage.filled == 1.0


def test_smooth_fill_keeps_the_known_and_stays_in_its_range() -> None:
    values = texture(61, 83, 1).astype(np.float32)
    known = np.random.default_rng(0).random((61, 83)) < 0.2
    filled = filled_smoothly(values, known)
    assert np.array_equal(filled[known], values[known])
    assert filled.min() >= values[known].min() - 1e-3 and filled.max() <= values[known].max() + 1e-3
    flat = filled_smoothly(np.where(known, 7.0, np.nan), known)
    assert np.allclose(flat, 7.0, atol=1e-3), "a constant stays constant, whatever stands in the unknown"
    assert filled_smoothly(np.ones((20, 30, 2)), np.zeros((20, 30), bool)).shape == (20, 30, 2)

"""Expression features and lip codes on meshes whose answers are known."""

from __future__ import annotations

import numpy as np
import pytest

from talkhead_core.demo.head_mesh import build_head_mesh
from talkhead_core.errors import InputError, ParameterError
from talkhead_core.face.blendshapes import BLENDSHAPE_NAMES
from talkhead_core.face.expression import EXPRESSION_NAMES, ExpressionConfig, blinks, expression, measured_expression, smoothed
from talkhead_core.face.lip_codes import LipCodes, mouth_opening_cm
from talkhead_core.face.mesh_topology import JAW, LEFT_BROW, LEFT_EYE_LIDS, LIPS, RIGHT_EYE_LIDS


@pytest.fixture(scope="module")
def neutral() -> np.ndarray:
    """A face in the head frame, lips closed ``[468, 3]``."""
    return build_head_mesh().expressions.neutral_cm.astype(np.float64)


def flattened_eye(mesh: np.ndarray, lids: tuple[tuple[int, int], ...], opening: float) -> np.ndarray:
    """The eye's lid pairs set ``opening`` cm apart, one above the other."""
    mesh = mesh.copy()
    for upper, lower in lids:
        mesh[upper] = mesh[lower] + [0, opening, 0]
    return mesh


def test_eye_opening_is_lid_distance_over_corner_distance(neutral: np.ndarray) -> None:
    mesh = flattened_eye(flattened_eye(neutral, LEFT_EYE_LIDS, 0.9), RIGHT_EYE_LIDS, 0.3)
    values = dict(zip(EXPRESSION_NAMES, expression(mesh[None])[0], strict=True))
    assert values["eye_opening_left"] == pytest.approx(0.9 / np.linalg.norm(neutral[263] - neutral[362]), rel=1e-5)
    assert values["eye_opening_right"] == pytest.approx(0.3 / np.linalg.norm(neutral[33] - neutral[133]), rel=1e-5)


def test_a_raised_brow_is_seen_on_its_own_side(neutral: np.ndarray) -> None:
    raised = neutral.copy()
    raised[list(LEFT_BROW), 1] += 0.5
    change = dict(zip(EXPRESSION_NAMES, expression(raised[None])[0] - expression(neutral[None])[0], strict=True))
    assert change == pytest.approx({**dict.fromkeys(EXPRESSION_NAMES, 0.0), "brow_raise_left": 0.5}, abs=1e-5)


def test_left_is_the_persons_left() -> None:
    face = build_head_mesh().expressions.neutral_cm
    assert face[[u for u, _ in LEFT_EYE_LIDS], 0].mean() > 0 > face[[u for u, _ in RIGHT_EYE_LIDS], 0].mean()


def test_blinks_are_found_and_long_closures_are_not() -> None:
    level = np.full(120, 0.3)
    level[20:25] = 0.05
    level[60:100] = 0.05
    level[118:] = 0.05
    noisy = level[:, None] + np.random.default_rng(0).normal(0, 0.01, (120, 2))
    assert blinks(noisy) == [(20, 25), (118, 120)]


def test_mouth_opening_is_the_inner_lips_distance(neutral: np.ndarray) -> None:
    opened = neutral.copy()
    opened[14, 1] -= 1.2
    assert mouth_opening_cm(opened) == pytest.approx(np.linalg.norm(opened[13] - opened[14]))
    assert mouth_opening_cm(neutral[None])[0] < 0.15


def test_lip_codes_find_the_two_motions_a_mouth_makes(neutral: np.ndarray) -> None:
    rng = np.random.default_rng(1)
    lower = sorted({*LIPS, *JAW})
    motions = rng.normal(0, 0.3, (2, len(lower), 3))
    amounts = rng.normal(0, [2.0, 1.0], (200, 2))
    mesh = np.repeat(neutral[None], 200, axis=0)
    mesh[:, lower] += np.tensordot(amounts, motions, axes=1)
    codes = LipCodes.fit(mesh[:150], neutral, 2)
    values = codes.encode(mesh[:150], neutral)
    np.testing.assert_allclose(values.mean(0), 0, atol=1e-3)
    np.testing.assert_allclose(values.std(0), 1, atol=1e-3)
    unseen = codes.encode(mesh[150:], neutral)
    rebuilt = neutral + codes.mesh_mean_cm + np.tensordot(unseen, codes.mesh_basis_cm, axes=1)
    np.testing.assert_allclose(rebuilt, mesh[150:], atol=2e-3)
    np.testing.assert_allclose(codes.opening_cm(unseen, neutral), mouth_opening_cm(mesh[150:]), atol=2e-3)
    restored = LipCodes.from_arrays(codes.to_arrays())
    np.testing.assert_array_equal(restored.encode(mesh, neutral), codes.encode(mesh, neutral))


def blendshape_landmarks(count: int = 40) -> dict[str, np.ndarray]:
    scores = np.zeros((count, 52), np.float32)
    scores[18:21, BLENDSHAPE_NAMES.index("eyeBlinkLeft")] = [0.5, 0.9, 0.5]
    scores[:, BLENDSHAPE_NAMES.index("browInnerUp")] = np.linspace(0.1, 0.5, count)
    return {"blendshapes": scores, "confidence": np.ones(count, np.float32)}


def test_seven_blendshapes_condition_the_upper_face() -> None:
    landmarks, mesh = blendshape_landmarks(), np.zeros((40, 468, 3))
    config = ExpressionConfig(source="blendshapes")
    values = measured_expression(config, landmarks, mesh, np.ones(40, bool), np.zeros(40, int))
    assert values.shape == (40, 7) and values.dtype == np.float32
    np.testing.assert_allclose(values[:, config.names.index("browInnerUp")], np.linspace(0.1, 0.5, 40), atol=1e-6)
    assert values[19, config.names.index("eyeBlinkLeft")] == pytest.approx(0.9)


def test_doubtful_frames_are_interpolated_and_nothing_crosses_a_cut() -> None:
    landmarks, shot = blendshape_landmarks(), np.repeat([0, 1], 20)
    landmarks["confidence"][8:11] = 0.1
    landmarks["blendshapes"][8:11] = 1.0
    landmarks["blendshapes"][30] = np.nan
    landmarks["blendshapes"][20:, BLENDSHAPE_NAMES.index("browInnerUp")] = 0.9
    config = ExpressionConfig(source="blendshapes", smoothing_frames=5, min_confidence=0.3)
    values = measured_expression(config, landmarks, np.zeros((40, 468, 3)), np.ones(40, bool), shot)
    brow = values[:, config.names.index("browInnerUp")]
    np.testing.assert_allclose(brow[:20], np.linspace(0.1, 0.5, 40)[:20], atol=1e-5)
    np.testing.assert_allclose(brow[20:], 0.9, atol=1e-6)
    assert np.isfinite(values).all()


def test_smoothing_keeps_a_blinks_depth_and_removes_jitter() -> None:
    frames = np.arange(60)
    blink = np.exp(-(((frames - 30) / 2.2) ** 2))[:, None]
    noisy = blink + np.random.default_rng(0).normal(0, 0.05, (60, 1))
    calm = smoothed(noisy, np.zeros(60, int), 5)
    assert np.abs(calm - blink)[:25].std() < 0.85 * np.abs(noisy - blink)[:25].std()
    assert smoothed(blink, np.zeros(60, int), 5)[30, 0] > 0.95
    np.testing.assert_array_equal(smoothed(noisy, np.zeros(60, int), 1), noisy)


def test_blendshapes_that_are_not_there_say_what_to_set() -> None:
    with pytest.raises(InputError, match="landmarker: face_landmarker"):
        measured_expression(
            ExpressionConfig(source="blendshapes"), {"confidence": np.ones(3)}, np.zeros((3, 468, 3)), np.ones(3, bool), np.zeros(3, int)
        )
    with pytest.raises(ParameterError, match="odd"):
        ExpressionConfig(smoothing_frames=4)

"""Expression features and lip codes on meshes whose answers are known."""

from __future__ import annotations

import numpy as np
import pytest

from talkhead_core.demo.head_mesh import build_head_mesh
from talkhead_core.face.expression import EXPRESSION_NAMES, blinks, expression
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

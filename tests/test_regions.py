"""Regions: from the reference alone, of the size that their definition says."""

from __future__ import annotations

import numpy as np
import pytest

from talkhead_core.face.mesh_topology import FACE_OVAL as MESH_FACE_OVAL
from talkhead_core.face.mesh_topology import LIPS as MESH_LIPS
from talkhead_core.metrics.frame_scores import region_masks
from talkhead_core.metrics.regions import FACE_OVAL, LIPS, MOUTH_BOX_SCALE, face_mask, mouth_box, mouth_mask, torso_mask
from talkhead_core.types import Label


def _face(lips_box: tuple[float, float, float, float], oval_radius: float = 80.0) -> np.ndarray:
    points = np.full((478, 3), 128.0)
    angles = np.linspace(0, 2 * np.pi, len(FACE_OVAL), endpoint=False)
    points[list(FACE_OVAL), 0] = 128 + oval_radius * np.sin(angles)
    points[list(FACE_OVAL), 1] = 128 + oval_radius * np.cos(angles)
    left, top, right, bottom = lips_box
    corners = [(left, top), (right, top), (right, bottom), (left, bottom)]
    for index, landmark in enumerate(LIPS):
        points[landmark, :2] = corners[index % 4]
    return points


def test_indices_are_those_of_the_face_mesh() -> None:
    assert set(LIPS) == set(np.ravel(list(MESH_LIPS)).tolist()) and len(set(LIPS)) == 40
    assert set(FACE_OVAL) == set(np.ravel(list(MESH_FACE_OVAL)).tolist()) and len(set(FACE_OVAL)) == 36


def test_mouth_is_a_square_as_wide_as_the_lips() -> None:
    box = mouth_box(_face((100, 150, 140, 170)), 256, 256)
    assert box is not None
    left, top, right, bottom = box
    assert right - left == pytest.approx(40 * MOUTH_BOX_SCALE, abs=2) and bottom - top == pytest.approx(40 * MOUTH_BOX_SCALE, abs=2)
    assert (left + right) / 2 == pytest.approx(120, abs=1) and (top + bottom) / 2 == pytest.approx(160, abs=1)


def test_face_is_the_area_of_the_oval() -> None:
    mask = face_mask(_face((100, 150, 140, 170)), 256, 256)
    assert mask.sum() == pytest.approx(np.pi * 80**2, rel=0.03)
    assert mask[128, 128] and not mask[128, 20]


def test_a_face_half_outside_the_frame_is_cut_at_the_border() -> None:
    points = _face((100, 150, 140, 170)) - [128, 0, 0]
    assert mouth_box(points, 256, 256) == (0, 140, 12, 180)
    assert 0.4 < face_mask(points, 256, 256).sum() / (np.pi * 80**2) < 0.6


def test_without_a_face_there_is_no_region() -> None:
    points = np.full((478, 3), np.nan)
    assert not face_mask(points, 64, 64).any() and not mouth_mask(points, 64, 64).any()


def test_masks_come_from_what_is_known() -> None:
    labels = np.array([[Label.TORSO, Label.NECK, Label.HEAD, Label.HANDS, Label.BACKGROUND]], np.uint8)
    assert torso_mask(labels).tolist() == [[True, True, False, False, False]]
    masks = region_masks(_face((100, 150, 140, 170)), 256, 256)
    assert set(masks) == {"full", "face", "mouth"} and masks["full"] is None

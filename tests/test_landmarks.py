"""Landmarkers keep one contract; the mesh's named sets are MediaPipe's own; pixels are the clip's."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from talkhead_core.demo.speaker import DemoSpeakerConfig, make_demo_speaker
from talkhead_core.errors import NotAvailableError, ParameterError
from talkhead_core.face import mesh_topology as mesh
from talkhead_core.face.blendshapes import BLENDSHAPE_NAMES
from talkhead_core.face.frame_landmarks import FrameLandmarks, Landmarker, gather, shot_of_frames
from talkhead_core.face.landmarks import LANDMARKERS, LandmarksConfig, build_landmarker
from talkhead_core.face.landmarks.consistency import ShapeConsistency
from talkhead_core.media.video_reader import read_frames

SIZE = 256
SHARED_WEIGHTS = Path(__file__).parents[1].parent / "shared" / "weights"
CLIP = SHARED_WEIGHTS.parent / "data" / "speakers" / "newsreader_512.mp4"
needs_task = pytest.mark.skipif(
    not (SHARED_WEIGHTS / "face_landmarker.task").is_file(), reason=f"no face_landmarker.task in {SHARED_WEIGHTS}"
)
WEIGHTS = {"face_landmarker": SHARED_WEIGHTS / "face_landmarker.task", "fan": SHARED_WEIGHTS}


@pytest.fixture(scope="module")
def frames(tmp_path_factory: pytest.TempPathFactory) -> list[np.ndarray]:
    """16 frames of the demo speaker; the seventh is black."""
    speaker = make_demo_speaker(tmp_path_factory.mktemp("demo"), DemoSpeakerConfig(size_px=SIZE, duration_s=2.0))
    clip = list(read_frames(speaker.video))[::3][:16]
    clip[6] = np.zeros_like(clip[6])
    return clip


def landmarker_here(name: str, follow: bool = True) -> Landmarker:
    try:
        return build_landmarker(LandmarksConfig(landmarker=name, follow=follow, weights=str(WEIGHTS.get(name, ""))))
    except NotAvailableError as error:
        pytest.skip(f"{name}: {error}")


@pytest.mark.parametrize("name", LANDMARKERS.names())
def test_contract(name: str, frames: list[np.ndarray]) -> None:
    landmarker = landmarker_here(name)
    rows = list(landmarker.detect(iter(frames), [[0, 9], [9, 16]]))
    assert [row.frame_id for row in rows] == list(range(16))
    assert not rows[6].detected
    assert np.isnan(rows[6].points).all()
    assert rows[6].confidence == 0.0
    for row in rows[:6] + rows[7:]:
        assert row.detected, f"frame {row.frame_id}"
        assert row.points.shape == (landmarker.point_count, 3)
        assert row.points.dtype == np.float32
        assert (row.points[:, :2] > 0).all()
        assert (row.points[:, :2] < SIZE).all()
        assert 0 < row.confidence <= 1
    again = list(landmarker.detect(iter(frames), [[0, 9], [9, 16]]))
    assert all(np.array_equal(a.points, b.points, equal_nan=True) for a, b in zip(rows, again, strict=True))
    second_shot = list(landmarker.detect(iter(frames[9:]), [[0, 7]]))
    for alone, row in zip(second_shot, rows[9:], strict=True):
        np.testing.assert_array_equal(alone.points, row.points)


@pytest.mark.parametrize("name", LANDMARKERS.names())
def test_frames_found_alone_do_not_depend_on_each_other(name: str, frames: list[np.ndarray]) -> None:
    landmarker = landmarker_here(name, follow=False)
    forwards = list(landmarker.detect(iter(frames), [[0, 16]]))
    backwards = list(landmarker.detect(iter(frames[::-1]), [[0, 16]]))[::-1]
    assert [row.detected for row in forwards] == [True] * 6 + [False] + [True] * 9
    for one, other in zip(forwards, backwards, strict=True):
        np.testing.assert_array_equal(one.points, other.points)


@pytest.mark.parametrize("name", ["face_landmarker", "fan"])
def test_without_weights_it_says_what_to_run(name: str, tmp_path: Path) -> None:
    with pytest.raises(NotAvailableError, match=f"talkhead models pull {name}"):
        build_landmarker(LandmarksConfig(landmarker=name, weights=str(tmp_path / "nothing")))


@needs_task
def test_the_task_gives_blendshapes_and_the_faces_matrix(frames: list[np.ndarray]) -> None:
    arrays = gather(landmarker_here("face_landmarker").detect(iter(frames), [[0, 16]]))
    assert arrays["blendshapes"].shape == (16, 52) and arrays["face_matrix"].shape == (16, 4, 4)
    assert np.isnan(arrays["blendshapes"][6]).all() and np.isnan(arrays["face_matrix"][6]).all()
    seen = np.delete(np.arange(16), 6)
    scores = arrays["blendshapes"][seen]
    assert (scores >= 0).all() and (scores <= 1).all() and scores[:, 0].max() < 0.1, "the neutral one stays near zero"
    assert (arrays["face_matrix"][seen, 2, 3] < 0).all(), "the face is in front of a camera that looks down -Z"
    np.testing.assert_allclose(arrays["face_matrix"][seen, 3], np.tile([0, 0, 0, 1], (15, 1)), atol=1e-6)


@needs_task
@pytest.mark.skipif(not CLIP.is_file(), reason=f"no recording at {CLIP}")
def test_the_task_agrees_with_the_face_mesh_on_a_real_face() -> None:
    clip = [frame for frame, _ in zip(read_frames(CLIP), range(120), strict=False)]
    task = gather(landmarker_here("face_landmarker").detect(iter(clip), [[0, 120]]))
    face_mesh = gather(build_landmarker(LandmarksConfig()).detect(iter(clip), [[0, 120]]))
    distance = np.linalg.norm(task["points"][..., :2] - face_mesh["points"][..., :2], axis=-1)
    width = np.linalg.norm(task["points"][:, 234, :2] - task["points"][:, 454, :2], axis=-1).mean()
    assert np.median(distance) < 0.015 * width

    def correlation(upper: int, lower: int, across: tuple[int, int], name: str) -> float:
        def distance(first: int, second: int) -> np.ndarray:
            return np.asarray(np.linalg.norm(task["points"][:, first, :2] - task["points"][:, second, :2], axis=-1))

        opening = distance(upper, lower) / distance(*across)
        return float(np.corrcoef(opening, task["blendshapes"][:, BLENDSHAPE_NAMES.index(name)])[0, 1])

    assert correlation(13, 14, (10, 152), "jawOpen") > 0.6
    assert correlation(159, 145, (33, 133), "eyeBlinkRight") < -0.6 and correlation(386, 374, (263, 362), "eyeBlinkLeft") < -0.6


def test_a_file_that_is_no_task_is_refused(tmp_path: Path) -> None:
    wrong = tmp_path / "face_landmarker.task"
    wrong.write_bytes(b"not a model")
    with pytest.raises(NotAvailableError, match="not a FaceLandmarker task file"):
        build_landmarker(LandmarksConfig(landmarker="face_landmarker", weights=str(wrong)))


def test_an_unknown_landmarker_names_the_nearest() -> None:
    with pytest.raises(ParameterError, match="face_landmarker"):
        build_landmarker(LandmarksConfig(landmarker="facelandmarker"))


def test_a_mirrored_picture_gives_mirrored_landmarks(frames: list[np.ndarray]) -> None:
    landmarker = build_landmarker(LandmarksConfig())
    right, left = np.array(mesh.SYMMETRIC_PAIRS).T
    sums = []
    for frame in frames[:6] + frames[7:]:
        shots = [[0, 1]]
        straight = next(iter(landmarker.detect([frame], shots))).points[:, 0]
        mirrored = next(iter(landmarker.detect([np.ascontiguousarray(frame[:, ::-1])], shots))).points[:, 0]
        sums += [straight[right] + mirrored[left], straight[left] + mirrored[right]]
    # counting pixels from their corner instead of their centre would give SIZE - 1
    assert np.mean(sums) == pytest.approx(SIZE, abs=0.4)


def test_confidence_falls_when_the_face_loses_its_shape(frames: list[np.ndarray]) -> None:
    rows = [row.points for row in build_landmarker(LandmarksConfig()).detect(frames[:6], [[0, 6]])]
    consistency = ShapeConsistency()
    usual = [consistency.confidence(points) for points in rows]
    bent = rows[-1].copy()
    bent[:, 0] += 0.25 * np.abs(bent[:, 1] - bent[:, 1].mean())
    assert min(usual) > 0.6
    assert consistency.confidence(bent) < 0.5 * min(usual)


def test_rows_become_arrays_by_frame() -> None:
    found = FrameLandmarks(0, np.ones((5, 3), np.float32), True, 0.5)
    arrays = gather([found, FrameLandmarks.missing(1, 5)])
    assert arrays["frame_id"].tolist() == [0, 1]
    assert arrays["detected"].tolist() == [True, False]
    assert np.isnan(arrays["points"][1]).all()
    assert arrays["points"].dtype == arrays["confidence"].dtype == np.float32
    assert shot_of_frames([[0, 2], [2, 3], [3, 5]], 5).tolist() == [0, 0, 1, 2, 2]


def test_the_surface_is_a_sphere_with_four_holes() -> None:
    triangles = mesh.surface_triangles()
    edges = {tuple(sorted(edge)) for t in triangles.tolist() for edge in zip(t, t[1:] + t[:1], strict=True)}
    assert triangles.shape == (852, 3)
    assert len(np.unique(triangles)) == mesh.MESH_POINTS
    assert mesh.MESH_POINTS - len(edges) + len(triangles) == 2 - 4  # mouth, two eyes, the outline


def test_closed_only_the_outline_is_open_and_all_triangles_wind_alike() -> None:
    triangles = mesh.closed_triangles()
    directed = [edge for t in triangles.tolist() for edge in zip(t, t[1:] + t[:1], strict=True)]
    assert triangles.shape == (898, 3)
    assert len(directed) == len(set(directed)), "two neighbours wind against each other"
    border = {frozenset(edge) for edge in set(directed) if edge[::-1] not in set(directed)}
    assert border == {frozenset(edge) for edge in zip(mesh.FACE_OVAL, mesh.FACE_OVAL[1:] + mesh.FACE_OVAL[:1], strict=True)}


def test_triangles_face_the_camera(frames: list[np.ndarray]) -> None:
    points = next(iter(build_landmarker(LandmarksConfig()).detect(frames[:1], [[0, 1]]))).points
    corners = points[mesh.closed_triangles()][..., :2]
    first, second = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    area = first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0]
    assert (area < 0).mean() > 0.95  # but for slivers at lids and lips; counter-clockwise with y up is negative with y down


def test_named_sets_are_those_of_mediapipe() -> None:
    from mediapipe.python.solutions import face_mesh_connections as connections

    def vertices(edges: frozenset[tuple[int, int]]) -> set[int]:
        return {vertex for edge in edges for vertex in edge}

    assert set(mesh.LIPS) == vertices(connections.FACEMESH_LIPS)
    assert len(mesh.LIPS) == 40
    assert set(mesh.FACE_OVAL) == vertices(connections.FACEMESH_FACE_OVAL)
    assert set(mesh.LEFT_EYE) == vertices(connections.FACEMESH_LEFT_EYE)
    assert set(mesh.RIGHT_EYE) == vertices(connections.FACEMESH_RIGHT_EYE)
    assert set(mesh.LEFT_BROW) == vertices(connections.FACEMESH_LEFT_EYEBROW)
    assert set(mesh.RIGHT_BROW) == vertices(connections.FACEMESH_RIGHT_EYEBROW)
    assert set(mesh.IRIS_LEFT[1:]) == vertices(connections.FACEMESH_LEFT_IRIS)
    assert set(mesh.IRIS_RIGHT[1:]) == vertices(connections.FACEMESH_RIGHT_IRIS)
    assert len(mesh.LIPS_68) == 20


def test_moving_parts_are_not_rigid() -> None:
    assert not set(mesh.RIGID) & set(mesh.LIPS + mesh.JAW + mesh.LEFT_BROW + mesh.RIGHT_BROW)
    assert len(set(mesh.RIGID)) == len(mesh.RIGID) == 48


@pytest.mark.skipif(importlib.util.find_spec("face_alignment") is None, reason="the extra 'fan' is not installed")
def test_fan_reads_weights_from_its_folder(tmp_path: Path) -> None:
    import torch
    from face_alignment.detection.sfd.net_s3fd import s3fd
    from face_alignment.models import FAN

    from talkhead_core.face.landmarks.fan import FAN_FILE, S3FD_FILE

    torch.save(FAN(4).state_dict(), tmp_path / FAN_FILE)
    torch.save(s3fd().state_dict(), tmp_path / S3FD_FILE)
    assert build_landmarker(LandmarksConfig(landmarker="fan", weights=str(tmp_path))).point_count == 68


def looked_at(frames: list[np.ndarray], looks: int) -> np.ndarray:
    landmarker = build_landmarker(LandmarksConfig(follow=False, looks=looks))
    return np.stack([row.points for row in landmarker.detect(iter(frames), [[0, len(frames)]])])


def test_several_looks_find_the_same_points_and_tremble_less(frames: list[np.ndarray]) -> None:
    """Noise that nobody sees moves the points; of the mean of several looks it moves them less."""
    generator = np.random.default_rng(0)
    noisy = [np.clip(frames[0] + generator.normal(0, 3, frames[0].shape), 0, 255).astype(np.uint8) for _ in range(12)]
    once, often = looked_at(noisy, 1), looked_at(noisy, 5)
    width = np.linalg.norm(once[:, 234, :2] - once[:, 454, :2], axis=-1).mean()
    lips = sorted({*mesh.LIPS})
    assert np.linalg.norm((often - once)[:, lips, :2].mean(axis=0), axis=-1).max() < 0.03 * width, "mapped back to where they are"
    tremble = [np.linalg.norm((points - points.mean(axis=0))[:, lips, :2], axis=-1).mean() for points in (once, often)]
    assert tremble[1] < 0.8 * tremble[0], tremble


@pytest.mark.parametrize("name", LANDMARKERS.names())
def test_several_looks_keep_the_contract(name: str, frames: list[np.ndarray]) -> None:
    landmarker_here(name)
    landmarker = build_landmarker(LandmarksConfig(landmarker=name, weights=str(WEIGHTS.get(name, "")), looks=3))
    rows = list(landmarker.detect(iter(frames), [[0, 9], [9, 16]]))
    assert [row.frame_id for row in rows] == list(range(16))
    assert [row.detected for row in rows] == [True] * 6 + [False] + [True] * 9
    assert np.isnan(rows[6].points).all() and rows[6].confidence == 0.0
    assert all(row.points.shape == (landmarker.point_count, 3) and row.points.dtype == np.float32 for row in rows)
    assert all(0 < row.confidence <= 1 for row in rows[:6] + rows[7:])
    alone = list(landmarker.detect(iter(frames[7:9]), [[0, 2]]))
    for one, other in zip(rows[7:9], alone, strict=True):
        np.testing.assert_array_equal(one.points, other.points)
    if name == "face_landmarker":
        arrays = gather(iter(rows))
        assert arrays["blendshapes"].shape == (16, 52) and arrays["face_matrix"].shape == (16, 4, 4)


def test_looks_are_counted() -> None:
    with pytest.raises(ParameterError, match="looks must be at least 1"):
        LandmarksConfig(looks=0)

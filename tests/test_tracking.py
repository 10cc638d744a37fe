"""Head tracking against known answers: projected faces, the demo speaker, and what real clips must hold to."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import pytest

from benchmarks import tracking as tracking_benchmark
from talkhead_core.artifacts import read_arrays
from talkhead_core.demo.head_mesh import build_head_mesh
from talkhead_core.demo.speaker import DemoSpeaker, DemoSpeakerConfig, make_demo_speaker
from talkhead_core.errors import InputError, ParameterError
from talkhead_core.face.bundle_adjustment import Bundle, projection
from talkhead_core.face.frame_landmarks import gather
from talkhead_core.face.head_track import HeadTrack
from talkhead_core.face.head_tracking import TrackHeadConfig, track_head
from talkhead_core.face.landmark_model import LandmarkPriors, fit_landmark_model
from talkhead_core.face.landmarks import LandmarksConfig, build_landmarker
from talkhead_core.face.mesh_topology import JAW, OUTER_EYE_CORNERS, RIGID
from talkhead_core.face.person_shape import frontal_shape
from talkhead_core.face.pose_refinement import RefinementWeights, refine_poses
from talkhead_core.face.pose_smoothing import SmoothingPrior, fill_gaps, jitter_deg
from talkhead_core.face.rotations import exp_so3, log_so3, rotation_error_deg, slerp, yaw_pitch_roll_deg
from talkhead_core.face.stable_points import PointTracks, stable_triangles
from talkhead_core.media.video_reader import read_frames, read_gray_frames
from talkhead_core.types import Camera

SPEAKERS = Path(__file__).parents[1].parent / "shared" / "data" / "speakers"
CAMERA = Camera(focal_px=1500.0, width=512, height=512)


def known_face(frames: int, *, noise_px: float = 0.5, seed: int = 0) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
    """Landmarks of a face that turns and talks, its rotations and translations."""
    rng = np.random.default_rng(seed)
    shape = frontal_shape(build_head_mesh().expressions.neutral_cm)
    time = np.arange(frames) / 25
    angles = np.stack([12 * np.sin(1.9 * time), 18 * np.sin(1.3 * time + 1), 6 * np.sin(2.7 * time + 2)], axis=1)  # x, y, z
    rotation = exp_so3(np.radians(angles))
    translation = np.stack([2 * np.sin(time), np.cos(1.2 * time), -100 + 2 * np.sin(0.7 * time)], axis=1)
    mesh = np.repeat(shape[None], frames, axis=0)
    mesh[:, list(JAW)] += np.array([0, -0.6, -0.2]) * np.abs(np.sin(9 * time))[:, None, None]
    posed = np.einsum("nij,npj->npi", rotation, mesh) + translation[:, None]
    points = np.zeros((frames, 478, 3), np.float32)
    points[:, :468, :2] = CAMERA.project(posed) + rng.normal(0, noise_px, (frames, 468, 2))
    points[:, :468, 2] = -(posed[..., 2] - posed[..., 2].mean(1, keepdims=True)) * CAMERA.focal_px / 100
    landmarks = {
        "frame_id": np.arange(frames),
        "points": points,
        "detected": np.ones(frames, bool),
        "confidence": np.ones(frames, np.float32),
    }
    return landmarks, rotation, translation


def tracked(landmarks: dict[str, np.ndarray], shot: np.ndarray | None = None, **keys: float) -> HeadTrack:
    shot = np.zeros(len(landmarks["frame_id"]), np.int32) if shot is None else shot
    return track_head(landmarks, shot, width=512, height=512, config=TrackHeadConfig(**keys))  # type: ignore[arg-type]


# --- rotations -----------------------------------------------------------------------------------------------------------


def test_logarithm_undoes_the_exponential() -> None:
    vectors = np.random.default_rng(0).normal(0, 0.8, (50, 3))
    vectors[0] = 0
    np.testing.assert_allclose(log_so3(exp_so3(vectors)), vectors, atol=1e-9)


def test_angles_mean_what_their_names_say() -> None:
    nose = np.array([0.0, 0.0, 1.0])
    for axis, angle, expected in (([0, 1, 0], 0, "right"), ([1, 0, 0], 1, "down"), ([0, 0, 1], 2, "left")):
        turn = exp_so3(np.radians(10) * np.array(axis, float))
        np.testing.assert_allclose(yaw_pitch_roll_deg(turn), 10 * np.eye(3)[angle], atol=1e-9)
        if expected == "right":
            assert (turn @ nose)[0] > 0.1
        if expected == "down":
            assert (turn @ nose)[1] < -0.1
        if expected == "left":
            assert (turn @ [0.0, 1.0, 0.0])[0] < -0.1


def test_slerp_goes_half_way() -> None:
    first, second = exp_so3(np.array([[0.1, 0.2, 0.0], [0.3, -0.2, 0.1]]))
    half = slerp(first, second, np.array([0.5]))[0]
    np.testing.assert_allclose(log_so3(half @ first.T), log_so3(second @ half.T), atol=1e-12)


def test_the_error_is_what_no_constant_offset_explains() -> None:
    truth = exp_so3(np.random.default_rng(1).normal(0, 0.2, (200, 3)))
    turned = truth @ exp_so3(np.array([0.1, -0.2, 0.3]))
    np.testing.assert_allclose(rotation_error_deg(turned, truth), 0, atol=1e-5)
    shaken = exp_so3(np.radians([[3.0, 0, 0], [-3.0, 0, 0]] * 100)) @ turned
    np.testing.assert_allclose(rotation_error_deg(shaken, truth), 3, atol=0.5)


# --- landmarks alone -----------------------------------------------------------------------------------------------------


def test_a_known_face_is_tracked_within_a_degree() -> None:
    landmarks, rotation, _ = known_face(120)
    track = tracked(landmarks)
    assert rotation_error_deg(track.rotation, rotation).mean() < 1.0
    assert (track.status == 0).all()
    assert track.summary()["reprojection_percent_of_face_width"] < 0.7
    right, left = OUTER_EYE_CORNERS
    assert np.linalg.norm(track.shape_cm[right] - track.shape_cm[left]) == pytest.approx(9.0, abs=1e-6)
    assert track.shape_cm[left, 0] > 0 > track.shape_cm[right, 0]
    assert track.shape_cm[10, 1] > track.shape_cm[152, 1]
    assert track.shape_cm[168, 2] == pytest.approx(8.5, abs=1e-6)


def test_the_shape_is_the_persons_own() -> None:
    landmarks, _, _ = known_face(150)
    truth = frontal_shape(build_head_mesh().expressions.neutral_cm)
    error = np.linalg.norm(tracked(landmarks).shape_cm - truth, axis=1)
    assert np.median(error) < 0.25, np.median(error)
    assert error.max() < 0.9


def test_each_mesh_projects_onto_its_own_landmarks() -> None:
    landmarks, _, _ = known_face(60)
    track = tracked(landmarks)
    posed = np.einsum("nij,npj->npi", track.rotation, track.mesh_cm) + track.translation_cm[:, None]
    pixels = Camera(focal_px=track.focal_px, width=512, height=512).project(posed)
    np.testing.assert_allclose(pixels, landmarks["points"][:, :468, :2], atol=1e-3)


def test_arrays_are_those_of_the_contract() -> None:
    landmarks, _, _ = known_face(40)
    arrays = tracked(landmarks).arrays()
    expected = {
        "frame_id": ((40,), np.int64),
        "rotation": ((40, 3, 3), np.float32),
        "translation_cm": ((40, 3), np.float32),
        "focal_px": ((1,), np.float32),
        "shape_cm": ((468, 3), np.float32),
        "mesh_cm": ((40, 468, 3), np.float32),
        "expression": ((40, 4), np.float32),
        "status": ((40,), np.uint8),
        "reprojection_px": ((40,), np.float32),
        "shot": ((40,), np.int32),
    }
    assert {name: (array.shape, array.dtype.type) for name, array in arrays.items()} == expected


def test_frames_without_a_face_are_interpolated_in_place() -> None:
    landmarks, rotation, _ = known_face(100)
    lost = np.r_[0:3, 40:46, 99]
    landmarks["points"][lost] = np.nan
    landmarks["detected"][lost] = False
    landmarks["confidence"][lost] = 0
    track = tracked(landmarks)
    assert track.frame_id.tolist() == list(range(100))
    assert np.flatnonzero(track.status).tolist() == lost.tolist()
    assert np.isfinite(track.mesh_cm).all()
    assert np.isfinite(track.rotation).all()
    error = rotation_error_deg(track.rotation, rotation)
    assert error[np.setdiff1d(np.arange(100), lost)].mean() < 1.0
    assert error[40:46].max() < 3.0, "not between its neighbours"


def test_an_occluded_face_is_marked_and_does_not_pull_its_neighbours() -> None:
    landmarks, rotation, _ = known_face(100)
    landmarks["points"][50:54, :, :2] += np.random.default_rng(2).normal(0, 14, (4, 478, 2)).astype(np.float32)
    track = tracked(landmarks)
    assert np.flatnonzero(track.status).tolist() == [50, 51, 52, 53]
    assert rotation_error_deg(track.rotation, rotation).max() < 3.0


def test_nothing_is_smoothed_across_a_cut() -> None:
    landmarks, rotation, _ = known_face(120)
    order = np.r_[60:120, 0:60]
    cut = {name: array[order] if name != "frame_id" else array for name, array in landmarks.items()}
    shot = np.repeat(np.array([0, 1], np.int32), 60)
    with_cut, ignored = tracked(cut, shot), tracked(cut)
    beside = np.r_[58:62]
    assert rotation_error_deg(with_cut.rotation, rotation[order])[beside].max() < 1.5
    assert rotation_error_deg(ignored.rotation, rotation[order])[beside].max() > 2.0


def test_no_face_at_all_is_one_clear_error() -> None:
    landmarks, _, _ = known_face(10)
    landmarks["detected"][:] = False
    with pytest.raises(InputError, match="no frame has a face"):
        tracked(landmarks)


def test_one_face_in_one_frame_is_enough_to_stand_still() -> None:
    landmarks, _, _ = known_face(5)
    landmarks["detected"][1:] = False
    landmarks["points"][1:] = np.nan
    track = tracked(landmarks)
    assert track.status.tolist() == [0, 1, 1, 1, 1]
    np.testing.assert_allclose(track.rotation, np.repeat(track.rotation[:1], 5, axis=0), atol=1e-9)


@pytest.mark.parametrize("keys", [{"smoothing_deg": 0.0}, {"outlier_factor": 0.5}, {"min_confidence": 1.0}])
def test_settings_out_of_range_are_refused(keys: dict[str, float]) -> None:
    with pytest.raises(ParameterError, match=next(iter(keys))):
        TrackHeadConfig(**keys)  # type: ignore[arg-type]


# --- smoothing -----------------------------------------------------------------------------------------------------------


def test_a_gap_at_a_shots_end_holds_that_shots_pose() -> None:
    rotation = exp_so3(np.array([[0, 0.1 * i, 0] for i in range(6)]))
    good = np.array([1, 1, 0, 0, 1, 1], bool)
    shot = np.array([0, 0, 0, 1, 1, 1])
    filled, moved = fill_gaps(rotation, np.arange(18.0).reshape(6, 3), good, shot)
    np.testing.assert_array_equal(filled[2], rotation[1])
    np.testing.assert_array_equal(filled[3], rotation[4])
    np.testing.assert_array_equal(moved[3], [12.0, 13.0, 14.0])


def test_smoothing_gradient_is_the_slope_of_its_cost() -> None:
    rng = np.random.default_rng(0)
    rotation, translation = exp_so3(np.cumsum(rng.normal(0, 0.01, (8, 3)), axis=0)), rng.normal(0, 0.1, (8, 3))
    prior = SmoothingPrior(np.array([0, 0, 0, 0, 1, 1, 1, 1]), rotation_deg=0.5, translation_cm=(0.1, 0.1, 0.5))
    gradient = prior.gradient(rotation, translation)
    for frame, axis in ((1, 0), (3, 2), (5, 4), (7, 5)):
        step = np.zeros((8, 6))
        step[frame, axis] = 1e-6
        up, down = (prior.cost(exp_so3(s * step[:, :3]) @ rotation, translation + s * step[:, 3:]) for s in (1, -1))
        assert gradient[frame, axis] == pytest.approx((up - down) / 4e-6, rel=0.03)


def test_jitter_counts_second_differences_within_shots() -> None:
    yaw = np.radians([0, 1, 2, 30, 31, 33])
    rotation = exp_so3(np.stack([np.zeros(6), yaw, np.zeros(6)], axis=1))
    assert jitter_deg(rotation, np.array([0, 0, 0, 1, 1, 1])) == pytest.approx(np.sqrt(1 / 6))


# --- flow ----------------------------------------------------------------------------------------------------------------


def test_refinement_follows_the_tracks_where_the_landmarks_are_wrong() -> None:
    _, rotation, translation = known_face(60, noise_px=0)
    shape = frontal_shape(build_head_mesh().expressions.neutral_cm)
    spots = shape[np.unique(stable_triangles(shape))[::3]]
    truth = Bundle(rotation, translation, spots, float(np.log(CAMERA.focal_px)))
    pixels = projection(truth)[1] * [1, -1] + 256
    tracks = [PointTracks(first, spots, pixels[first : first + 20], np.ones((20, len(spots)))) for first in range(0, 41, 10)]
    rng = np.random.default_rng(0)
    shaken = replace(truth, rotation=exp_so3(rng.normal(0, 0.02, (60, 3))) @ rotation, shape=shape[list(RIGID)])
    wrong = projection(shaken)[1]
    found, _ = refine_poses(
        shaken, wrong, np.ones(60, bool), tracks, CAMERA,
        RefinementWeights(landmark_px=3.0, track_px=0.2, point_cm=(1.0, 1.0, 0.3)),
        SmoothingPrior(np.zeros(60), rotation_deg=1.0, translation_cm=(0.2, 0.2, 1.5)),
    )  # fmt: skip
    before, after = (rotation_error_deg(bundle.rotation, rotation) for bundle in (shaken, found))
    assert before.mean() > 1.5
    assert after.mean() < 0.25, after.mean()


def test_a_landmarks_slide_is_told_from_its_place() -> None:
    _, rotation, translation = known_face(120, noise_px=0)
    shape = frontal_shape(build_head_mesh().expressions.neutral_cm)[list(RIGID)]
    rng = np.random.default_rng(0)
    slide = rng.normal(0, 0.5, (48, 3, 3))
    u, _, vt = np.linalg.svd(rotation.mean(0))
    turn = log_so3((u @ vt).T @ rotation)
    slid = Bundle(rotation, translation, shape + np.einsum("pij,nj->npi", slide, turn), float(np.log(CAMERA.focal_px)))
    model = fit_landmark_model(slid, projection(slid)[1], np.ones((120, 48)), shape, LandmarkPriors(landmark_px=1.0))
    again = projection(replace(slid, shape=model.points(rotation)))[1]
    assert np.abs(again - projection(slid)[1]).max() < 0.6
    assert np.abs(model.shape[:, :2] - shape[:, :2]).max() < 0.1
    assert np.corrcoef(model.slide[:, 0].ravel(), slide[:, 0].ravel())[0, 1] > 0.9


# --- the demo speaker ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> DemoSpeaker:
    return make_demo_speaker(tmp_path_factory.mktemp("demo"), DemoSpeakerConfig(size_px=384, duration_s=4.0))


def test_the_demo_speaker_is_tracked_closer_with_flow_and_with_less_jitter(demo: DemoSpeaker) -> None:
    truth = read_arrays(demo.truth_arrays)["rotation"].astype(np.float64)
    landmarks = gather(build_landmarker(LandmarksConfig()).detect(read_frames(demo.video), [[0, 100]]))
    shot = np.zeros(len(truth), np.int32)
    track = track_head(landmarks, shot, width=384, height=384, frames=read_gray_frames(demo.video))
    config = TrackHeadConfig(stabilise=False)
    alone = track_head(landmarks, shot, width=384, height=384, frames=read_gray_frames(demo.video), config=config)
    error, error_alone = (rotation_error_deg(t.rotation, truth).mean() for t in (track, alone))
    assert error < 1.5
    assert error < 0.7 * error_alone
    assert track.quality.jitter_deg < 0.5 * alone.quality.jitter_deg
    assert track.quality.jitter_landmarks_alone_deg == pytest.approx(alone.quality.jitter_deg, rel=0.05)
    assert track.quality.flow_residual_px < 0.5 * track.quality.flow_residual_landmarks_alone_px
    assert track.summary()["reprojection_percent_of_face_width"] < 0.7


def test_a_hand_over_the_face_is_marked_and_the_head_goes_on(demo: DemoSpeaker) -> None:
    truth = read_arrays(demo.truth_arrays)["rotation"].astype(np.float64)[:90]
    frames = list(islice(read_frames(demo.video), 90))
    landmarks = gather(build_landmarker(LandmarksConfig()).detect(frames, [[0, 90]]))
    covered = range(40, 56)
    for row in covered:
        near = min(row - 39, 56 - row, 6) / 6  # it comes and goes
        u, v = landmarks["points"][row, 1, :2] + (1 - near) * np.array([90, 60])
        cv2.ellipse(frames[row], (int(u), int(v)), (34, 48), 20, 0, 360, (205, 155, 130), -1)
        cv2.line(frames[row], (int(u), int(v)), (int(u) + 60, 384), (190, 140, 118), 34)
    landmarks = gather(build_landmarker(LandmarksConfig()).detect(frames, [[0, 90]]))
    gray = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames]
    track = track_head(landmarks, np.zeros(90, np.int32), width=384, height=384, frames=gray)
    marked = np.flatnonzero(track.status)
    assert set(range(46, 50)) <= set(marked), marked
    assert set(marked) <= set(covered), marked
    assert rotation_error_deg(track.rotation, truth).max() < 3.0
    assert track.frame_id.tolist() == list(range(90))


# --- real footage --------------------------------------------------------------------------------------------------------


# The square that ingest chooses from the whole recording; None where that is the whole picture.
CROPS = {"newsreader_512": None, "anchor_512": None, "hands_1080p": (108, 114, 878), "outdoor_1080p": (264, 476, 670)}


@pytest.mark.parametrize("name", CROPS)
def test_real_footage(name: str) -> None:
    video = SPEAKERS / f"{name}.mp4"
    if not video.is_file():
        pytest.skip(f"{video.name} is not here")
    frames = list(islice(read_frames(video), 60))
    if CROPS[name] is not None:
        left, top, side = CROPS[name]
        frames = [cv2.resize(frame[top : top + side, left : left + side], (512, 512), interpolation=cv2.INTER_AREA) for frame in frames]
    landmarks = gather(build_landmarker(LandmarksConfig()).detect(frames, [[0, 60]]))
    assert landmarks["detected"].all()
    gray = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames]
    track = track_head(landmarks, np.zeros(60, np.int32), width=512, height=512, frames=gray)
    row = tracking_benchmark.table({"clips": {name: tracking_benchmark.figures(track)}}).splitlines()[-1]
    assert row.startswith(f"| `{name}` |") and "0 of 60" in row
    assert track.summary()["reprojection_percent_of_face_width"] < 0.7
    assert track.quality.jitter_deg < 0.5 * track.quality.jitter_landmarks_alone_deg
    assert (track.status == 0).all()

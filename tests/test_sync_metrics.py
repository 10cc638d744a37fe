"""Lip and motion metrics: known answers, real footage, invariances."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import pearsonr

from talkhead_core.metrics.landmark_scores import landmark_columns
from talkhead_core.metrics.lip_sync import (
    correlation,
    landmark_distance_percent,
    landmark_distance_px512,
    mouth_opening,
    mouth_opening_lag_frames,
    spread_ratio,
)
from talkhead_core.metrics.motion import blinks_per_minute, eye_opening, jitter_px512
from talkhead_core.metrics.pair_controls import lip_controls
from talkhead_core.metrics.regions import LIPS
from talkhead_core.metrics.summary import compare_protocols, summarise_protocol

SPEAKERS = Path(__file__).parents[1].parent / "shared" / "data" / "speakers"


def _faces(frames: int = 60, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    face = rng.uniform(60, 196, (478, 3))
    face[10], face[152] = (128, 40, 0), (128, 200, 0)
    return np.repeat(face[None], frames, axis=0)


def test_lmd_of_a_shift_is_zero_and_of_a_spread_is_known() -> None:
    reference = _faces()
    shifted = reference + [3, -4, 0]
    assert landmark_distance_px512(reference, shifted, 256) == pytest.approx(0.0, abs=1e-9)
    assert landmark_distance_px512(reference, shifted, 256, centred=False) == pytest.approx(10.0), "5 px at 256 are 10 at 512"
    apart = reference.copy()
    apart[:, LIPS[:20], 1] += 2.0
    apart[:, LIPS[20:], 1] -= 2.0
    assert landmark_distance_px512(reference, apart, 512) == pytest.approx(2.0)


def test_lmd_in_per_cent_of_the_eye_distance() -> None:
    reference = _faces()
    reference[:, 33, :2], reference[:, 263, :2] = (70, 90), (110, 120)  # 50 px apart
    apart = reference.copy()
    apart[:, LIPS[:20], 1] += 2.0
    apart[:, LIPS[20:], 1] -= 2.0
    assert landmark_distance_percent(reference, apart) == pytest.approx(100 * 2.0 / 50)
    assert landmark_distance_percent(7 * reference, 7 * apart) == pytest.approx(4.0), "whatever the size of the face"


def test_lmd_does_not_depend_on_the_size_of_the_frame() -> None:
    reference, rendered = _faces(), _faces() + np.random.default_rng(1).normal(0, 1, (60, 478, 3))
    at_512 = landmark_distance_px512(reference, rendered, 512)
    at_128 = landmark_distance_px512(reference / 4, rendered / 4, 128)
    assert at_128 == pytest.approx(at_512)


def test_correlation_matches_scipy_and_leaves_missing_frames_out() -> None:
    rng = np.random.default_rng(2)
    first = rng.normal(size=80)
    second = 0.6 * first + rng.normal(size=80)
    assert float(correlation(first, second)) == pytest.approx(pearsonr(first, second)[0])
    gaps = second.copy()
    gaps[5:20] = np.nan
    keep = np.isfinite(gaps)
    assert float(correlation(first, gaps)) == pytest.approx(pearsonr(first[keep], gaps[keep])[0])
    assert float(spread_ratio(first, gaps)) == pytest.approx(gaps[keep].std() / first[keep].std())
    assert math.isnan(float(correlation(first, np.full(80, np.nan)))), "a mouth never found has no correlation"
    assert math.isnan(float(correlation(first, np.ones(80)))), "a mouth that never moves has none either"


def test_mouth_opening_is_the_inner_lip_gap_over_the_face_height() -> None:
    face = _faces(1)
    face[0, 13], face[0, 14] = (120, 150, 0), (120, 166, 0)
    assert mouth_opening(face)[0] == pytest.approx(16 / 160)
    assert mouth_opening(face * 3)[0] == pytest.approx(16 / 160)


def test_lag_is_found_and_absent_where_nothing_correlates() -> None:
    rng = np.random.default_rng(4)
    speech = np.convolve(rng.normal(size=200), np.ones(3), "same")
    late = np.roll(speech, 3)
    assert mouth_opening_lag_frames(speech[20:180], late[20:180]) == 3
    assert mouth_opening_lag_frames(late[20:180], speech[20:180]) == -3
    assert mouth_opening_lag_frames(np.zeros(160), speech[20:180]) is None


def test_controls_of_a_pair_have_lips_of_another_moment_and_lips_that_stand_still() -> None:
    faces = _faces()
    faces[:, 14, 1] += 6 * np.sin(np.arange(len(faces)) / 7)
    faces[3] = np.nan
    table = lip_controls(np.arange(10, 10 + len(faces)), faces, faces, 512)
    wrong, still = (table[table["protocol"] == name].reset_index(drop=True) for name in ("pair/wrong_time", "pair/static_mouth"))
    assert list(wrong["frame_id"]) == list(range(10, 70)) and np.isnan(still["lmd_px512"][3])
    np.testing.assert_allclose(wrong["mouth_opening"][0], mouth_opening(faces)[30])
    lips = faces[:, list(LIPS)] - faces[:, list(LIPS)].mean(axis=1, keepdims=True)
    mean = np.nanmean(lips, axis=0)
    np.testing.assert_allclose(still["lmd_px512"], np.linalg.norm((lips - mean)[..., :2], axis=-1).mean(axis=1))
    assert still["mouth_opening"].std() < 0.2 * still["mouth_opening_reference"].std()


def test_jitter_of_even_motion_is_zero_and_of_trembling_is_known() -> None:
    frames = _faces(50)
    even = frames + np.arange(50)[:, None, None] * np.array([2.0, 1.0, 0.0])
    assert np.nanmax(jitter_px512(even, 512)) == pytest.approx(0.0, abs=1e-9)
    trembling = even + ((-1.0) ** np.arange(50))[:, None, None] * np.array([0.5, 0.0, 0.0])
    assert np.nanmean(jitter_px512(trembling, 256)) == pytest.approx(2.0 * 2), "second difference of +-0.5 is 2, doubled to 512"


def test_blinks_are_counted_once_each() -> None:
    opening = np.full(250, 0.3)
    for start in (20, 100, 200):
        opening[start : start + 4] = [0.2, 0.05, 0.1, 0.2]
    opening[150] = 0.2  # a squint to two thirds is no blink
    assert blinks_per_minute(opening, 25.0) == pytest.approx(3 * 6)
    assert blinks_per_minute(np.full(10, np.nan), 25.0) is None


def test_summary_of_a_perfect_copy() -> None:
    rng = np.random.default_rng(5)
    faces = _faces(60) + np.cumsum(rng.normal(0, 0.3, (60, 478, 3)), axis=0)
    table = pd.DataFrame({"frame_id": np.arange(60), "psnr_full": rng.normal(30, 1, 60), **landmark_columns(faces, faces, 256)})
    figures = summarise_protocol(table, 25.0)
    assert (
        figures["lmd_px512"] == 0.0
        and figures["mouth_opening_r"] == pytest.approx(1.0)
        and figures["mouth_opening_sd_ratio"] == pytest.approx(1.0)
    )
    assert figures["mouth_opening_lag_frames"] == 0
    low, high = figures["ci95"]["psnr_full"]
    assert low < figures["psnr_full"] < high and figures["psnr_full"] == pytest.approx(table["psnr_full"].mean())
    assert "frame_id" not in figures and "mouth_opening" not in figures


def test_frames_without_a_face_are_counted_and_left_out() -> None:
    faces = _faces(40)
    rendered = faces.copy()
    rendered[:10] = np.nan
    rendered[10:, LIPS[0], 0] += 4.0
    figures = summarise_protocol(pd.DataFrame(landmark_columns(faces, rendered, 512)), 25.0)
    assert figures["frames_without_face"] == 10 and figures["frames_without_face_reference"] == 0
    assert figures["lmd_px512"] == pytest.approx((39 * 0.1 + 3.9) / 40)


def test_paired_difference_has_a_narrow_interval_where_both_share_the_hard_frames() -> None:
    rng = np.random.default_rng(6)
    hardness = np.repeat(rng.normal(0, 5, 16), 10)
    rows = [
        pd.DataFrame({"protocol": name, "frame_id": np.arange(160), "psnr_mouth": 30 + shift + hardness + rng.normal(0, 0.1, 160)})
        for name, shift in (("head/self", 2.0), ("head/wrong_audio", 0.0))
    ]
    difference = compare_protocols(pd.concat(rows), "head/self", "head/wrong_audio", 25.0)
    low, high = difference["ci95"]["psnr_mouth"]
    assert difference["psnr_mouth"] == pytest.approx(2.0, abs=0.05) and 1.9 < low < high < 2.1
    assert compare_protocols(pd.concat(rows), "head/self", "full/self", 25.0) == {}


@pytest.mark.skipif(not (SPEAKERS / "newsreader_512.mp4").is_file(), reason="the real clips are not here")
def test_on_real_footage_a_frozen_mouth_is_told_from_a_moving_one() -> None:
    from talkhead_core.face.landmarks import LandmarksConfig, build_landmarker
    from talkhead_core.media.video_reader import read_frames

    frames = [frame for _, frame in zip(range(75), read_frames(SPEAKERS / "newsreader_512.mp4"), strict=False)]
    rows = list(build_landmarker(LandmarksConfig()).detect(frames, [[0, 75]]))
    points = np.stack([row.points for row in rows])
    lips = points[:, list(LIPS)]
    frozen = points.copy()
    frozen[:, list(LIPS)] = lips[:1] - lips[:1].mean(axis=1, keepdims=True) + lips.mean(axis=1, keepdims=True)
    moving = summarise_protocol(pd.DataFrame(landmark_columns(points, points, 512)), 25.0)
    still = summarise_protocol(pd.DataFrame(landmark_columns(points, frozen, 512)), 25.0)
    assert moving["lmd_px512"] == 0.0 and moving["mouth_opening_r"] == pytest.approx(1.0)
    assert still["lmd_px512"] > 1.0 and still["mouth_opening_sd_ratio"] < 0.2
    assert 0.15 < np.nanmedian(eye_opening(points)) < 0.5

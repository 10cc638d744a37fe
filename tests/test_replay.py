"""The recording replayed for as long as a dub lasts: poses, turns, blinks."""

import numpy as np
import pytest

from talkhead_core.errors import InputError, ParameterError
from talkhead_core.face.rotations import exp_so3, log_so3
from talkhead_core.rendering.blink_source import BlinkConfig, RecordedBlinks, add_blinks, blink_starts
from talkhead_core.rendering.pose_replay import PoseReplayConfig, longest_shot, poses_at, replay_positions, rows_at
from talkhead_core.rendering.recording_replay import RecordedHead, replay_recording

FPS = 25.0


def test_replay_keeps_to_the_longest_shot_without_gaps() -> None:
    usable = np.ones(100, bool)
    assert longest_shot([(0, 20), (20, 100)], usable) == (20, 100)
    usable[60:70] = False  # the face was gone
    assert longest_shot([(0, 20), (20, 100)], usable) == (20, 60)
    usable[:] = True
    usable[60:62] = False  # two interpolated frames break nothing
    assert longest_shot([(0, 20), (20, 100)], usable) == (20, 100)


def test_without_easing_a_mirror_plays_forwards_and_backwards() -> None:
    positions = replay_positions(10, 15, 23, PoseReplayConfig(turn_frames=0))
    assert positions[:10].tolist() == [10, 11, 12, 13, 14, 13, 12, 11, 10, 11]
    assert set(np.abs(np.diff(positions))) == {1}


@pytest.mark.parametrize("path", ["mirror", "walk"])
@pytest.mark.parametrize(("start", "end"), [(0, 1), (5, 7), (3, 9), (0, 20), (40, 300)])
def test_replay_never_jumps_nor_bounces_nor_leaves_the_shot(path, start, end) -> None:
    config = PoseReplayConfig(path=path, turn_frames=8)
    positions = replay_positions(start, end, 1000, config)
    assert len(positions) == 1000 and positions[0] == start
    assert positions.min() >= start and positions.max() <= end - 1
    speed = np.diff(positions)
    assert np.abs(speed).max() <= 1
    if end - start >= 24:  # long enough for whole turns
        assert np.abs(np.diff(speed)).max() <= 1 / 8 + 1e-9
    straight = positions[1:][np.abs(speed) == 1]
    np.testing.assert_array_equal(straight, np.round(straight))  # away from turns, frames as they were recorded


def test_a_walk_has_no_period_and_follows_its_seed() -> None:
    walks = [replay_positions(0, 200, 3000, PoseReplayConfig(path="walk", seed=seed)) for seed in (0, 0, 1)]
    np.testing.assert_array_equal(walks[0], walks[1])
    assert not np.array_equal(walks[0], walks[2])
    for lag in range(200, 1500):
        assert not np.array_equal(walks[0][:-lag], walks[0][lag:])


def test_a_shorter_dub_is_the_beginning_of_a_longer_one() -> None:
    config = PoseReplayConfig(path="walk")
    np.testing.assert_array_equal(replay_positions(0, 90, 400, config)[:150], replay_positions(0, 90, 150, config))


def test_poses_between_frames_lie_on_the_shortest_turn() -> None:
    vectors = np.array([[0, 0, 0], [0, 0.2, 0], [0.1, 0.2, 0]])
    translation = np.array([[0, 0, -60], [1, 0, -60], [1, 2, -60]], np.float32)
    rotation, moved = poses_at(exp_so3(vectors).astype(np.float32), translation, np.array([0.0, 0.25, 1.0, 2.0]))
    np.testing.assert_allclose(log_so3(rotation), [[0, 0, 0], [0, 0.05, 0], [0, 0.2, 0], [0.1, 0.2, 0]], atol=1e-6)
    np.testing.assert_allclose(moved, [[0, 0, -60], [0.25, 0, -60], [1, 0, -60], [1, 2, -60]])
    np.testing.assert_allclose(rows_at(np.arange(4.0), np.array([0.5, 3.0])), [0.5, 3.0])


def test_smoothed_poses_tremble_less_and_stay_rotations() -> None:
    random = np.random.default_rng(0)
    true = np.stack([0.3 * np.sin(np.arange(200) / 30), np.full(200, 0.5), np.zeros(200)], axis=1)
    rotation = exp_so3(true + random.normal(0, 0.01, (200, 3))).astype(np.float32)
    translation = random.normal(0, 0.1, (200, 3)).astype(np.float32)
    positions = np.arange(200.0)
    smooth, moved = poses_at(rotation, translation, positions, 7)
    np.testing.assert_allclose(smooth @ smooth.swapaxes(1, 2), np.broadcast_to(np.eye(3), (200, 3, 3)), atol=1e-5)

    def error(rotations):
        return np.linalg.norm(log_so3(exp_so3(true).swapaxes(1, 2) @ rotations), axis=1)[10:-10].mean()

    assert error(smooth) < 0.6 * error(rotation)
    assert moved.std() < 0.6 * translation.std()


def blinking_eyes(frames: int, shut: list[int]) -> np.ndarray:
    opening = np.full((frames, 2), 0.3, np.float32)
    for frame in shut:
        for offset, level in ((-2, 0.2), (-1, 0.08), (0, 0.05), (1, 0.08), (2, 0.2)):
            opening[frame + offset] = level
    return opening


def test_blinks_are_taken_out_and_put_back_elsewhere() -> None:
    opening = blinking_eyes(300, [50, 140, 230])
    brow = np.linspace(0, 1, 300, dtype=np.float32)[:, None]
    expression = np.concatenate([opening, brow], axis=1)
    found = RecordedBlinks.of(expression, opening, FPS)
    assert found.open_eyed[:, :2].min() == pytest.approx(0.3, abs=1e-5)
    np.testing.assert_allclose(found.open_eyed[:, 2:], brow, atol=1e-5)  # what is no blink stays
    assert found.per_minute == pytest.approx(15)
    blinking = add_blinks(found.open_eyed, found.course, np.array([20, 200, 297]))
    assert blinking[20 : 20 + len(found.course), 0].min() == pytest.approx(0.05, abs=0.01)
    assert np.abs(blinking[[19, 20 + len(found.course)], 0] - 0.3).max() < 1e-3
    assert blinking[80:180, 0].min() == pytest.approx(0.3, abs=1e-5)


def test_a_recording_without_a_blink_has_none_to_give() -> None:
    with pytest.raises(InputError, match="recorded"):
        RecordedBlinks.of(np.zeros((100, 2), np.float32), blinking_eyes(100, []), FPS)


def test_blinks_come_as_often_as_asked_and_never_too_close() -> None:
    starts = blink_starts(round(600 * FPS), FPS, 17.0, BlinkConfig(source="synthesised"))
    assert len(starts) == pytest.approx(170, rel=0.2)
    assert np.diff(starts).min() >= FPS - 1
    assert np.diff(starts).std() > FPS  # no metronome
    np.testing.assert_array_equal(starts, blink_starts(round(600 * FPS), FPS, 17.0, BlinkConfig(source="synthesised")))


def recorded(frames: int = 200) -> RecordedHead:
    """A still head that blinks three times in its shot, which begins after the first ten frames."""
    opening = blinking_eyes(frames, [40, 100, 160])
    return RecordedHead(
        rotation=np.tile(np.eye(3, dtype=np.float32), (frames, 1, 1)),
        translation_cm=np.tile(np.array([0, 0, -60], np.float32), (frames, 1)),
        expression=opening,
        eye_opening=opening,
        shot=(10, frames),
        fps=FPS,
    )


def test_an_hour_of_recorded_blinks_comes_from_the_replayed_frames() -> None:
    head = recorded()
    played = replay_recording(head, 90_000, PoseReplayConfig(), BlinkConfig())
    assert len(played.rotation) == len(played.expression) == 90_000
    whole = played.positions == np.round(played.positions)
    np.testing.assert_array_equal(played.expression[whole], head.expression[played.positions[whole].astype(int)])


def test_synthesised_blinks_fall_elsewhere_than_the_recorded_ones() -> None:
    played = replay_recording(recorded(), 3000, PoseReplayConfig(), BlinkConfig(source="synthesised", per_minute=20.0))
    shut = np.flatnonzero(played.expression[:, 0] < 0.1)
    assert 25 < np.sum(np.diff(shut) > 1) + 1 < 55  # in two minutes
    assert len(np.unique(np.round(played.positions[shut]))) > 30  # the recording shuts its eyes on nine frames


@pytest.mark.parametrize("wrong", [{"turn_frames": 7}, {"smoothing_frames": 2}])
def test_settings_that_cannot_be_are_refused(wrong) -> None:
    with pytest.raises(ParameterError):
        PoseReplayConfig(**wrong)
    with pytest.raises(ParameterError):
        BlinkConfig(per_minute=100.0)

"""What a dub is put together from: replayed frames, the silence gate, random access, sound and picture."""

from fractions import Fraction

import av
import numpy as np
import pytest

from benchmarks.silent_pause import Pause, edge_frames, with_pause
from talkhead_core.audio.voice_activity import voice_activity
from talkhead_core.errors import FootageError
from talkhead_core.media.audio_file import SPEECH_SAMPLE_RATE_HZ, write_audio
from talkhead_core.media.frame_access import FrameAccess
from talkhead_core.media.mux import mux
from talkhead_core.media.video_writer import VideoWriter
from talkhead_core.rendering.held_out import nearest_pose, wrong_audio_ids
from talkhead_core.rendering.silence_gate import closed_mouth_codes, fade_reach_frames, gate_weight, gated_codes


def numbered_video(path, frames: int) -> None:
    """Frame ``i`` is a grey of level ``i``."""
    with VideoWriter(path, width=32, height=32, fps=Fraction(25), encoding="near_lossless") as writer:
        for level in range(frames):
            writer.write(np.full((32, 32, 3), level, np.uint8))


def test_frames_come_back_by_id_in_any_order(tmp_path) -> None:
    numbered_video(tmp_path / "v.mkv", 200)
    order = [0, 199, 198, 150, 20, 21, 22, 19, 3, 120]
    with FrameAccess(tmp_path / "v.mkv") as frames:
        assert [int(round(frames[i].mean())) for i in order] == pytest.approx(order, abs=2)
        with pytest.raises(FootageError, match="frame 200"):
            frames[200]


def test_between_two_frames_lies_their_mix(tmp_path) -> None:
    numbered_video(tmp_path / "v.mkv", 60)
    with FrameAccess(tmp_path / "v.mkv") as frames:
        np.testing.assert_array_equal(frames.at(50.0), frames[50])
        between = np.rint(0.75 * frames[20].astype(float) + 0.25 * frames[21])
        assert np.abs(frames.at(20.25) - between).max() <= 1


def test_the_mouth_closes_in_silence_and_opens_before_speech() -> None:
    codes, closed = np.ones((60, 2), np.float32), np.zeros(2, np.float32)
    speaking = np.zeros(60, bool)
    speaking[20:40] = True
    gated = gated_codes(codes, speaking, closed, fade_frames=5)
    assert (gated[:14] == 0).all() and (gated[46:] == 0).all()
    assert (gated[20:40] > 0.99).all()
    assert np.abs(np.diff(gated[:, 0])).max() < 0.35  # fades, never snaps
    np.testing.assert_array_equal(gated_codes(codes, speaking, closed, 0)[:, 0], speaking.astype(np.float32))


@pytest.mark.parametrize("fade_frames", [0, 1, 4, 5])
def test_deep_in_a_pause_the_mouth_is_shut_and_stays_so(fade_frames: int) -> None:
    """However much noise drives it: beyond the fade nothing of it is left, not even rounding."""
    codes, closed = np.random.default_rng(0).normal(0, 10, (200, 3)).astype(np.float32), np.array([0.3, -0.2, 0.1], np.float32)
    speaking = np.ones(200, bool)
    speaking[70:120] = False
    reach = fade_reach_frames(fade_frames)
    weight = gate_weight(speaking, fade_frames)
    assert (weight[70 + reach : 120 - reach] == 0).all() and (weight[speaking] == 1).all()
    assert reach == 0 or weight[70 + reach - 1] > 0 or weight[120 - reach] > 0, "and no less"
    shut = gated_codes(codes, speaking, closed, fade_frames)[70 + reach : 120 - reach]
    np.testing.assert_array_equal(shut, np.broadcast_to(closed, shut.shape))


def test_the_pause_of_the_benchmark_counts_what_lies_inside_the_fade_only() -> None:
    time = np.arange(8 * SPEECH_SAMPLE_RATE_HZ) / SPEECH_SAMPLE_RATE_HZ
    syllables = np.clip(np.sin(2 * np.pi * 2.5 * time), 0, 1) * np.sin(2 * np.pi * 300 * time) * 0.3
    paused, begins_s = with_pause(syllables.astype(np.float32), 2.0)
    assert len(paused) == 10 * SPEECH_SAMPLE_RATE_HZ and 8 / 3 - 0.01 <= begins_s <= 16 / 3
    inside_db = 20 * np.log10(paused[int((begins_s + 0.1) * SPEECH_SAMPLE_RATE_HZ) :][:SPEECH_SAMPLE_RATE_HZ].std())
    assert inside_db == pytest.approx(-60, abs=0.5), "a room, not digital silence"
    pause = Pause(begins_s=begins_s, seconds=2.0, fps=25.0, edge_frames=edge_frames(25.0, 5))
    weight = gate_weight(voice_activity(paused, Fraction(25), 250), 5)
    inside, outside = pause.inside(250), pause.outside(250)
    assert (weight[inside] == 0).all() and inside.sum() >= 30
    assert not (inside & outside).any()


def test_the_closed_mouth_is_the_speakers_own() -> None:
    opening = np.linspace(0, 1, 50)
    codes = np.stack([opening, 1 - opening], axis=1).astype(np.float32)
    np.testing.assert_allclose(closed_mouth_codes(codes, opening), codes[:5].mean(axis=0))


def test_the_sound_of_a_dub_is_as_long_as_its_picture(tmp_path) -> None:
    numbered_video(tmp_path / "v.mp4", 50)
    time = np.arange(2 * 16000) / 16000
    write_audio(tmp_path / "a -ü.wav", 0.3 * np.sin(2 * np.pi * 220 * time))
    mux(tmp_path / "v.mp4", tmp_path / "a -ü.wav", tmp_path / "out.mp4")
    with av.open(str(tmp_path / "out.mp4")) as container:
        kinds = {stream.type: stream.codec_context.name for stream in container.streams}
        lengths = {stream.type: float(stream.duration * stream.time_base) for stream in container.streams}
    assert kinds == {"video": "h264", "audio": "aac"}
    assert lengths["video"] == pytest.approx(2.0) and lengths["audio"] == pytest.approx(2.0, abs=0.04)


def test_mux_refuses_what_is_no_sound(tmp_path) -> None:
    numbered_video(tmp_path / "v.mp4", 5)
    (tmp_path / "noise.wav").write_bytes(b"no sound")
    with pytest.raises(FootageError, match="noise.wav"):
        mux(tmp_path / "v.mp4", tmp_path / "noise.wav", tmp_path / "out.mp4")
    assert not (tmp_path / "out.mp4").exists()


def test_controls_come_from_training_frames() -> None:
    train, held_out = np.arange(100), np.arange(100, 110)
    wrong = wrong_audio_ids(held_out, train)
    assert len(wrong) == 10 and wrong.max() < 100 and (np.diff(wrong) == 1).all()
    angles = np.radians(np.arange(110) * 0.5)
    rotation = np.stack([[[np.cos(a), 0, np.sin(a)], [0, 1, 0], [-np.sin(a), 0, np.cos(a)]] for a in angles]).astype(np.float32)
    translation = np.zeros((110, 3), np.float32)
    assert nearest_pose(rotation, translation, 105, train) == 99
    rotation[105] = rotation[42]
    assert nearest_pose(rotation, translation, 105, train) == 42

"""Another speaker's speech, dressed as the training speaker's: loudness, mean, spread and range."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from talkhead_core.audio.features import (
    ChannelStatistics,
    DrivingFeatures,
    TrainingStatistics,
    channel_statistics,
    driving_features,
    normalise,
    normalise_to,
)
from talkhead_core.audio.features.log_mel import LogMel
from talkhead_core.audio.loudness import normalise_loudness
from talkhead_core.audio.voice_activity import speech_levels, voice_activity
from talkhead_core.media.audio_file import read_audio
from tests.made_sounds import babble

DATA = Path(__file__).parents[1].parent / "shared" / "data"
needs_data = pytest.mark.skipif(not DATA.exists(), reason=f"no test recordings at {DATA}")


def test_statistics_of_another_speaker_are_taken_to_the_training_speakers() -> None:
    rng = np.random.default_rng(0)
    own = ChannelStatistics(mean=rng.normal(size=5), std=rng.uniform(0.8, 1.2, 5))
    training = ChannelStatistics(mean=rng.normal(size=5), std=rng.uniform(0.8, 1.2, 5))
    features = rng.normal(size=(1000, 3, 5)) * own.std + own.mean
    moved = channel_statistics(normalise_to(features, own, training))
    np.testing.assert_allclose(moved.mean, training.mean, atol=0.06)
    np.testing.assert_allclose(moved.std, training.std, rtol=0.06)


def training_statistics(audio: np.ndarray) -> tuple[TrainingStatistics, np.ndarray]:
    raw = LogMel(window=24).extract(normalise_loudness(audio), Fraction(25), len(audio) // 640)
    statistics = TrainingStatistics(removed=channel_statistics(raw), speech=channel_statistics(raw))
    return statistics, normalise(raw, statistics.removed)


@pytest.mark.parametrize("gain_db", [-30.0, -12.0, 6.0])
def test_driving_features_do_not_depend_on_loudness(gain_db: float) -> None:
    training, _ = training_statistics(babble(10.0))
    audio = babble(6.0, seed=5)
    plain = driving_features(audio, Fraction(25), 150, LogMel(window=24), training)
    scaled = driving_features((audio * 10 ** (gain_db / 20)).astype(np.float32), Fraction(25), 150, LogMel(window=24), training)
    np.testing.assert_allclose(scaled, plain, atol=0.05)


def test_long_speech_is_made_in_parts_and_comes_out_the_same() -> None:
    training, _ = training_statistics(babble(10.0))
    audio = np.concatenate([babble(20.0, seed=7), np.zeros(16000, np.float32), 0.3 * babble(10.0, seed=8)])
    given = (audio, Fraction(25), 775, LogMel(window=24), training)
    kept, made_twice = DrivingFeatures(*given), DrivingFeatures(*given, most_kept_bytes=0)
    assert len(made_twice) == 775 and not len(made_twice._kept)
    np.testing.assert_array_equal(kept[:], np.concatenate([made_twice[:100], made_twice[100:613], made_twice[613:2000]]))
    active = voice_activity(audio, Fraction(25), 775)
    raw = LogMel(window=24).extract(normalise_loudness(audio), Fraction(25), 775)
    own = channel_statistics(raw, active)
    weight = active.sum() / (active.sum() + 50)
    for name in ("mean", "std"):
        expected = weight * getattr(own, name) + (1 - weight) * getattr(training.speech, name)
        np.testing.assert_allclose(getattr(kept._own, name), expected, rtol=1e-4, atol=1e-4)


def test_loudness_reaches_the_wanted_level_and_leaves_silence_alone() -> None:
    assert speech_levels([normalise_loudness(babble(6.0))]).speech_dbfs == pytest.approx(-26.0, abs=0.5)
    silence = np.zeros(16000, dtype=np.float32)
    np.testing.assert_array_equal(normalise_loudness(silence), silence)


@needs_data
def test_another_voice_fills_the_training_speakers_range() -> None:
    ours = read_audio(DATA / "speakers" / "newsreader_512.mp4")
    training, features = training_statistics(ours)
    theirs = read_audio(DATA / "audio" / "jfk.flac")
    frames = len(theirs) * 25 // 16000
    raw = normalise(LogMel(window=24).extract(theirs, Fraction(25), frames), training.removed)
    driven = driving_features(theirs, Fraction(25), frames, LogMel(window=24), training)

    def distance(x: np.ndarray) -> float:
        shift = x.mean(axis=(0, 1)) - features.mean(axis=(0, 1))
        return float(np.sqrt(np.mean(shift**2)))

    assert distance(driven) < 0.5 * distance(raw)
    assert np.abs(driven).max() < 8

"""Speech features: contract of every back end, exact alignment with frames, another speaker's voice."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import librosa
import numpy as np
import pytest
from safetensors.numpy import load_file

from talkhead_core.artifacts import write_json
from talkhead_core.audio.features import (
    FEATURES,
    ChannelStatistics,
    SpeechFeaturesConfig,
    TrainingStatistics,
    channel_statistics,
    create_features,
    driving_features,
    normalise,
    normalise_to,
)
from talkhead_core.audio.features.log_mel import LogMel, log_mel_columns
from talkhead_core.audio.loudness import normalise_loudness
from talkhead_core.audio.voice_activity import speech_levels
from talkhead_core.errors import ParameterError
from talkhead_core.media.audio_file import read_audio, write_audio
from tasks import speech_features
from tasks.stage import Stage

DATA = Path(__file__).parents[1].parent / "shared" / "data"
needs_data = pytest.mark.skipif(not DATA.exists(), reason=f"no test recordings at {DATA}")
RATES = [Fraction(25), Fraction(30), Fraction(30000, 1001), Fraction(24000, 1001), Fraction(50)]


def noise(seconds: float, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.05, int(16000 * seconds)).astype(np.float32)


def babble(seconds: float, seed: int = 0) -> np.ndarray:
    """Noise bursts of four syllables a second with pauses, over a faint background."""
    samples = int(16000 * seconds)
    t = np.arange(samples) / 16000
    envelope = np.clip(np.sin(2 * np.pi * 2 * t), 0, None) * (np.sin(2 * np.pi * 0.25 * t) > -0.5)
    return (noise(seconds, seed) * envelope + 0.01 * noise(seconds, seed + 1)).astype(np.float32)


@pytest.mark.parametrize("method", FEATURES.names())
@pytest.mark.parametrize("fps", [Fraction(25), Fraction(30000, 1001)])
def test_every_feature_keeps_the_contract(method: str, fps: Fraction) -> None:
    extractor = create_features(SpeechFeaturesConfig(method=method, window=16))
    audio = noise(2.0)
    frames = int(2 * fps)
    features = extractor.extract(audio, fps, frames)
    assert features.shape == (frames, 16, extractor.channels)
    assert features.dtype == np.float32
    assert np.isfinite(features).all()
    part = extractor.extract(audio, fps, 7, first_frame=11)
    np.testing.assert_allclose(part, features[11:18], atol=1e-4)
    blocks = list(extractor.blocks(np.tile(audio, 15), fps, int(30 * fps)))
    assert len(blocks) > 1
    assert max(len(block) for block in blocks) <= 512
    np.testing.assert_allclose(blocks[0][:20], features[:20], atol=1e-4)


@pytest.mark.parametrize("method", FEATURES.names())
def test_silence_and_frames_beyond_the_audio_are_finite(method: str) -> None:
    extractor = create_features(SpeechFeaturesConfig(method=method))
    features = extractor.extract(np.zeros(1600, dtype=np.float32), Fraction(25), 50)
    assert np.isfinite(features).all()
    np.testing.assert_allclose(features[-1], features[0], atol=1e-6)
    assert np.isfinite(extractor.extract(np.zeros(0, dtype=np.float32), Fraction(25), 3)).all()


@pytest.mark.parametrize("fps", RATES)
def test_a_click_is_in_the_middle_of_its_own_frame_and_leaves_distant_frames_alone(fps: Fraction) -> None:
    extractor = LogMel(window=24)
    silence = extractor.extract(np.zeros(32000, dtype=np.float32), fps, int(2 * fps))
    offsets_ms = (np.arange(24) - 11.5) * 10
    rng = np.random.default_rng(int(fps * 1001))
    for sample in rng.integers(8000, 24000, 40):
        audio = np.zeros(32000, dtype=np.float32)
        audio[sample] = 1.0
        features = extractor.extract(audio, fps, int(2 * fps))
        energy = np.exp(features).sum(axis=2) - np.exp(silence).sum(axis=2)
        centre_ms = (energy @ offsets_ms) / np.maximum(energy.sum(axis=1), 1e-12)
        whole = energy.sum(axis=1) > 0.5 * energy.sum(axis=1).max()
        nearest = np.flatnonzero(whole)[np.argmin(np.abs(centre_ms[whole]))]
        time_s = (sample + 0.5) / 16000
        assert nearest == int(time_s * fps), f"click at {time_s:.4f} s"
        # the centroid of the energy tells the click's time to the millisecond
        assert centre_ms[nearest] / 1000 + (nearest + 0.5) / float(fps) == pytest.approx(time_s, abs=1.5e-3)
        reach_s = 0.12 + 0.0125
        for frame in range(int(2 * fps)):
            if abs((frame + 0.5) / float(fps) - time_s) > reach_s:
                np.testing.assert_array_equal(features[frame], silence[frame])


def test_neighbouring_windows_share_columns_at_25_fps() -> None:
    features = LogMel(window=24).extract(noise(1.0), Fraction(25), 25)
    np.testing.assert_allclose(features[10, 4:], features[11, :-4], atol=1e-5)


def test_log_mel_equals_librosa() -> None:
    audio = noise(1.0)
    expected = librosa.feature.melspectrogram(
        y=audio,
        sr=16000,
        n_fft=512,
        win_length=400,
        hop_length=160,
        n_mels=80,
        fmin=55,
        fmax=7600,
        norm=None,
        center=True,
        pad_mode="constant",
    )
    filters = librosa.filters.mel(sr=16000, n_fft=512, n_mels=80, fmin=55, fmax=7600, norm=None)
    window_power = np.sum(librosa.filters.get_window("hann", 400) ** 2)
    expected = np.log(expected.T / filters.sum(axis=1) / window_power + 1e-5)
    segments = np.lib.stride_tricks.sliding_window_view(np.pad(audio, 200), 400)[::160]
    np.testing.assert_allclose(log_mel_columns(segments), expected[: len(segments)], atol=1e-3)


def test_normalised_features_have_zero_mean_and_unit_variance() -> None:
    raw = LogMel(window=8).extract(babble(8.0), Fraction(25), 200)
    features = normalise(raw, channel_statistics(raw))
    np.testing.assert_allclose(features.mean(axis=(0, 1)), 0, atol=1e-3)
    np.testing.assert_allclose(features.std(axis=(0, 1)), 1, atol=1e-3)


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


@pytest.mark.parametrize("method", FEATURES.names())
def test_the_stage_writes_rows_by_frame_id(tmp_path: Path, method: str) -> None:
    (tmp_path / "params.yaml").write_text(f"speech_features: {{method: {method}}}\nprofiles: {{p: {{}}}}\nconfigs: {{c: {{}}}}\n")
    (tmp_path / "speakers.yaml").write_text("speakers: {anna: {video: v.mp4, profile: p, config: c}}\n")
    folder = tmp_path / "data" / "anna"
    write_json(folder / "ingest" / "ingest.json", {"clip": {"fps": "25/1", "frames": 75}})
    write_audio(folder / "denoise" / "audio.wav", babble(3.0))
    speech_features.run(Stage(name="speech_features", speaker="anna", root=tmp_path))
    arrays = load_file(folder / "speech_features" / "features.safetensors")
    np.testing.assert_array_equal(arrays["frame_id"], np.arange(75))
    assert arrays["features"].shape[:2] == (75, 24)
    channels = arrays["features"].shape[2]
    for name in ("channel_mean", "channel_std", "speech_mean", "speech_std"):
        assert arrays[name].shape == (channels,)
    raw = create_features(SpeechFeaturesConfig(method=method)).extract(
        normalise_loudness(read_audio(folder / "denoise" / "audio.wav")), Fraction(25), 75
    )
    np.testing.assert_allclose(arrays["features"] * arrays["channel_std"] + arrays["channel_mean"], raw, atol=1e-3)


def test_an_unknown_feature_names_the_nearest() -> None:
    with pytest.raises(ParameterError, match="log_mel"):
        SpeechFeaturesConfig(method="log-mel")

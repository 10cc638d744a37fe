"""Speech features: contract of every back end, exact alignment with frames, the stage."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import librosa
import numpy as np
import pytest
import yaml
from safetensors.numpy import load_file

from talkhead_core.artifacts import write_json
from talkhead_core.audio.features import (
    FEATURES,
    SpeechFeaturesConfig,
    channel_groups,
    channel_statistics,
    create_features,
    normalise,
)
from talkhead_core.audio.features.log_mel import LogMel, log_mel_columns
from talkhead_core.audio.loudness import normalise_loudness
from talkhead_core.errors import InputError, ParameterError
from talkhead_core.media.audio_file import read_audio, write_audio
from tasks import speech_features
from tasks.driving_speech import driving_speech
from tasks.speaker_data import load_channel_groups
from tasks.stage import Stage
from tests.made_sounds import babble, noise
from tests.official_weights import write_feature_weights

DATA = Path(__file__).parents[1].parent / "shared" / "data"
needs_data = pytest.mark.skipif(not DATA.exists(), reason=f"no test recordings at {DATA}")
RATES = [Fraction(25), Fraction(30), Fraction(30000, 1001), Fraction(24000, 1001), Fraction(50)]


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return write_feature_weights(tmp_path_factory.mktemp("weights"))


@pytest.fixture(scope="module")
def local_weights(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return write_feature_weights(tmp_path_factory.mktemp("local_weights"), local=True)


@pytest.mark.parametrize("method", FEATURES.names())
@pytest.mark.parametrize("fps", [Fraction(25), Fraction(30000, 1001)])
def test_every_feature_keeps_the_contract(method: str, fps: Fraction, weights: dict[str, str]) -> None:
    window = 2 if method == "ave" else 16
    extractor = create_features(SpeechFeaturesConfig(method=method, window=window, weights=weights.get(method)))
    audio = noise(2.0)
    frames = int(2 * fps)
    features = extractor.extract(audio, fps, frames)
    assert features.shape == (frames, window, extractor.channels)
    assert features.dtype == np.float32
    assert np.isfinite(features).all()
    part = extractor.extract(audio, fps, 7, first_frame=11)
    np.testing.assert_allclose(part, features[11:18], atol=1e-4)
    long = np.tile(audio, 12)
    blocks = list(extractor.blocks(long, fps, int(24 * fps)))
    assert len(blocks) > 1
    assert max(len(block) for block in blocks) <= 512
    np.testing.assert_allclose(blocks[0][:20], extractor.extract(long, fps, 20), atol=1e-4)
    np.testing.assert_allclose(blocks[1][:5], extractor.extract(long, fps, 5, first_frame=512), atol=1e-4)


@pytest.mark.parametrize("method", FEATURES.names())
def test_silence_and_frames_beyond_the_audio_are_finite(method: str, weights: dict[str, str]) -> None:
    extractor = create_features(SpeechFeaturesConfig(method=method, weights=weights.get(method)))
    features = extractor.extract(np.zeros(1600, dtype=np.float32), Fraction(25), 50)
    assert np.isfinite(features).all()
    # a recurrent network takes a while to settle
    np.testing.assert_allclose(features[-1], features[0], atol=1e-3 if method == "deepspeech" else 1e-5)
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


@pytest.mark.parametrize("method", FEATURES.names())
@pytest.mark.parametrize("fps", [Fraction(25), Fraction(30000, 1001), Fraction(24)])
def test_a_click_moves_the_features_around_its_own_frame_and_no_others(method: str, fps: Fraction, local_weights: dict[str, str]) -> None:
    """Of networks that listen around a column the part that does not: where a column lies is what is tested."""
    window = 1 if method == "ave" else 4
    extractor = create_features(SpeechFeaturesConfig(method=method, window=window, weights=local_weights.get(method)))
    # what one column sees on either side: mel 12.5 ms and differences of +-4 columns, 12.5 ms, DeepSpeech's 9 more columns, 100 ms,
    # the embedding's 20 mel columns
    wide = {"mfcc": 0.0525, "deepspeech": 0.0125 + 0.18, "ave": 0.12, "speech_embedding": 0.0125 + 0.2}
    column_s = wide.get(method, 0.0125)
    reach_s = window / 2 / extractor.columns_per_second + column_s + 0.02  # 20 ms: interpolation between two columns
    frames = int(2.5 * fps)
    middles_s = (np.arange(frames) + 0.5) / float(fps)

    def clicked(at: int, not_at: int) -> np.ndarray:
        """Always with one click and one gap, so that the recording's statistics are the same."""
        audio = noise(3.0)
        audio[not_at : not_at + 8] = 0
        audio[at : at + 8] = 0.5 * np.array([1, -1, 1, -1, 1, -1, 1, -1], np.float32)
        return extractor.extract(audio, fps, frames)

    offsets = []
    for sample in np.random.default_rng(int(fps)).integers(16000, 32000, 6):
        moved = np.abs(clicked(sample, 47_500) - clicked(47_500, sample)).mean(axis=(1, 2))
        time_s = (sample + 4) / 16000
        near = np.abs(middles_s - time_s) <= reach_s
        if method == "deepspeech":  # its statistics are of cepstra, and a click between two columns is not one upon a column
            assert (moved[near] ** 2).sum() > 0.97 * (moved**2).sum()
            moved = np.where(near, moved, 0)
        else:
            assert moved[~near].max() <= 1e-3 * moved.max()
            moved = np.where(moved < 1e-3 * moved.max(), 0, moved)
        assert moved[int(time_s * fps)] > 0
        offsets.append((moved @ middles_s) / moved.sum() - time_s)
    # what the embedding hears lies around a column's middle, but it learned to listen more to the later half of it
    tolerance_s = {"deepspeech": 0.025, "speech_embedding": 0.05}.get(method, 0.01)
    assert abs(np.mean(offsets)) < tolerance_s, "no feature runs ahead of the sound or behind it"


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


@pytest.mark.parametrize("method", FEATURES.names())
def test_the_stage_writes_rows_by_frame_id(tmp_path: Path, method: str, weights: dict[str, str]) -> None:
    section = {"method": method, "weights": weights.get(method)}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump({"speech_features": section, "profiles": {"p": {}}, "configs": {"c": {}}}))
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
    raw = create_features(SpeechFeaturesConfig(method=method, weights=weights.get(method))).extract(
        normalise_loudness(read_audio(folder / "denoise" / "audio.wav")), Fraction(25), 75
    )
    np.testing.assert_allclose(arrays["features"] * arrays["channel_std"] + arrays["channel_mean"], raw, atol=1e-3)


def test_a_speaker_trained_on_other_features_is_refused_by_name(tmp_path: Path) -> None:
    def stage(method: str) -> Stage:
        parameters = {"speech_features": {"method": method}, "profiles": {"p": {}}, "configs": {"c": {}}}
        (tmp_path / "params.yaml").write_text(yaml.safe_dump(parameters))
        return Stage(name="speech_features", speaker="anna", root=tmp_path)

    (tmp_path / "speakers.yaml").write_text("speakers: {anna: {video: v.mp4, profile: p, config: c}}\n")
    write_json(tmp_path / "data" / "anna" / "ingest" / "ingest.json", {"clip": {"fps": "25/1", "frames": 75}})
    write_audio(tmp_path / "data" / "anna" / "denoise" / "audio.wav", babble(3.0))
    speech_features.run(stage("log_mel"))
    path = tmp_path / "data" / "anna" / "speech_features" / "features.safetensors"
    assert load_channel_groups(path) == (80,)
    assert driving_speech(stage("log_mel"))[0].channels == 80
    with pytest.raises(InputError, match=r"anna was trained on windows of 24 columns and 80 channels.*talkhead run --speaker anna"):
        driving_speech(stage("log_mel+speech_embedding"))
    speech_features.run(stage("log_mel+speech_embedding"))
    assert load_channel_groups(path) == (80, 96)


@pytest.mark.parametrize("fps", [Fraction(25), Fraction(30000, 1001)])
def test_joined_features_are_each_of_them_and_slower_columns_are_repeated(fps: Fraction) -> None:
    joined = create_features(SpeechFeaturesConfig(method="log_mel+speech_embedding", window=24))
    assert channel_groups(joined) == (80, 96)
    assert (joined.window, joined.channels, joined.columns_per_second) == (24, 176, 100)
    audio = babble(2.0)
    features = joined.extract(audio, fps, 40)
    alone = create_features(SpeechFeaturesConfig(method="speech_embedding", window=12)).extract(audio, fps, 40)
    np.testing.assert_array_equal(features[..., :80], LogMel(window=24).extract(audio, fps, 40))
    np.testing.assert_array_equal(features[:, ::2, 80:], alone)
    np.testing.assert_array_equal(features[:, 1::2, 80:], alone)


@pytest.mark.parametrize(
    ("method", "window", "said"),
    [
        ("log_mel+speech_embeding", 24, "no speech feature called 'speech_embeding'"),
        ("log_mel+log_mel", 24, "names a speech feature twice"),
        ("log_mel+speech_embedding", 15, "make window a multiple of 2"),
    ],
)
def test_features_that_do_not_join_say_why(method: str, window: int, said: str) -> None:
    with pytest.raises(ParameterError, match=said):
        create_features(SpeechFeaturesConfig(method=method, window=window))


def test_an_unknown_feature_names_the_nearest() -> None:
    with pytest.raises(ParameterError, match="log_mel"):
        SpeechFeaturesConfig(method="log-mel")

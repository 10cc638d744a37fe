"""Speech features: contract of every back end, exact alignment with frames, another speaker's voice."""

from __future__ import annotations

import zipfile
from fractions import Fraction
from pathlib import Path

import librosa
import numpy as np
import pytest
import scipy.signal
import torch
import yaml
from safetensors.numpy import load_file
from safetensors.torch import save_file

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
from talkhead_core.audio.features.audio_visual_encoder import AudioVisualNetwork, encoder_mel
from talkhead_core.audio.features.deepspeech_network import DeepSpeechNetwork, tensors_of_graph
from talkhead_core.audio.features.log_mel import LogMel, log_mel_columns
from talkhead_core.audio.features.speech_cepstra import speech_cepstra
from talkhead_core.audio.features.wav2vec2_network import Wav2Vec2Network, official_tensors, size_of
from talkhead_core.audio.loudness import normalise_loudness
from talkhead_core.audio.voice_activity import speech_levels
from talkhead_core.errors import NotAvailableError, ParameterError
from talkhead_core.media.audio_file import read_audio, write_audio
from talkhead_core.weights.frozen_graph import frozen_constants
from tasks import speech_features
from tasks.stage import Stage
from tests.official_weights import deepspeech_constants, randomised, wav2vec2_state, write_feature_weights, write_frozen_graph

DATA = Path(__file__).parents[1].parent / "shared" / "data"
needs_data = pytest.mark.skipif(not DATA.exists(), reason=f"no test recordings at {DATA}")
RATES = [Fraction(25), Fraction(30), Fraction(30000, 1001), Fraction(24000, 1001), Fraction(50)]


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return write_feature_weights(tmp_path_factory.mktemp("weights"))


@pytest.fixture(scope="module")
def local_weights(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return write_feature_weights(tmp_path_factory.mktemp("local_weights"), local=True)


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
    # what one column sees on either side: mel 12.5 ms and differences of +-4 columns, 12.5 ms, DeepSpeech's 9 more columns, 100 ms
    column_s = {"log_mel": 0.0125, "mfcc": 0.0525, "deepspeech": 0.0125 + 0.18, "ave": 0.12}.get(method, 0.0125)
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
    assert abs(np.mean(offsets)) < (0.025 if method == "deepspeech" else 0.01), "no feature runs ahead of the sound or behind it"


@pytest.mark.parametrize("method", ["hubert", "wav2vec2", "deepspeech", "ave"])
def test_without_weights_a_feature_says_what_to_run(method: str, tmp_path: Path) -> None:
    for wrong in (None, str(tmp_path)):
        with pytest.raises(NotAvailableError, match=f"talkhead models pull {method}"):
            create_features(SpeechFeaturesConfig(method=method, weights=wrong))
    file = tmp_path / "something.bin"
    for content in (b"not a model", b""):
        file.write_bytes(content)
        with pytest.raises(NotAvailableError, match=f"talkhead models pull {method}"):
            create_features(SpeechFeaturesConfig(method=method, weights=str(file)))
    torch.save({"some.weight": torch.zeros(3)}, file)
    with pytest.raises(NotAvailableError, match=f"talkhead models pull {method}"):
        create_features(SpeechFeaturesConfig(method=method, weights=str(file)))


@pytest.mark.parametrize(
    ("family", "large", "letters", "expected"),
    [
        ("hubert", True, 0, [0.41014415, -0.17910340, -1.71452332, 0.50748408]),
        ("hubert", False, 0, [-1.19506359, 0.10746735, -1.54490566, -0.95962834]),
        ("wav2vec2", True, 44, [-0.75002110, 0.92325854, 0.56088579, -1.08941376]),
        ("wav2vec2", False, 44, [0.59750801, 0.39566970, -0.29305848, -1.02888787]),
    ],
)
def test_wav2vec2_computes_what_transformers_5_23_computes(family: str, large: bool, letters: int, expected: list[float]) -> None:
    tensors = official_tensors(wav2vec2_state(family, large=large, letters=letters), letters=bool(letters))
    network = Wav2Vec2Network(size_of(tensors))
    network.load_state_dict(tensors)
    sound = torch.from_numpy(np.random.default_rng(3).normal(0, 1, (1, 8000)).astype(np.float32))
    output = network(sound)
    assert output.shape == (1, 24, letters or 128)
    np.testing.assert_allclose(output[0, 10, :4], expected, atol=2e-5)


def test_newer_names_of_the_position_weights_are_the_same_network(tmp_path: Path) -> None:
    state = wav2vec2_state("hubert", large=True)
    renamed = {
        name.replace("conv.weight_g", "conv.parametrizations.weight.original0").replace(
            "conv.weight_v", "conv.parametrizations.weight.original1"
        ): value
        for name, value in state.items()
    }
    assert set(renamed) != set(state)
    first, second = official_tensors(state, letters=False), official_tensors(renamed, letters=False)
    assert set(first) == set(second) and all(torch.equal(first[name], second[name]) for name in first)
    save_file(renamed, tmp_path / "model.safetensors")
    assert create_features(SpeechFeaturesConfig(method="hubert", window=2, weights=str(tmp_path))).channels == 128


def test_cepstra_are_those_of_python_speech_features() -> None:
    sound = np.round(np.random.default_rng(0).normal(0, 0.1, 16000).astype(np.float32) * 32767).astype(np.int16) / np.float32(32768)
    segments = np.stack([np.concatenate([[sound[start - 1]], sound[start : start + 400]]) for start in (960, 1920)])
    cepstra = speech_cepstra(segments)
    # python_speech_features 0.6: mfcc(signal, 16000, numcep=26), rows 6 and 12
    np.testing.assert_allclose(cepstra[0, :6], [22.188479, -34.537926, -6.115474, -10.793895, -3.175497, 3.420556], atol=2e-5)
    np.testing.assert_allclose(cepstra[1, 20:], [1.373620, 1.554264, -0.206533, 0.167201, -0.037966, 0.554894], atol=2e-5)


def test_deepspeech_computes_its_graph() -> None:
    """Against TensorFlow's definition of ``BasicLSTMCell``, step by step."""
    constants = deepspeech_constants()
    tensors = tensors_of_graph({f"deepspeech/{name}": array for name, array in constants.items()})
    network = DeepSpeechNetwork(inputs=494, hidden=24, cell=20, letters=29)
    network.load_state_dict(tensors)
    windows = np.random.default_rng(0).normal(0, 1, (12, 494)).astype(np.float32)
    x = windows
    for layer in "123":
        x = np.clip(x @ constants[f"h{layer}"] + constants[f"b{layer}"], 0, 20)

    def sigmoid(value: np.ndarray) -> np.ndarray:
        return 1 / (1 + np.exp(-value))

    heard = []
    for way, order in (("fw", range(12)), ("bw", range(11, -1, -1))):
        kernel, bias = (constants[f"bidirectional_rnn/{way}/basic_lstm_cell/{part}"] for part in ("kernel", "bias"))
        state, output, rows = np.zeros(20), np.zeros(20), np.zeros((12, 20))
        for step in order:
            entry, candidate, forget, out = np.split(np.concatenate([x[step], output]) @ kernel + bias, 4)
            state = state * sigmoid(forget + 1) + sigmoid(entry) * np.tanh(candidate)
            output = np.tanh(state) * sigmoid(out)
            rows[step] = output
        heard.append(rows)
    expected = np.clip(np.concatenate(heard, axis=1) @ constants["h5"] + constants["b5"], 0, 20) @ constants["h6"] + constants["b6"]
    np.testing.assert_allclose(network(torch.from_numpy(windows)), expected, atol=1e-3)


@pytest.mark.parametrize("archive", [False, True])
def test_a_frozen_graph_is_read_without_tensorflow(tmp_path: Path, archive: bool) -> None:
    constants = {
        "a/weights": np.arange(6, dtype=np.float32).reshape(2, 3),
        "same": np.full((2, 2), 3.5, np.float32),
        "one": np.float32([2]),
    }
    path = tmp_path / "graph.pb"
    write_frozen_graph(path, constants)
    if archive:
        with zipfile.ZipFile(tmp_path / "graph.zip", "w", zipfile.ZIP_DEFLATED) as file:
            file.write(path, "inside/graph.pb")
        path = tmp_path / "graph.zip"
    read = frozen_constants(path)
    assert set(read) == set(constants)
    for name, array in constants.items():
        np.testing.assert_array_equal(read[name], array)
    if not archive:
        path.write_bytes(path.read_bytes()[:-40])
        with pytest.raises(ValueError, match="cut short"):
            frozen_constants(path)


def test_the_encoders_mel_is_that_of_its_authors_on_librosa() -> None:
    audio = noise(1.0)
    start, first = 3000, 3000 - 1
    segment = audio[first : first + 3801]
    emphasised = scipy.signal.lfilter([1, -0.97], [1], audio)[start : start + 3800]
    spectrum = np.abs(librosa.stft(emphasised, n_fft=800, hop_length=200, win_length=800, center=False))
    mel = librosa.filters.mel(sr=16000, n_fft=800, n_mels=80, fmin=55, fmax=7600) @ spectrum
    decibels = 20 * np.log10(np.maximum(np.exp(-5 * np.log(10)), mel)) - 20
    expected = np.clip(8 * ((decibels + 100) / 100) - 4, -4, 4)
    np.testing.assert_allclose(encoder_mel(segment[None])[0], expected, atol=1e-4)


def test_the_encoder_computes_its_layers() -> None:
    network = AudioVisualNetwork()
    state = randomised(network)
    network.load_state_dict(state)
    mel = torch.from_numpy(np.random.default_rng(0).normal(0, 1, (2, 1, 80, 16)).astype(np.float32))
    x = mel
    strides = [1, 1, 1, (3, 1), 1, 1, 3, 1, 1, (3, 2), 1, 1, 1]
    for index, stride in enumerate(strides):
        layer = f"audio_encoder.{index}.conv_block"
        weight = state[f"{layer}.0.weight"]
        y = torch.nn.functional.conv2d(x, weight, state[f"{layer}.0.bias"], stride, 0 if index > 10 else 1)
        scale = state[f"{layer}.1.weight"] / torch.sqrt(state[f"{layer}.1.running_var"] + 1e-5)
        y = (y - state[f"{layer}.1.running_mean"][:, None, None]) * scale[:, None, None] + state[f"{layer}.1.bias"][:, None, None]
        residual = y.shape == x.shape and index < 11
        x = torch.relu(y + x if residual else y)
    assert x.shape == (2, 512, 1, 1)
    np.testing.assert_allclose(network(mel), x.flatten(1), rtol=1e-4, atol=1e-4)


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


def test_an_unknown_feature_names_the_nearest() -> None:
    with pytest.raises(ParameterError, match="log_mel"):
        SpeechFeaturesConfig(method="log-mel")

"""Speech features with official weights: the networks against other implementations, and the files they are read from."""

from __future__ import annotations

import zipfile
from pathlib import Path

import librosa
import numpy as np
import pytest
import scipy.signal
import torch
from safetensors.torch import save_file

from talkhead_core.audio.features import (
    SpeechFeaturesConfig,
    create_features,
)
from talkhead_core.audio.features.audio_visual_encoder import AudioVisualNetwork, encoder_mel
from talkhead_core.audio.features.deepspeech_network import DeepSpeechNetwork, tensors_of_graph
from talkhead_core.audio.features.speech_cepstra import speech_cepstra
from talkhead_core.audio.features.wav2vec2_network import Wav2Vec2Network, official_tensors, size_of
from talkhead_core.errors import NotAvailableError
from talkhead_core.weights.frozen_graph import frozen_constants
from tests.made_sounds import noise
from tests.official_weights import deepspeech_constants, randomised, wav2vec2_state, write_frozen_graph


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

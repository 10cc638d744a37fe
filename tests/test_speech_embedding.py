"""Google's speech embedding: the official file's own graph, its frontend, what is missing."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from talkhead_core.audio.features import SpeechFeaturesConfig, create_features, speech_embedding
from talkhead_core.audio.features.speech_embedding import EMBEDDING_FILE, EmbeddingNetwork, embedding_mel
from talkhead_core.errors import NotAvailableError
from tests.made_sounds import babble


@pytest.fixture(scope="module")
def official() -> Path:
    package = importlib.util.find_spec("openwakeword")
    assert package is not None and package.origin is not None
    return Path(package.origin).parent / "resources" / "models" / EMBEDDING_FILE


@pytest.fixture(scope="module")
def mel() -> np.ndarray:
    return embedding_mel(np.lib.stride_tricks.sliding_window_view(babble(4.0), 400)[::160])


def test_the_network_says_what_the_official_graph_says(official: Path, mel: np.ndarray) -> None:
    """OpenCV runs the whole graph on 76 columns; what is taken here is its fourth pooling."""
    windows = np.stack([mel[start : start + 76] for start in range(0, 300, 50)])
    graph = cv2.dnn.readNetFromONNX(str(official))
    graph.setInput(np.ascontiguousarray(windows)[..., None])
    expected = graph.forward("onnx_node!model/max_pooling2d_3/MaxPool").mean(axis=3).transpose(0, 2, 1)
    with torch.inference_mode():
        found = EmbeddingNetwork.load(official)(torch.from_numpy(windows)).numpy()
    assert found.shape == (6, 10, 96) and expected.std() > 0.3
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_mel_is_what_the_network_was_trained_on(official: Path) -> None:
    """The package brings its frontend as a graph, too, which begins and ends with whole pieces of 512 samples around the same 400."""
    import onnxruntime  # elsewhere nothing loads it

    audio = babble(2.0)
    graph = onnxruntime.InferenceSession(str(official.with_name("melspectrogram.onnx")))
    expected = graph.run(None, {"input": (audio * 32768)[None].astype(np.float32)})[0].squeeze() / 10 + 2
    found = embedding_mel(np.lib.stride_tricks.sliding_window_view(audio[56:], 400)[::160])[: len(expected)]
    loud = expected > 4.5  # both cut what is 80 dB below the loudest, it of the recording, we of speech
    assert loud.mean() > 0.5
    np.testing.assert_allclose(found[loud], expected[loud], atol=1e-3)


def test_columns_do_not_depend_on_where_a_chunk_begins() -> None:
    extractor = create_features(SpeechFeaturesConfig(method="speech_embedding", window=12))
    audio = babble(12.0)
    whole = extractor.extract(audio, Fraction(25), 300)
    np.testing.assert_allclose(extractor.extract(audio[16000:], Fraction(25), 275)[20:-20], whole[45:-20], atol=1e-4)


def test_finding_the_weights_runs_nothing_of_the_package() -> None:
    program = (
        "import sys; from talkhead_core.audio.features import SpeechFeaturesConfig, create_features; "
        "create_features(SpeechFeaturesConfig(method='speech_embedding')); "
        "sys.exit(any(name in sys.modules for name in ('onnxruntime', 'openwakeword')))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_what_is_missing_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(NotAvailableError, match="nowhere.onnx"):
        create_features(SpeechFeaturesConfig(method="speech_embedding", weights=str(tmp_path / "nowhere.onnx")))
    for content in (b"not a graph", b""):
        (tmp_path / EMBEDDING_FILE).write_bytes(content)
        with pytest.raises(NotAvailableError, match=EMBEDDING_FILE):
            create_features(SpeechFeaturesConfig(method="speech_embedding", weights=str(tmp_path)))
    monkeypatch.setattr(speech_embedding, "find_spec", lambda name: None)
    with pytest.raises(NotAvailableError, match="pip install openwakeword"):
        create_features(SpeechFeaturesConfig(method="speech_embedding"))


def test_another_network_is_refused(official: Path, tmp_path: Path) -> None:
    (tmp_path / EMBEDDING_FILE).write_bytes(official.with_name("melspectrogram.onnx").read_bytes())
    with pytest.raises(NotAvailableError, match="is not Google's speech embedding"):
        create_features(SpeechFeaturesConfig(method="speech_embedding", weights=str(tmp_path)))


def test_a_folder_without_the_file_leaves_the_one_in_the_package(tmp_path: Path) -> None:
    assert create_features(SpeechFeaturesConfig(method="speech_embedding", weights=str(tmp_path))).channels == 96

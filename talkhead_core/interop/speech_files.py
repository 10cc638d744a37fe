"""The speech features that the AD-NeRF family reads from files, as far as their weights are here."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from talkhead_core.artifacts import whole_file
from talkhead_core.audio.features import SpeechFeaturesConfig, create_features
from talkhead_core.errors import NotAvailableError
from talkhead_core.interop.ad_nerf_layout import FPS
from talkhead_core.types import FloatArray

__all__ = ["write_speech_files"]

# file: feature, columns a frame (the family's), folder below the weights
_FILES = {
    "aud_hu.npy": ("hubert", 2, "hubert"),
    "aud_eo.npy": ("wav2vec2", 16, "wav2vec2"),
    "aud_ds.npy": ("deepspeech", 16, ""),
}


def write_speech_files(folder: Path, audio: FloatArray, frames: int, weights: Path) -> dict[str, str]:
    """Write ``[frames, columns, channels]`` float32 for each feature whose weights are here; returns what each file is, or needs.

    Args:
        folder: the dataset's.
        audio: mono ``[samples]`` at 16 kHz, as in ``aud.wav``.
        frames: at 25 a second.
        weights: the folder of the weight store.
    """
    described = {}
    for file, (method, window, below) in _FILES.items():
        try:
            feature = create_features(SpeechFeaturesConfig(method=method, window=window, weights=str(weights / below)))
        except NotAvailableError as error:
            described[file] = f"left out: {error}"
            continue
        with whole_file(folder / file) as temporary, temporary.open("wb") as output:
            np.save(output, feature.extract(audio, FPS, frames))
        described[file] = f"{method}, {window} columns a frame"
    return described

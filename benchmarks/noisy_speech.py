"""Speech with recorded noise in it, at a chosen ratio."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from talkhead_core.media.audio_file import read_audio
from talkhead_core.metrics.speech import suffixed_pairs
from talkhead_core.types import FloatArray

__all__ = ["noises_in", "with_noise"]


def noises_in(folders: list[Path]) -> dict[str, FloatArray]:
    """The noise of every pair in the folders, by name."""
    pairs = {name: pair for folder in folders for name, pair in suffixed_pairs(folder)["noisy"].items()}
    sounds = {name: (read_audio(clean), read_audio(noisy)) for name, (clean, noisy) in pairs.items()}
    return {name: noisy[: len(clean)] - clean[: len(noisy)] for name, (clean, noisy) in sounds.items()}


def with_noise(speech: FloatArray, noise: FloatArray, snr_db: float) -> FloatArray:
    """Noise laid end to end over the speech, at a ratio of mean powers."""
    long = np.tile(noise, -(-len(speech) // len(noise)))[: len(speech)]
    gain = np.sqrt(np.mean(speech**2) / np.mean(long**2) * 10 ** (-snr_db / 10))
    mixed = speech + gain * long
    return np.asarray(mixed / max(1.0, float(np.abs(mixed).max())), dtype=np.float32)

"""Sounds that tests make: noise, and noise in the rhythm of speech; mono at 16 kHz."""

from __future__ import annotations

import numpy as np


def noise(seconds: float, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.05, int(16000 * seconds)).astype(np.float32)


def babble(seconds: float, seed: int = 0) -> np.ndarray:
    """Noise bursts of four syllables a second with pauses, over a faint background."""
    samples = int(16000 * seconds)
    t = np.arange(samples) / 16000
    envelope = np.clip(np.sin(2 * np.pi * 2 * t), 0, None) * (np.sin(2 * np.pi * 0.25 * t) > -0.5)
    return (noise(seconds, seed) * envelope + 0.01 * noise(seconds, seed + 1)).astype(np.float32)

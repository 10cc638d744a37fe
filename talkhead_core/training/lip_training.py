"""Training of the lip encoder against lip codes of the tracked mesh."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from talkhead_core.encoders.lip_encoder import LipEncoder, LipEncoderConfig
from talkhead_core.parameters import require
from talkhead_core.progress import Progress, silent
from talkhead_core.types import FloatArray

__all__ = ["LipTrainingConfig", "predict_lip_codes", "train_lip_encoder"]


@dataclass(frozen=True, kw_only=True)
class LipTrainingConfig:
    """How the lip encoder is trained.

    Args:
        iterations: optimiser steps.
        clips: clips of consecutive frames a step.
        clip_frames: frames a clip.
        learning_rate: peak of the one-cycle schedule.
        weight_decay: of AdamW.
        velocity_weight: of the difference between consecutive frames' codes.
        noise_std: white noise added to the features, in standard deviations.
        tilt_std: noise a channel, constant over a clip: another microphone.
        gain_std: noise constant over channels and a clip: another loudness.
        masked_channels: widest band of channels silenced in a clip (SpecAugment).
        seed: of initial weights and draws.
    """

    iterations: int = 400
    clips: int = 16
    clip_frames: int = 32
    learning_rate: float = 2e-3
    weight_decay: float = 1e-2
    velocity_weight: float = 2.0
    noise_std: float = 0.2
    tilt_std: float = 0.2
    gain_std: float = 0.3
    masked_channels: int = 16
    seed: int = 0

    def __post_init__(self) -> None:
        require(self.iterations >= 1, f"iterations must be at least 1, not {self.iterations}")
        require(self.clip_frames >= 8, f"clip_frames must be at least 8, not {self.clip_frames}")
        require(0 < self.learning_rate < 1, f"learning_rate must be in (0, 1), not {self.learning_rate}")


def train_lip_encoder(
    features: FloatArray, lip_codes: FloatArray, train_ids: np.ndarray, config: LipTrainingConfig, progress: Progress = silent
) -> LipEncoder:
    """Train.

    Args:
        features: ``[N, window, channels]``, row ``i`` is frame id ``i``.
        lip_codes: ``[N, codes]`` of the tracked mesh.
        train_ids: frame ids that may be learned from; the clips drawn never reach beyond the last of them.
        config: how.
        progress: listener.
    """
    torch.manual_seed(config.seed)
    generator = np.random.default_rng(config.seed)
    _, window, channels = features.shape
    encoder = LipEncoder(LipEncoderConfig(window=window, channels=channels, lip_codes=lip_codes.shape[1]))
    optimiser = torch.optim.AdamW(encoder.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, config.learning_rate, total_steps=max(2, config.iterations))
    usable = np.zeros(len(features), dtype=np.float32)
    usable[train_ids] = 1.0
    given, wanted, weight = torch.from_numpy(features), torch.from_numpy(lip_codes), torch.from_numpy(usable)
    end = int(train_ids.max()) + 1
    length = min(config.clip_frames, end)
    for step in range(config.iterations):
        rows = torch.from_numpy(generator.integers(0, end - length + 1, config.clips)[:, None] + np.arange(length))
        loss = _loss(encoder(_augmented(given[rows], generator, config)), wanted[rows], weight[rows], config.velocity_weight)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        progress(step + 1, config.iterations, f"lips, loss {loss.item():.3f}")
    return encoder.eval()


@torch.no_grad()
def predict_lip_codes(encoder: LipEncoder, features: FloatArray, block: int = 1000, overlap: int = 16) -> FloatArray:
    """Lip codes ``[N, codes]`` of consecutive frames, amplitude restored, in blocks of constant memory whose edges do not show."""
    encoder.eval()
    parts = []
    for start in range(0, len(features), block):
        low, high = max(0, start - overlap), min(len(features), start + block + overlap)
        codes = encoder(torch.from_numpy(np.ascontiguousarray(features[low:high], dtype=np.float32))[None])[0]
        parts.append(codes[start - low : start - low + block].numpy())
    return np.concatenate(parts) * np.float32(encoder.config.amplitude)


def _loss(predicted: Tensor, wanted: Tensor, weight: Tensor, velocity_weight: float) -> Tensor:
    weight = weight.unsqueeze(-1)
    error = (predicted - wanted) * weight
    velocity = (error[:, 1:] - error[:, :-1]) * weight[:, 1:] * weight[:, :-1]
    return error.square().mean() + velocity_weight * velocity.square().mean()


def _augmented(features: Tensor, generator: np.random.Generator, config: LipTrainingConfig) -> Tensor:
    clips, frames, window, channels = features.shape
    noise = generator.standard_normal((clips, frames, window, channels), dtype=np.float32) * config.noise_std
    noise += generator.standard_normal((clips, 1, 1, channels), dtype=np.float32) * config.tilt_std
    noise += generator.standard_normal((clips, 1, 1, 1), dtype=np.float32) * config.gain_std
    augmented = features + torch.from_numpy(noise)
    if config.masked_channels:
        for clip in range(clips):
            width = int(generator.integers(0, min(config.masked_channels, channels)))
            first = int(generator.integers(0, channels - width))
            augmented[clip, :, :, first : first + width] = 0.0
    return augmented

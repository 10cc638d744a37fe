"""Training of the phonetic encoder on synthetic speech."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from talkhead_core.encoders.phonetic_encoder import PhoneticEncoder, PhoneticEncoderConfig
from talkhead_core.parameters import require
from talkhead_core.progress import Progress, silent
from talkhead_core.types import FloatArray

__all__ = ["PhoneticTrainingConfig", "Utterance", "train_phonetic_encoder"]


@dataclass(frozen=True, kw_only=True)
class PhoneticTrainingConfig:
    """How the phonetic encoder is trained.

    Args:
        encoder: its sizes.
        iterations: optimiser steps.
        clips: clips a step.
        clip_columns: columns a clip.
        learning_rate: peak of the one-cycle schedule.
        warp: largest share by which the frequency axis is stretched: throats of other lengths.
        noise_std: white noise, noise a channel and noise a clip, in standard deviations of a channel.
        masked_channels: widest band of channels silenced in a clip (SpecAugment).
        validation: share of the utterances that are not learned from.
        seed: of initial weights and draws.
    """

    encoder: PhoneticEncoderConfig = PhoneticEncoderConfig()
    iterations: int = 1500
    clips: int = 16
    clip_columns: int = 200
    learning_rate: float = 2e-3
    warp: float = 0.15
    noise_std: tuple[float, float, float] = (0.2, 0.3, 0.3)
    masked_channels: int = 16
    validation: float = 0.05
    seed: int = 0

    def __post_init__(self) -> None:
        require(self.iterations >= 2, f"iterations must be at least 2, not {self.iterations}")
        require(0.0 < self.validation < 1.0, f"validation must be in (0, 1), not {self.validation}")


@dataclass(frozen=True, kw_only=True)
class Utterance:
    """Speech, and what is said when.

    Args:
        columns: ``[columns, channels]`` log-mel bands, 100 columns a second.
        phoneme: ``[columns]`` int64, class of the sound.
        mouth: ``[columns, numbers]`` the mouth's shape; the jaw first.
    """

    columns: FloatArray
    phoneme: np.ndarray
    mouth: FloatArray


def train_phonetic_encoder(
    spoken: Sequence[Utterance], config: PhoneticTrainingConfig, progress: Progress = silent
) -> tuple[PhoneticEncoder, dict[str, float]]:
    """Train it to tell phonemes and mouth shapes from its embedding.

    Returns:
        The encoder, and on the utterances kept aside the share of columns whose phoneme is right and the correlation of the jaw.
    """
    torch.manual_seed(config.seed)
    generator = np.random.default_rng(config.seed)
    kept = max(1, round(len(spoken) * config.validation))
    learned, aside = spoken[:-kept], spoken[-kept:]
    columns = torch.from_numpy(np.concatenate([_standardised(utterance.columns) for utterance in learned]))
    phoneme = torch.from_numpy(np.concatenate([utterance.phoneme for utterance in learned]))
    mouth = torch.from_numpy(np.concatenate([utterance.mouth for utterance in learned]))
    spread = mouth.std(dim=0) + 1e-3
    classes, numbers = int(phoneme.max()) + 1, mouth.shape[1]
    encoder = PhoneticEncoder(config.encoder)
    heads = nn.Sequential(nn.ReLU(), nn.Linear(config.encoder.embedding, classes + numbers))
    weights = [*encoder.parameters(), *heads.parameters()]
    optimiser = torch.optim.AdamW(weights, config.learning_rate, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, config.learning_rate, total_steps=config.iterations)
    for step in range(config.iterations):
        starts = generator.integers(0, len(columns) - config.clip_columns, config.clips)
        rows = torch.from_numpy(starts[:, None] + np.arange(config.clip_columns))
        said = heads(encoder(_augmented(columns[rows], generator, config)))
        sounds = nn.functional.cross_entropy(said[..., :classes].flatten(0, 1), phoneme[rows].flatten(), label_smoothing=0.05)
        loss = sounds + ((said[..., classes:] - mouth[rows]) / spread).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        progress(step + 1, config.iterations, f"phonetic encoder, loss {loss.item():.2f}")
    encoder.eval()
    return encoder, _scores(encoder, heads, aside, classes)


def _standardised(columns: FloatArray) -> FloatArray:
    """Without the recording's own mean and spread a channel, as a speaker's features are."""
    return np.asarray((columns - columns.mean(axis=0)) / (columns.std(axis=0) + 1e-3), dtype=np.float32)


def _augmented(columns: Tensor, generator: np.random.Generator, config: PhoneticTrainingConfig) -> Tensor:
    clips, length, channels = columns.shape
    warped = torch.stack([_warped(clip, generator.uniform(1 - config.warp, 1 + config.warp)) for clip in columns])
    for std, shape in zip(config.noise_std, ((clips, length, channels), (clips, 1, channels), (clips, 1, 1)), strict=True):
        warped = warped + torch.from_numpy(generator.standard_normal(shape, dtype=np.float32) * std)
    for clip in warped:
        width = int(generator.integers(0, config.masked_channels))
        first = int(generator.integers(0, channels - width))
        clip[:, first : first + width] = 0.0
    return warped


def _warped(clip: Tensor, factor: float) -> Tensor:
    """The frequency axis stretched (vocal tract length perturbation, Jaitly and Hinton 2013)."""
    last = clip.shape[1] - 1
    source = (torch.arange(last + 1) * factor).clamp(0, last)
    low = source.long()
    share = source - low
    return torch.lerp(clip[:, low], clip[:, (low + 1).clamp(max=last)], share)


@torch.no_grad()
def _scores(encoder: PhoneticEncoder, heads: nn.Module, aside: Sequence[Utterance], classes: int) -> dict[str, float]:
    right, jaws = [], []
    for utterance in aside:
        said = heads(encoder(torch.from_numpy(_standardised(utterance.columns))[None]))[0]
        right.append(float((said[:, :classes].argmax(dim=1).numpy() == utterance.phoneme).mean()))
        jaws.append(float(np.corrcoef(said[:, classes].numpy(), utterance.mouth[:, 0])[0, 1]))
    return {"phoneme_accuracy": float(np.mean(right)), "jaw_r": float(np.mean(jaws))}

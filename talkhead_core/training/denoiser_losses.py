"""Losses of ZipEnhancer: those of MP-SENet (Lu, Ai and Ling 2023, eqs. 4-10), which it takes over, without the metric discriminator.

All are of spectra with the magnitude to the power of 0.3. The discriminator, whose weight is 0.05, learns to foretell PESQ of each
example, which costs more on a processor than the network itself; it is left out here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from talkhead_core.audio.denoise.zip_enhancer.network import compressed_complex, compressed_spectrum, waveform
from talkhead_core.parameters import require

__all__ = ["LossWeights", "denoiser_losses", "phase_loss", "total_loss"]


@dataclass(frozen=True, kw_only=True)
class LossWeights:
    """Weights of the losses, as in MP-SENet's published program.

    Args:
        magnitude: squared error of the compressed magnitude.
        phase: anti-wrapping error of the phase, its difference over frequency and its difference over time.
        complex: squared error of the compressed spectrum; its two parts count fully, so this is a mean over bins.
        consistency: squared distance of the network's spectrum from that of the waveform which it becomes.
        time: absolute error of the waveform.
    """

    magnitude: float = 0.9
    phase: float = 0.3
    complex: float = 0.1
    consistency: float = 0.1
    time: float = 0.2

    def __post_init__(self) -> None:
        weights = (self.magnitude, self.phase, self.complex, self.consistency, self.time)
        require(min(weights) >= 0 and max(weights) > 0, f"weights of losses must not be negative nor all zero, but are {weights}")


def phase_loss(phase: Tensor, wanted: Tensor) -> Tensor:
    """Anti-wrapping losses of the phase, of group delay and of instantaneous frequency, summed (MP-SENet, eqs. 5-8).

    Args:
        phase: ``[batch, time, bins]``.
        wanted: the same.
    """
    error = phase - wanted
    return sum((_unwrapped(part).mean() for part in (error, error.diff(dim=2), error.diff(dim=1))), torch.zeros((), device=phase.device))


def denoiser_losses(magnitude: Tensor, phase: Tensor, clean: Tensor) -> dict[str, Tensor]:
    """Every loss by name, not yet weighted.

    Args:
        magnitude: compressed, as the network gives it, ``[batch, time, 201]``.
        phase: as the network gives it.
        clean: the waveform that should come out, ``[batch, samples]``.
    """
    clean_magnitude, clean_phase = compressed_spectrum(clean)
    found = torch.stack([magnitude * phase.cos(), magnitude * phase.sin()], dim=-1)
    audio = waveform(magnitude, phase, clean.shape[1])
    return {
        "magnitude": (magnitude - clean_magnitude).square().mean(),
        "phase": phase_loss(phase, clean_phase),
        "complex": (found - compressed_complex(clean)).square().sum(dim=-1).mean(),
        "consistency": (found - compressed_complex(audio)).square().sum(dim=-1).mean(),
        "time": (audio - clean).abs().mean(),
    }


def total_loss(losses: dict[str, Tensor], weights: LossWeights) -> Tensor:
    """The weighted sum."""
    return torch.stack([getattr(weights, name) * value for name, value in losses.items()]).sum()


def _unwrapped(difference: Tensor) -> Tensor:
    """How far two angles are apart, 0 to pi."""
    return (difference - 2 * math.pi * torch.round(difference / (2 * math.pi))).abs()

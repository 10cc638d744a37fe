"""The loss terms of the papers' configurations beside the photometric one, and their weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from talkhead_core.parameters import require

__all__ = ["RegionAwareLossConfig", "ambient_loss", "opacity_entropy", "photometric_loss", "uncertainty_loss"]

_LEAST_BETA = 0.03


@dataclass(frozen=True, kw_only=True)
class RegionAwareLossConfig:
    """Weights of the losses, and what else the papers' optimiser has of its own.

    Args:
        photometric: ``mse`` (ER-NeRF; WildTalker eq. 5) or ``l1`` (SyncTalk).
        entropy_weight: of the opacity's entropy, which wants rays to be either clear or opaque.
        ambient_weight: of the audio attention outside the lower face and the eye attention outside the eyes, times the progress of the
            training.
        jitter_weight: of the difference between the attention at a sample and beside it, times the progress.
        jitter_every: steps between such comparisons.
        jitter: how far beside, in half sides of the head's box.
        uncertainty_weight: of the uncertainty's likelihood, which trains the uncertainty network alone.
        lip_code_weight: of the squared error of the lip codes read from the audio code, under ``lip_code_supervision``.
        attention_rate_factor: learning rate of the audio attention over that of the other networks.
        patches: ``none``: independent rays (the coarse stage); ``lips``: random patches and the lip rectangle in turn (lip
            finetuning; WildTalker eq. 7).
        perceptual: ``auto`` takes LPIPS where AlexNet's weights are in the store and else the multi-scale gradient loss, and the
            model's record says which; ``lpips`` or ``gradient`` insist.
        lpips_patch_weight: lambda of eq. 7 on random patches.
        lpips_lip_weight: the same on the lip rectangle.
        gradient_weight: of the multi-scale gradient loss, on either.
    """

    photometric: Literal["mse", "l1"] = "mse"
    entropy_weight: float = 1e-4
    ambient_weight: float = 1e-4
    jitter_weight: float = 1e-5
    jitter_every: int = 16
    jitter: float = 1e-3
    uncertainty_weight: float = 1e-3
    lip_code_weight: float = 0.1
    attention_rate_factor: float = 5.0
    patches: Literal["none", "lips"] = "none"
    perceptual: Literal["auto", "lpips", "gradient"] = "auto"
    lpips_patch_weight: float = 0.1
    lpips_lip_weight: float = 0.01
    gradient_weight: float = 0.02

    def __post_init__(self) -> None:
        for name in ("entropy_weight", "ambient_weight", "jitter_weight", "uncertainty_weight", "lip_code_weight"):
            require(getattr(self, name) >= 0.0, f"{name} must not be negative")
        require(self.jitter_every >= 1, f"jitter_every must be at least 1, not {self.jitter_every}")
        require(self.attention_rate_factor > 0.0, "attention_rate_factor must be above 0")


def photometric_loss(rendered: Tensor, target: Tensor, kind: str) -> Tensor:
    """Mean squared (WildTalker eq. 5) or mean absolute difference of colours ``[rays, 3]``."""
    error = rendered - target
    return error.square().mean() if kind == "mse" else error.abs().mean()


def opacity_entropy(opacity: Tensor) -> Tensor:
    """Binary entropy in bits of opacities ``[rays, 1]``, mean over rays (RAD-NeRF, Tang et al. 2022, section 3.4)."""
    alpha = opacity.clamp(1e-5, 1.0 - 1e-5)
    return -(alpha * alpha.log2() + (1 - alpha) * (1 - alpha).log2()).mean()


def ambient_loss(attention: Tensor, lower_face: Tensor, eyes: Tensor) -> Tensor:
    """Audio must not move what is no lower face, eyes must not move what is no eye (RAD-NeRF; ER-NeRF).

    Args:
        attention: ``[rays, 3]``: audio attention, eye attention and uncertainty along each ray.
        lower_face: ``[rays]`` bool, rays of the lower face.
        eyes: ``[rays]`` bool, rays of eyes and brows.
    """
    return (attention[:, 0] * ~lower_face).mean() + (attention[:, 1] * ~eyes).mean()


def uncertainty_loss(rendered: Tensor, target: Tensor, uncertainty: Tensor) -> Tensor:
    """Negative log likelihood of the residual under a Gaussian as wide as the uncertainty (NeRF-W eq. 13), the residual held fixed.

    Args:
        rendered: ``[rays, 3]``.
        target: ``[rays, 3]``.
        uncertainty: ``[rays]``, accumulated along each ray.
    """
    beta = uncertainty + _LEAST_BETA
    squared = (rendered - target).detach().square().sum(dim=1)
    return (squared / (2 * beta.square()) + torch.log(beta / _LEAST_BETA)).mean()

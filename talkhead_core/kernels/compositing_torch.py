"""The reference of alpha compositing along rays (RAE-NeRF eqs. 5-6; WildTalker eq. 3) in plain torch, on any device."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["composite"]


def composite(density: Tensor, colour: Tensor, step: Tensor) -> tuple[Tensor, Tensor]:
    """Integrate front to back.

    Args:
        density: ``[rays, samples]``, not negative, per unit of ``step``.
        colour: ``[rays, samples, 3]``.
        step: distance between samples, ``[rays]``.

    Returns:
        Premultiplied colour ``[rays, 3]`` and opacity ``[rays, 1]``, differentiable in density and colour; the pixel is
        ``colour + (1 - opacity) * background``.
    """
    thickness = density * step.detach().unsqueeze(1)
    before = torch.nn.functional.pad(torch.cumsum(thickness[:, :-1], dim=1), (1, 0))
    weight = torch.exp(-before) * -torch.expm1(-thickness)
    return (weight.unsqueeze(-1) * colour).sum(dim=1), weight.sum(dim=1, keepdim=True)

"""Alpha compositing of samples along rays (RAE-NeRF eqs. 5-6; WildTalker eq. 3)."""

from __future__ import annotations

from torch import Tensor

__all__ = ["composite"]


def composite(density: Tensor, colour: Tensor, step: Tensor) -> tuple[Tensor, Tensor]:
    """Integrate front to back.

    Args:
        density: ``[rays, samples]``, not negative, per unit of ``step``.
        colour: ``[rays, samples, 3]``.
        step: distance between samples, ``[rays, 1]``.

    Returns:
        Premultiplied colour ``[rays, 3]`` and opacity ``[rays, 1]``; the pixel is ``colour + (1 - opacity) * background``.
    """
    clear = (-density * step).exp()
    through = clear.cumprod(dim=1)
    weight = (through / clear.clamp_min(1e-10)) * (1.0 - clear)
    return (weight.unsqueeze(-1) * colour).sum(dim=1), weight.sum(dim=1, keepdim=True)

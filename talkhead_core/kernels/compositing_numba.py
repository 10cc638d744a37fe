"""Alpha compositing along rays for CPUs, compiled by numba."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numba import njit, prange
from torch import Tensor

__all__ = ["composite"]


def composite(density: Tensor, colour: Tensor, step: Tensor) -> tuple[Tensor, Tensor]:
    """The same as :func:`talkhead_core.kernels.compositing_torch.composite`, float32 on the CPU."""
    return _Compositing.apply(density, colour, step)  # type: ignore[no-any-return]


class _Compositing(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, density: Tensor, colour: Tensor, step: Tensor) -> tuple[Tensor, Tensor]:
        assert density.dtype == colour.dtype == torch.float32, "the numba kernel computes in float32"
        density, colour, step = density.contiguous(), colour.permute(2, 0, 1).contiguous(), step.contiguous()
        total, opacity = torch.empty(density.shape[0], 3), torch.empty(density.shape[0], 1)
        weight = torch.empty_like(density)
        _forward(density.numpy(), colour.numpy(), step.numpy(), weight.numpy(), total.numpy(), opacity.numpy())
        context.save_for_backward(density, colour, step, weight)
        return total, opacity

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None]:
        density, colour, step, weight = context.saved_tensors
        of_total, of_opacity = (gradient.float().contiguous().numpy() for gradient in gradients)
        to_density, to_colour = torch.empty_like(density), torch.empty_like(colour)
        _backward(
            density.numpy(), colour.numpy(), step.numpy(), weight.numpy(), of_total, of_opacity, to_density.numpy(), to_colour.numpy()
        )
        return to_density, to_colour.permute(1, 2, 0), None


@njit(parallel=True, fastmath={"contract", "reassoc", "nsz"}, cache=True)
def _forward(density, colour, step, weight, total, opacity):  # type: ignore[no-untyped-def]
    rays, samples = density.shape
    for r in prange(rays):
        through, red, green, blue = np.float32(1.0), np.float32(0.0), np.float32(0.0), np.float32(0.0)
        for k in range(samples):
            clear = np.exp(-density[r, k] * step[r])
            w = through * (np.float32(1.0) - clear)
            through *= clear
            red += w * colour[0, r, k]
            green += w * colour[1, r, k]
            blue += w * colour[2, r, k]
            weight[r, k] = w
        total[r, 0], total[r, 1], total[r, 2] = red, green, blue
        opacity[r, 0] = np.float32(1.0) - through


@njit(parallel=True, fastmath={"contract", "reassoc", "nsz"}, cache=True)
def _backward(density, colour, step, weight, of_total, of_opacity, to_density, to_colour):  # type: ignore[no-untyped-def]
    # With tau = density * step, weight_k = T_k (1 - exp(-tau_k)) and q_k the gradient of weight_k:
    # d/d tau_k = T_(k+1) q_k - sum_(j > k) weight_j q_j
    rays, samples = density.shape
    for r in prange(rays):
        through, behind = np.float32(1.0), np.float32(0.0)
        for k in range(samples):
            through -= weight[r, k]
        through = max(through, np.float32(0.0))
        for k in range(samples - 1, -1, -1):
            w, red, green, blue = weight[r, k], of_total[r, 0], of_total[r, 1], of_total[r, 2]
            q = of_opacity[r, 0] + red * colour[0, r, k] + green * colour[1, r, k] + blue * colour[2, r, k]
            to_density[r, k] = (through * q - behind) * step[r]
            to_colour[0, r, k], to_colour[1, r, k], to_colour[2, r, k] = w * red, w * green, w * blue
            through += w
            behind += w * q

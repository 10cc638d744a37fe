"""Alpha compositing along rays for NVIDIA GPUs, compiled by Triton: a ray a lane."""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

__all__ = ["composite"]

_BLOCK = 128


def composite(density: Tensor, colour: Tensor, step: Tensor) -> tuple[Tensor, Tensor]:
    """The same as :func:`talkhead_core.kernels.compositing_torch.composite`, float32."""
    return _Compositing.apply(density, colour, step)  # type: ignore[no-any-return]


class _Compositing(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, density: Tensor, colour: Tensor, step: Tensor) -> tuple[Tensor, Tensor]:
        density, colour, step = density.float().contiguous(), colour.float().contiguous(), step.float().contiguous()
        rays, samples = density.shape
        total, opacity = torch.empty(rays, 3, device=density.device), torch.empty(rays, 1, device=density.device)
        if rays:
            grid = (triton.cdiv(rays, _BLOCK),)
            _forward[grid](density, colour, step, total, opacity, rays, SAMPLES=samples, BLOCK=_BLOCK)
        context.save_for_backward(density, colour, step)
        return total, opacity

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None]:
        density, colour, step = context.saved_tensors
        of_total, of_opacity = (gradient.float().contiguous() for gradient in gradients)
        to_density, to_colour = torch.empty_like(density), torch.empty_like(colour)
        rays, samples = density.shape
        if rays:
            arguments = (density, colour, step, of_total, of_opacity, to_density, to_colour, rays)
            _backward[(triton.cdiv(rays, _BLOCK),)](*arguments, SAMPLES=samples, BLOCK=_BLOCK)
        return to_density, to_colour, None


@triton.jit
def _forward(density, colour, step, total, opacity, rays, SAMPLES: tl.constexpr, BLOCK: tl.constexpr):  # type: ignore[no-untyped-def]
    r = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    exists = r < rays
    spacing = tl.load(step + r, mask=exists, other=0.0)
    through = tl.full([BLOCK], 1.0, tl.float32)
    red, green, blue = tl.zeros([BLOCK], tl.float32), tl.zeros([BLOCK], tl.float32), tl.zeros([BLOCK], tl.float32)
    for k in tl.static_range(SAMPLES):
        at = r * SAMPLES + k
        clear = tl.exp(-tl.load(density + at, mask=exists, other=0.0) * spacing)
        weight = through * (1.0 - clear)
        through = through * clear
        red += weight * tl.load(colour + 3 * at, mask=exists, other=0.0)
        green += weight * tl.load(colour + 3 * at + 1, mask=exists, other=0.0)
        blue += weight * tl.load(colour + 3 * at + 2, mask=exists, other=0.0)
    tl.store(total + 3 * r, red, mask=exists)
    tl.store(total + 3 * r + 1, green, mask=exists)
    tl.store(total + 3 * r + 2, blue, mask=exists)
    tl.store(opacity + r, 1.0 - through, mask=exists)


@triton.jit
def _backward(  # type: ignore[no-untyped-def]
    density, colour, step, of_total, of_opacity, to_density, to_colour, rays, SAMPLES: tl.constexpr, BLOCK: tl.constexpr
):
    # with tau = density * step and q_k the gradient of weight_k: d/d tau_k = T_(k+1) q_k - sum_(j > k) weight_j q_j
    r = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    exists = r < rays
    spacing = tl.load(step + r, mask=exists, other=0.0)
    red = tl.load(of_total + 3 * r, mask=exists, other=0.0)
    green = tl.load(of_total + 3 * r + 1, mask=exists, other=0.0)
    blue = tl.load(of_total + 3 * r + 2, mask=exists, other=0.0)
    alpha = tl.load(of_opacity + r, mask=exists, other=0.0)
    behind, through = tl.zeros([BLOCK], tl.float32), tl.full([BLOCK], 1.0, tl.float32)
    for k in tl.static_range(SAMPLES):
        at = r * SAMPLES + k
        clear = tl.exp(-tl.load(density + at, mask=exists, other=0.0) * spacing)
        behind += through * (1.0 - clear) * _along(colour + 3 * at, red, green, blue, alpha, exists)
        through = through * clear
    through = tl.full([BLOCK], 1.0, tl.float32)
    for k in tl.static_range(SAMPLES):
        at = r * SAMPLES + k
        clear = tl.exp(-tl.load(density + at, mask=exists, other=0.0) * spacing)
        weight = through * (1.0 - clear)
        through = through * clear
        q = _along(colour + 3 * at, red, green, blue, alpha, exists)
        behind -= weight * q
        tl.store(to_density + at, (through * q - behind) * spacing, mask=exists)
        tl.store(to_colour + 3 * at, weight * red, mask=exists)
        tl.store(to_colour + 3 * at + 1, weight * green, mask=exists)
        tl.store(to_colour + 3 * at + 2, weight * blue, mask=exists)


@triton.jit
def _along(colour, red, green, blue, alpha, exists):  # type: ignore[no-untyped-def]
    """The gradient of a sample's weight."""
    q = alpha + red * tl.load(colour, mask=exists, other=0.0)
    return q + green * tl.load(colour + 1, mask=exists, other=0.0) + blue * tl.load(colour + 2, mask=exists, other=0.0)

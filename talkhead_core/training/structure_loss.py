"""A loss for sharpness that needs no weights: differences of image gradients at several scales.

It stands where the papers use LPIPS (WildTalker eq. 7) when AlexNet's weights are not here, under its own name; its values are not
LPIPS and are never reported as such.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["multiscale_gradient_loss"]


def multiscale_gradient_loss(rendered: Tensor, target: Tensor, scales: int = 3) -> Tensor:
    """Mean absolute difference of horizontal and vertical gradients, averaged over scales, each half the one before.

    Args:
        rendered: ``[patches, 3, height, width]``.
        target: the same shape.
        scales: how many; the patch's side must be at least ``2 ** scales``.

    Returns:
        A scalar.
    """
    total = rendered.new_zeros(())
    for scale in range(scales):
        error = rendered - target
        total = total + (error[..., 1:] - error[..., :-1]).abs().mean() + (error[..., 1:, :] - error[..., :-1, :]).abs().mean()
        if scale + 1 < scales:
            rendered = torch.nn.functional.avg_pool2d(rendered, 2)
            target = torch.nn.functional.avg_pool2d(target, 2)
    return total / scales

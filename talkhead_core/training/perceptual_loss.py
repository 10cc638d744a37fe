"""Which loss sharpens patches: LPIPS where its weights are, else the multi-scale gradient loss under its own name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from torch import Tensor

from talkhead_core.errors import NotAvailableError
from talkhead_core.metrics.lpips_weights import load_lpips_network
from talkhead_core.training.structure_loss import multiscale_gradient_loss

__all__ = ["PerceptualLoss", "perceptual_loss"]


class PerceptualLoss(NamedTuple):
    """A loss on patches.

    Args:
        name: ``lpips`` or ``gradient``, as the history and the model's record call it.
        of: rendered and true patches ``[patches, 3, side, side]`` in [0, 1] to a scalar.
    """

    name: str
    of: Callable[[Tensor, Tensor], Tensor]


def perceptual_loss(choice: str, weights: Path | None, device: str = "cpu") -> PerceptualLoss:
    """The loss called ``lpips`` or ``gradient``; ``auto`` takes LPIPS where its weights are in the folder ``weights``.

    Raises:
        NotAvailableError: ``lpips``, and its weights are not there; says what to run.
    """
    if choice == "gradient":
        return PerceptualLoss("gradient", multiscale_gradient_loss)
    try:
        if weights is None:
            raise NotAvailableError("LPIPS needs the weights of AlexNet; run 'talkhead models pull lpips-alexnet'")
        network = load_lpips_network(weights).to(device)
    except NotAvailableError:
        if choice == "lpips":
            raise
        return PerceptualLoss("gradient", multiscale_gradient_loss)
    return PerceptualLoss("lpips", lambda rendered, target: network(rendered * 2 - 1, target * 2 - 1).mean())

"""LPIPS with the AlexNet back bone, version 0.1.

Zhang et al., "The unreasonable effectiveness of deep features as a perceptual metric", CVPR 2018, eq. 1. The network is
defined here, so that torchvision is not needed; the numbers are those of the official weights or there are none.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from talkhead_core.types import Image

__all__ = ["Lpips", "lpips_from"]

_SHIFT = (-0.030, -0.088, -0.188)
_SCALE = (0.458, 0.448, 0.450)
_CHANNELS = (64, 192, 384, 256, 256)
_TAPS = (1, 4, 7, 9, 11)  # after each ReLU


class Lpips(nn.Module):
    """AlexNet features of two images, normalised over channels, their squared differences weighted by learned heads."""

    def __init__(self) -> None:
        super().__init__()
        c = _CHANNELS
        self.features = nn.Sequential(
            nn.Conv2d(3, c[0], 11, stride=4, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2),
            nn.Conv2d(c[0], c[1], 5, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2),
            nn.Conv2d(c[1], c[2], 3, padding=1), nn.ReLU(),
            nn.Conv2d(c[2], c[3], 3, padding=1), nn.ReLU(),
            nn.Conv2d(c[3], c[4], 3, padding=1), nn.ReLU(),
        )  # fmt: skip
        self.heads = nn.ParameterList([nn.Parameter(torch.zeros(1, channels, 1, 1)) for channels in c])
        self.shift: torch.Tensor
        self.scale: torch.Tensor
        self.register_buffer("shift", torch.tensor(_SHIFT).view(1, 3, 1, 1))
        self.register_buffer("scale", torch.tensor(_SCALE).view(1, 3, 1, 1))
        self.requires_grad_(False).eval()

    def forward(self, first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
        """Distance ``[B]`` of two batches ``[B, 3, H, W]`` with values in [-1, 1]; sides of 32 px or more."""
        total = first.new_zeros(first.shape[0])
        for x, y, head in zip(self._taps(first), self._taps(second), self.heads, strict=True):
            total = total + ((_normalised(x) - _normalised(y)) ** 2 * head).sum(dim=1).mean(dim=(1, 2))
        return total

    @torch.no_grad()
    def score(self, reference: Image, rendered: Image) -> float:
        """Distance of two RGB frames ``[H, W, 3]`` uint8."""
        return float(self(_tensor(reference), _tensor(rendered))[0])

    def _taps(self, image: torch.Tensor) -> list[torch.Tensor]:
        x, taps = (image - self.shift) / self.scale, []
        for index, layer in enumerate(self.features):
            x = layer(x)
            if index in _TAPS:
                taps.append(x)
        return taps


def lpips_from(backbone: dict[str, torch.Tensor], heads: dict[str, torch.Tensor]) -> Lpips:
    """LPIPS from state dicts with the official files' keys (``features.0.weight``, ``lin0.model.1.weight``, ...)."""
    model = Lpips()
    # the official network counts its five convolutions 0, 3, 6, 8, 10, as this one does
    features = {name.removeprefix("features."): value for name, value in backbone.items() if name.startswith("features.")}
    model.features.load_state_dict(features)
    for index, head in enumerate(model.heads):
        head.data.copy_(heads[f"lin{index}.model.1.weight"])
    return model


def _normalised(x: torch.Tensor) -> torch.Tensor:
    return functional.normalize(x, dim=1, eps=1e-10)


def _tensor(image: Image) -> torch.Tensor:
    values = np.ascontiguousarray(image.transpose(2, 0, 1))[None]
    return torch.from_numpy(values).float() / 127.5 - 1.0

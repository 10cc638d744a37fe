"""talkhead's head field: a tri-plane hash grid under a small network that each frame's condition steers.

The condition (lip codes, expression, viewing direction, appearance code) is constant over a frame, so it enters as a bias of
the two hidden layers: computed once a frame, not once a sample.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from talkhead_core.encoders.triplane_encoder import TriPlaneEncoder
from talkhead_core.kernels import HashLayout, perceptron_kernels, select_kernel
from talkhead_core.parameters import require

__all__ = ["HeadField", "HeadFieldConfig"]


@dataclass(frozen=True, kw_only=True)
class HeadFieldConfig:
    """Sizes of the head field.

    Args:
        levels: hash levels a plane.
        features: numbers a hash entry.
        base_resolution: cells of the coarsest level across the head's box.
        finest_resolution: cells of the finest level.
        log2_entries: log2 of the entries a level.
        hidden: width of the hidden layers.
        lip_codes: lip codes a frame.
        expression: expression values a frame.
        appearance: learned numbers a frame (NeRF-W's appearance code).
        kernel: ``auto``, ``torch``, ``numba``, ``triton`` or ``tinycudann``.
    """

    levels: int = 14
    features: int = 1
    base_resolution: int = 16
    finest_resolution: int = 512
    log2_entries: int = 15
    hidden: int = 64
    lip_codes: int = 8
    expression: int = 4
    appearance: int = 4
    kernel: str = "auto"

    def __post_init__(self) -> None:
        require(8 <= self.hidden <= 512, f"hidden must be 8 to 512, not {self.hidden}")
        require(1 <= self.lip_codes <= 64, f"lip_codes must be 1 to 64, not {self.lip_codes}")

    @property
    def layout(self) -> HashLayout:
        """The hash grid's sizes."""
        return HashLayout.of(self)

    @property
    def condition_channels(self) -> int:
        """Lip codes, expression, viewing direction and appearance."""
        return self.lip_codes + self.expression + 3 + self.appearance


class HeadField(nn.Module):
    """Density and colour of canonical points under a frame's condition."""

    def __init__(self, config: HeadFieldConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = TriPlaneEncoder(config.layout, config.kernel)
        self.condition = nn.Sequential(
            nn.Linear(config.condition_channels, config.hidden), nn.ReLU(), nn.Linear(config.hidden, 2 * config.hidden)
        )
        self.first = nn.Linear(config.layout.output_channels, config.hidden, bias=False)
        self.second = nn.Linear(config.hidden, config.hidden, bias=False)
        self.output = nn.Linear(config.hidden, 4)

    def forward(self, points: Tensor, condition: Tensor) -> tuple[Tensor, Tensor]:
        """Evaluate.

        Args:
            points: ``[3, frames * samples]`` in the unit cube, frame-major, the same number of samples a frame.
            condition: ``[frames, condition_channels]``.

        Returns:
            Density ``[frames * samples]`` per cm, not negative, and colour ``[frames * samples, 3]`` in [0, 1]; float32.
        """
        with torch.autocast(points.device.type, enabled=False):  # a few rows: rounding them would gain nothing
            biases = self.condition(condition).view(condition.shape[0], 2, self.config.hidden)
        _, perceptron = select_kernel(perceptron_kernels, self.config.kernel, points.device.type)
        features = self.encoder(points).t()
        output = perceptron(features, biases, self.first.weight, self.second.weight, self.output.weight, self.output.bias)
        density = torch.exp(output[0].clamp(-12.0, 8.0))
        return density, (torch.sigmoid(output[1:]) * 1.002 - 0.001).t()

"""The head field of the papers: a tri-plane hash grid whose features decide, point by point, how much audio and eyes matter there.

ER-NeRF's region attention (Li et al., ICCV 2023, section 3.3), kept by SyncTalk, WildTalker (its ``F: MLP(x, d, f_l, f_e; f_x)``) and
RAE-NeRF (eqs. 8-9). Sizes are those of its public descendants: no biases, ReLU between layers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from talkhead_core.encoders.spherical_harmonics import SPHERICAL_HARMONICS, spherical_harmonics
from talkhead_core.encoders.triplane_encoder import TriPlaneEncoder
from talkhead_core.kernels import HashLayout
from talkhead_core.parameters import require

__all__ = ["FieldSamples", "RegionAwareField", "RegionAwareFieldConfig"]


@dataclass(frozen=True, kw_only=True)
class RegionAwareFieldConfig:
    """Sizes of the field.

    Args:
        levels: hash levels a plane (ER-NeRF, SyncTalk: 12; RAE-NeRF: 14).
        features: numbers a hash entry.
        base_resolution: cells of the coarsest level across the head's box.
        finest_resolution: cells of the finest level.
        log2_entries: log2 of the entries a level.
        hidden: width of the hidden layers.
        geometry: numbers that the density network hands to the colour network.
        audio: size of the audio code; follows the audio encoder.
        eyes: values a frame for eyes and brows; follows the track.
        eye_attention: numbers the eye attention gives: 1 for all values (ER-NeRF) or as many as there are values (0; SyncTalk).
        eye_hidden: width of the eye attention's hidden layer (ER-NeRF: 16, SyncTalk: 64).
        individual: learned numbers a frame.
        kernel: ``auto``, ``torch``, ``numba``, ``triton`` or ``tinycudann``, of the hash grid.
    """

    levels: int = 14
    features: int = 1
    base_resolution: int = 64
    finest_resolution: int = 512
    log2_entries: int = 14
    hidden: int = 64
    geometry: int = 64
    audio: int = 64
    eyes: int = 7
    eye_attention: int = 0
    eye_hidden: int = 64
    individual: int = 4
    kernel: str = "auto"

    def __post_init__(self) -> None:
        require(8 <= self.hidden <= 512, f"hidden must be 8 to 512, not {self.hidden}")
        require(self.eye_attention in (0, 1), f"eye_attention must be 0 or 1, not {self.eye_attention}")
        require(0 <= self.individual <= 64, f"individual must be 0 to 64, not {self.individual}")

    @property
    def layout(self) -> HashLayout:
        """The hash grid's sizes."""
        return HashLayout.of(self)

    @property
    def condition_channels(self) -> int:
        """Audio code, eyes and individual code of a frame."""
        return self.audio + self.eyes + self.individual


class FieldSamples(NamedTuple):
    """What the field says of ``S`` points; float32.

    Args:
        density: ``[S]`` per half side of the head's box.
        colour: ``[S, 3]`` in [0, 1].
        audio_attention: ``[S]``, length of the audio channel attention.
        eye_attention: ``[S]``, mean of the eye attention.
        uncertainty: ``[S]``, not negative.
    """

    density: Tensor
    colour: Tensor
    audio_attention: Tensor
    eye_attention: Tensor
    uncertainty: Tensor


class RegionAwareField(nn.Module):
    """Density and colour of points in the rigid head frame, heard and seen through region attention."""

    def __init__(self, config: RegionAwareFieldConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = TriPlaneEncoder(config.layout, config.kernel)
        encoded = config.layout.output_channels
        self.audio_attention = perceptron(encoded, config.audio, 64, 2)
        self.eye_attention = perceptron(encoded, config.eye_attention or config.eyes, config.eye_hidden, 2)
        self.density = perceptron(encoded + config.audio + config.eyes, 1 + config.geometry, config.hidden, 3)
        self.colour = perceptron(SPHERICAL_HARMONICS + config.geometry + config.individual, 3, config.hidden, 2)
        self.uncertainty = perceptron(encoded, 1, 32, 2)

    def attention(self, encoded: Tensor) -> tuple[Tensor, Tensor]:
        """Audio channel attention ``[S, audio]`` and eye attention ``[S, 1 or eyes]`` of encoded points ``[S, channels]``."""
        return self.audio_attention(encoded), torch.sigmoid(self.eye_attention(encoded))

    def forward(self, points: Tensor, direction: Tensor, condition: Tensor, frame: Tensor) -> FieldSamples:
        """Evaluate.

        Args:
            points: ``[3, S]`` in the unit cube.
            direction: unit viewing directions in the head frame ``[S, 3]``.
            condition: ``[frames, condition_channels]``.
            frame: ``[S]``, the row of ``condition`` of each point.
        """
        encoded = self.encoder(points)
        audio, eyes, individual = self._parts(condition, frame)
        to_audio, to_eyes = self.attention(encoded)
        density, geometry = self._shape(encoded, audio * to_audio, eyes * to_eyes)
        seen = torch.cat([spherical_harmonics(direction), geometry, individual], dim=1)
        colour = torch.sigmoid(self.colour(seen).float()) * 1.002 - 0.001
        # what the field cannot explain is learned apart: the residual would be hidden if the grid could answer it with blur
        uncertainty = nn.functional.softplus(self.uncertainty(encoded.detach()).float())[:, 0]
        length = to_audio.float().square().sum(dim=1).add(1e-12).sqrt()
        return FieldSamples(density, colour, length, to_eyes.float().mean(dim=1), uncertainty)

    def density_of(self, points: Tensor, condition: Tensor, frame: Tensor) -> Tensor:
        """Density alone ``[S]``, for the occupancy grid."""
        audio, eyes, _ = self._parts(condition, frame)
        encoded = self.encoder(points)
        to_audio, to_eyes = self.attention(encoded)
        return self._shape(encoded, audio * to_audio, eyes * to_eyes)[0]

    def _parts(self, condition: Tensor, frame: Tensor) -> tuple[Tensor, ...]:
        """Audio code, eyes and individual code of each point."""
        return condition.index_select(0, frame).split([self.config.audio, self.config.eyes, self.config.individual], dim=1)

    def _shape(self, encoded: Tensor, audio: Tensor, eyes: Tensor) -> tuple[Tensor, Tensor]:
        """Density ``[S]`` and the numbers for the colour network ``[S, geometry]``, of attended audio and eyes."""
        output = self.density(torch.cat([encoded, audio, eyes], dim=1))
        return torch.exp(output[:, 0].float().clamp(-12.0, 11.0)), output[:, 1:]


def perceptron(inputs: int, outputs: int, hidden: int, layers: int) -> nn.Sequential:
    """``layers`` linear layers without biases, ReLU between."""
    sizes = [inputs, *[hidden] * (layers - 1), outputs]
    parts: list[nn.Module] = []
    for first, second in zip(sizes[:-1], sizes[1:], strict=True):
        parts += [nn.Linear(first, second, bias=False), nn.ReLU()]
    return nn.Sequential(*parts[:-1])

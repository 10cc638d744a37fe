"""The torso: a two-dimensional field over the background plate that the head's pose deforms.

RAD-NeRF's pseudo-3D deformable torso (which WildTalker takes over): three learned 3D anchors, carried by the head's pose and
projected, tell a deformation network where the shoulders are; the deformed pixel is looked up in a hash grid.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from talkhead_core.encoders.triplane_encoder import TriPlaneEncoder
from talkhead_core.kernels import HashLayout
from talkhead_core.parameters import require

__all__ = ["TorsoField", "TorsoFieldConfig"]


@dataclass(frozen=True, kw_only=True)
class TorsoFieldConfig:
    """Sizes of the torso field.

    Args:
        levels: hash levels.
        base_resolution: cells of the coarsest level across the image.
        finest_resolution: cells of the finest level.
        log2_entries: log2 of the entries a level.
        hidden: width of the hidden layers.
        largest_shift: largest deformation, as a part of the image's side.
        kernel: ``auto``, ``torch``, ``numba``, ``triton`` or ``tinycudann``.
    """

    levels: int = 12
    base_resolution: int = 16
    finest_resolution: int = 512
    log2_entries: int = 16
    hidden: int = 48
    largest_shift: float = 0.15
    kernel: str = "auto"

    def __post_init__(self) -> None:
        require(8 <= self.hidden <= 512, f"hidden must be 8 to 512, not {self.hidden}")
        require(0.0 < self.largest_shift <= 1.0, f"largest_shift must be in (0, 1], not {self.largest_shift}")

    @property
    def layout(self) -> HashLayout:
        """The hash grid's sizes: its third coordinate is a learned function of the pose."""
        return HashLayout(
            levels=self.levels,
            features=1,
            base_resolution=self.base_resolution,
            finest_resolution=self.finest_resolution,
            log2_entries=self.log2_entries,
        )


class TorsoField(nn.Module):
    """Colour and opacity of image positions under a head pose."""

    pose_mean: Tensor
    pose_std: Tensor
    frequencies: Tensor

    def __init__(self, config: TorsoFieldConfig) -> None:
        super().__init__()
        self.config = config
        anchors = torch.tensor([[0.0, -14.0, -4.0], [-12.0, -18.0, -4.0], [12.0, -18.0, -4.0]])
        self.anchors_cm = nn.Parameter(anchors)
        self.register_buffer("pose_mean", torch.zeros(6))
        self.register_buffer("pose_std", torch.ones(6))
        self.register_buffer("frequencies", 2.0 ** torch.arange(4) * torch.pi)
        last = nn.Linear(config.hidden, 3)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.deform = nn.Sequential(
            nn.Linear(2 + 16 + 6, config.hidden),
            nn.ReLU(),
            nn.Linear(config.hidden, config.hidden),
            nn.ReLU(),
            last,
        )
        self.encoder = TriPlaneEncoder(config.layout, config.kernel)
        self.colour = nn.Sequential(
            nn.Linear(config.layout.output_channels + 6, config.hidden),
            nn.ReLU(),
            nn.Linear(config.hidden, config.hidden),
            nn.ReLU(),
            nn.Linear(config.hidden, 4),
        )

    def pose_code(self, rotation: Tensor, translation_cm: Tensor, focal_per_size: float) -> Tensor:
        """The anchors' image positions.

        Args:
            rotation: ``[frames, 3, 3]``.
            translation_cm: ``[frames, 3]``.
            focal_per_size: focal length over the image's side.

        Returns:
            ``[frames, 6]`` in image sides from the centre.
        """
        camera = self.anchors_cm @ rotation.transpose(1, 2) + translation_cm.unsqueeze(1)
        projected = -focal_per_size * camera[..., :2] / camera[..., 2:]
        return projected.flatten(1)

    def forward(self, position: Tensor, pose_code: Tensor) -> tuple[Tensor, Tensor]:
        """Evaluate.

        Args:
            position: ``[frames, pixels, 2]`` in [0, 1].
            pose_code: ``[frames, 6]``.

        Returns:
            Colour ``[frames, pixels, 3]`` in [0, 1] and opacity ``[frames, pixels, 1]``; float32.
        """
        frames, pixels = position.shape[:2]
        pose = ((pose_code - self.pose_mean) / self.pose_std).unsqueeze(1).expand(-1, pixels, -1)
        angles = (position.unsqueeze(-1) * self.frequencies).flatten(2)
        shift = self.deform(torch.cat([position * 2 - 1, angles.sin(), angles.cos(), pose], dim=2)).float()
        moved = position + torch.tanh(shift[..., :2]) * self.config.largest_shift
        third = torch.sigmoid(shift[..., 2:])
        features = self.encoder(torch.cat([moved, third], dim=2).view(-1, 3).t().contiguous())
        output = self.colour(torch.cat([features.reshape(frames, pixels, -1), pose], dim=2)).float()
        return torch.sigmoid(output[..., :3]) * 1.002 - 0.001, torch.sigmoid(output[..., 3:])

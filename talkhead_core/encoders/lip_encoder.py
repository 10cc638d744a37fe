"""From windows of speech features to lip codes.

Trained end to end from pixels, a field learns nothing from the audio for a long time; trained against lip codes of the tracked
mesh, an encoder of this size learns within seconds. RAE-NeRF's residual blocks make the code, attention over eight
frames (AD-NeRF) smooths it.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from talkhead_core.encoders.fc_res_block import ResidualAudioEncoder
from talkhead_core.parameters import require

__all__ = ["LipEncoder", "LipEncoderConfig", "LipNetwork"]


@dataclass(frozen=True, kw_only=True)
class LipEncoderConfig:
    """Sizes of the lip encoder.

    Args:
        window: columns of a frame's speech features.
        channels: channels of a column.
        lip_codes: codes to predict.
        dropout: of the window's embedding, in training.
        members: networks that vote; each is trained without a part of the frames of its own.
    """

    window: int = 24
    channels: int = 80
    lip_codes: int = 8
    dropout: float = 0.3
    members: int = 4

    def __post_init__(self) -> None:
        require(self.window >= 8, f"window must be at least 8 columns, not {self.window}")
        require(0.0 <= self.dropout < 1.0, f"dropout must be in [0, 1), not {self.dropout}")
        require(1 <= self.members <= 16, f"members must be 1 to 16, not {self.members}")


class LipNetwork(nn.Module):
    """Convolutions over a frame's window to 512 numbers, three FCResBlocks to 64 (RAE-NeRF section 3.2), temporal mixing, codes."""

    def __init__(self, config: LipEncoderConfig) -> None:
        super().__init__()
        self.config = config
        self.windows = nn.Sequential(
            nn.Conv1d(config.channels, 128, 3, padding=1),
            nn.LeakyReLU(0.02),
            nn.Conv1d(128, 128, 3, stride=2, padding=1),
            nn.LeakyReLU(0.02),
            nn.Conv1d(128, 64, 3, stride=2, padding=1),
            nn.LeakyReLU(0.02),
            nn.Flatten(),
            nn.Linear(64 * ((config.window + 3) // 4), 512),
            nn.LeakyReLU(0.02),
            nn.Dropout(config.dropout),
        )
        self.residual = ResidualAudioEncoder()
        self.over_frames = nn.Sequential(nn.Conv1d(64, 64, 5, padding=2), nn.LeakyReLU(0.02), nn.Conv1d(64, 64, 5, padding=2))
        self.codes = nn.Linear(64, config.lip_codes)

    def forward(self, features: Tensor) -> Tensor:
        """``[clips, frames, window, channels]`` of consecutive frames to lip codes ``[clips, frames, lip_codes]``."""
        clips, frames = features.shape[:2]
        embedded = self.residual(self.windows(features.flatten(0, 1).transpose(1, 2))).view(clips, frames, 64)
        mixed = embedded + self.over_frames(embedded.transpose(1, 2)).transpose(1, 2)
        return self.codes(torch.nn.functional.leaky_relu(mixed, 0.02))


class LipEncoder(nn.Module):
    """The mean of several networks, each code multiplied by how far it could be trusted on frames a network had not seen.

    Some codes are hardly heard, and a network that learned them by heart only adds noise with them.
    """

    gain: Tensor

    def __init__(self, config: LipEncoderConfig) -> None:
        super().__init__()
        self.config = config
        self.networks = nn.ModuleList(LipNetwork(config) for _ in range(config.members))
        self.register_buffer("gain", torch.ones(config.lip_codes))

    def forward(self, features: Tensor) -> Tensor:
        """``[clips, frames, window, channels]`` of consecutive frames to lip codes ``[clips, frames, lip_codes]``."""
        return torch.stack([network(features) for network in self.networks]).mean(dim=0) * self.gain

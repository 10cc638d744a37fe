"""From windows of speech features to lip codes.

Trained end to end from pixels, a field learns nothing from the audio for a long time; trained against lip codes of the tracked
mesh, an encoder of this size learns within seconds. Networks of RAE-NeRF's residual blocks and a kernel readout vote. All are given
groups of channels: the log-mel bands, what the phonetic encoder hears in them, and further speech features.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from talkhead_core.encoders.fc_res_block import ResidualAudioEncoder
from talkhead_core.encoders.kernel_readout import KernelReadout, KernelReadoutConfig
from talkhead_core.encoders.phonetic_encoder import PhoneticEncoder, PhoneticEncoderConfig
from talkhead_core.parameters import require

__all__ = ["LipEncoder", "LipEncoderConfig", "LipNetwork"]


@dataclass(frozen=True, kw_only=True)
class LipEncoderConfig:
    """Sizes of the lip encoder.

    Args:
        window: columns of a frame's speech features.
        channels: channels of a column.
        feature_groups: channels of each of the speech features that were joined to them; all are one where empty.
        lip_codes: codes to predict.
        dropout: of the window's embedding, in training.
        members: networks that vote; every other one is not given the last of the groups, so that they err differently.
        kernel_share: of the kernel readout in the vote; 0 leaves it out.
        kernel: sizes of the kernel readout.
        phonetic: sizes of the phonetic encoder, which hears the first of the features; None where that is not log-mel bands.
    """

    window: int = 24
    channels: int = 80
    feature_groups: tuple[int, ...] = ()
    lip_codes: int = 8
    dropout: float = 0.3
    members: int = 4
    kernel_share: float = 0.5
    kernel: KernelReadoutConfig = KernelReadoutConfig()
    phonetic: PhoneticEncoderConfig | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "feature_groups", tuple(self.feature_groups) or (self.channels,))
        require(sum(self.feature_groups) == self.channels, f"feature_groups {self.feature_groups} are not the {self.channels} channels")
        require(self.window >= 8, f"window must be at least 8 columns, not {self.window}")
        require(0.0 <= self.dropout < 1.0, f"dropout must be in [0, 1), not {self.dropout}")
        require(1 <= self.members <= 16, f"members must be 1 to 16, not {self.members}")
        require(0.0 <= self.kernel_share <= 1.0, f"kernel_share must be in [0, 1], not {self.kernel_share}")
        phonetic_fits = self.phonetic is None or self.phonetic.channels == self.feature_groups[0]
        require(phonetic_fits, f"the phonetic encoder hears log-mel bands, not features of {self.feature_groups[0]} channels")

    @property
    def network_groups(self) -> tuple[int, ...]:
        """Channels of each group that the networks see: the first features', the phonetic encoder's embedding, the further features'."""
        first, *further = self.feature_groups
        return (first, *([self.phonetic.embedding] if self.phonetic else []), *further)

    @property
    def network_channels(self) -> int:
        """Channels that the networks see."""
        return sum(self.network_groups)

    @property
    def groups(self) -> tuple[int, ...]:
        """Channels of each group that the kernel readout sees: the networks', and those that the phonetic embedding was made from."""
        return (*self.network_groups, *([self.phonetic.hidden] if self.phonetic else []))


class LipNetwork(nn.Module):
    """Convolutions over a frame's window to 512 numbers, three FCResBlocks to 64 (RAE-NeRF section 3.2), temporal mixing, codes.

    Args:
        config: sizes.
        channels: how many of the input channels it is given, the first.
    """

    def __init__(self, config: LipEncoderConfig, channels: int) -> None:
        super().__init__()
        self.config, self.channels = config, channels
        self.windows = nn.Sequential(
            nn.Conv1d(channels, 128, 3, padding=1),
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
        """Inputs ``[clips, frames, window, at least channels]`` of consecutive frames to lip codes ``[clips, frames, lip_codes]``."""
        clips, frames = features.shape[:2]
        embedded = self.residual(self.windows(features[..., : self.channels].flatten(0, 1).transpose(1, 2))).view(clips, frames, 64)
        mixed = embedded + self.over_frames(embedded.transpose(1, 2)).transpose(1, 2)
        return self.codes(torch.nn.functional.leaky_relu(mixed, 0.02))


class LipEncoder(nn.Module):
    """The vote of several networks and a kernel readout, stretched in the direction in which the mouth opens.

    Least squares shrinks what it cannot tell, and mouths under-open; the stretch gives the opening back what it should have.
    """

    stretch: Tensor
    heard_mean: Tensor
    heard_std: Tensor

    def __init__(self, config: LipEncoderConfig) -> None:
        super().__init__()
        self.config = config
        self.networks = nn.ModuleList(self.untrained_network(member) for member in range(config.members))
        self.kernel = KernelReadout(config.kernel, config.window, config.lip_codes) if config.kernel_share else None
        self.phonetic = PhoneticEncoder(config.phonetic) if config.phonetic else None
        if config.phonetic:
            self.register_buffer("heard_mean", torch.zeros(config.phonetic.embedding))
            self.register_buffer("heard_std", torch.ones(config.phonetic.embedding))
        self.register_buffer("stretch", torch.eye(config.lip_codes))

    def untrained_network(self, member: int) -> LipNetwork:
        """A network like the one in place ``member``."""
        groups = self.config.network_groups
        return LipNetwork(self.config, sum(groups[:-1] if member % 2 and len(groups) > 1 else groups))

    def inputs(self, features: Tensor) -> Tensor:
        """The features and what is heard in them: ``[..., window, channels]`` to ``[..., window, sum of groups]``."""
        if self.phonetic is None:
            return features
        bands, further = features.tensor_split([self.config.feature_groups[0]], dim=-1)
        embedding, hidden = (part.view(*features.shape[:-1], -1) for part in self.phonetic.hear(bands.flatten(0, -3)))
        return torch.cat([bands, (embedding - self.heard_mean) / self.heard_std, further, hidden], dim=-1)

    def vote(self, networks: Tensor, kernel: Tensor) -> Tensor:
        """Codes that the networks and the kernel readout gave, as one."""
        return torch.lerp(networks, kernel, self.config.kernel_share)

    def forward(self, features: Tensor) -> Tensor:
        """``[clips, frames, window, channels]`` of consecutive frames to lip codes ``[clips, frames, lip_codes]``."""
        windows = self.inputs(features)
        codes = torch.stack([network(windows) for network in self.networks]).mean(dim=0)
        return (codes if self.kernel is None else self.vote(codes, self.kernel(windows))) @ self.stretch

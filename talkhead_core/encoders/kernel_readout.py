"""Lip codes from the learned frames that sound most alike: kernel ridge regression on windows of speech features.

A minute of one speaker is too little for a deep network and little enough for this: every learned frame stays in memory as the centre
of a Gaussian, and a new frame's codes are a weighted sum of how near it is to each. Nearness counts the middle of the window most.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from talkhead_core.parameters import require

__all__ = ["KernelReadout", "KernelReadoutConfig"]


@dataclass(frozen=True, kw_only=True)
class KernelReadoutConfig:
    """Sizes of the kernel readout.

    Args:
        centres: learned frames that new ones are compared with.
        dimensions: principal components of the windows that distances are measured in.
        groups: channels of each group of features (log-mel bands, what the phonetic encoder hears); each group counts the same.
        stride: every how many columns of a window are looked at.
        reach_columns: standard deviation of the taper over a window's columns; the further from the middle the less they count.
        smoothing_frames: standard deviation of the smoothing of the codes over frames; 0 leaves them as they are.
    """

    centres: int = 1
    dimensions: int = 256
    groups: tuple[int, ...] = (80,)
    stride: int = 2
    reach_columns: float = 7.0
    smoothing_frames: float = 0.7

    def __post_init__(self) -> None:
        object.__setattr__(self, "groups", tuple(self.groups))
        require(self.centres >= 1 and self.dimensions >= 1, "centres and dimensions must be at least 1")
        require(bool(self.groups) and min(self.groups) >= 1, f"groups must name at least one channel each, not {self.groups}")
        require(self.stride >= 1, f"stride must be at least 1, not {self.stride}")
        require(self.reach_columns > 0, f"reach_columns must be above 0, not {self.reach_columns}")
        require(self.smoothing_frames >= 0, f"smoothing_frames must not be negative, not {self.smoothing_frames}")


class KernelReadout(nn.Module):
    """A weighted sum of Gaussians around learned windows; ``training.kernel_regression`` finds its numbers.

    Args:
        config: sizes.
        window: columns of a frame's window.
        lip_codes: codes to predict.
    """

    taper: Tensor
    channel_mean: Tensor
    channel_scale: Tensor
    row_mean: Tensor
    components: Tensor
    centres: Tensor
    weights: Tensor
    mean_codes: Tensor

    def __init__(self, config: KernelReadoutConfig, window: int, lip_codes: int) -> None:
        super().__init__()
        self.config = config
        channels = sum(config.groups)
        columns = -(-window // config.stride)
        self.register_buffer("channel_mean", torch.zeros(channels))
        self.register_buffer("channel_scale", torch.ones(channels))
        self.register_buffer("row_mean", torch.zeros(columns * channels))
        self.register_buffer("components", torch.zeros(columns * channels, config.dimensions))
        self.register_buffer("centres", torch.zeros(config.centres, config.dimensions))
        self.register_buffer("weights", torch.zeros(config.centres, lip_codes))
        self.register_buffer("mean_codes", torch.zeros(lip_codes))
        middle = torch.arange(window)[:: config.stride] - (window - 1) / 2
        self.register_buffer("taper", torch.exp(-0.5 * (middle / config.reach_columns) ** 2), persistent=False)

    def rows(self, windows: Tensor) -> Tensor:
        """Windows ``[..., window, channels]`` standardised and tapered, ``[..., numbers]``, before the principal components."""
        standard = (windows[..., :: self.config.stride, :] - self.channel_mean) * self.channel_scale
        return (standard * self.taper[:, None]).flatten(-2)

    def points(self, windows: Tensor) -> Tensor:
        """Windows ``[..., window, channels]`` as points ``[..., dimensions]`` between which distances are measured."""
        return (self.rows(windows) - self.row_mean) @ self.components

    def kernel(self, points: Tensor, centres: Tensor) -> Tensor:
        """How near points ``[..., dimensions]`` are to ``centres [M, dimensions]``: ``exp(-|a - b|^2 / 2)``, ``[..., M]``."""
        return torch.exp(-0.5 * torch.cdist(points, centres).square())

    def forward(self, windows: Tensor) -> Tensor:
        """``[clips, frames, window, channels]`` of consecutive frames to lip codes ``[clips, frames, lip_codes]``."""
        return self.from_points(self.points(windows))

    def from_points(self, points: Tensor) -> Tensor:
        """The same from where the frames lie, ``[clips, frames, dimensions]``."""
        return self.smoothed(self.kernel(points, self.centres) @ self.weights + self.mean_codes)

    def smoothed(self, codes: Tensor) -> Tensor:
        """Codes ``[clips, frames, lip_codes]`` without the jitter that a frame's own window leaves in them."""
        width = self.config.smoothing_frames
        if width == 0:
            return codes
        reach = min(round(3 * width + 0.5), codes.shape[1] - 1)
        taps = torch.exp(-0.5 * (torch.arange(-reach, reach + 1, dtype=codes.dtype, device=codes.device) / width) ** 2)
        padded = nn.functional.pad(codes.transpose(1, 2), (reach, reach), mode="replicate")
        clips, channels, frames = padded.shape
        smooth = nn.functional.conv1d(padded.reshape(clips * channels, 1, frames), (taps / taps.sum()).view(1, 1, -1))
        return smooth.view(clips, channels, -1).transpose(1, 2)

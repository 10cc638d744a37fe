"""Zipformer blocks along frequency and along time in turn, at a reduced rate (RAE-NeRF, sections 3.1.1 and 3.1.2)."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor, nn

from talkhead_core.audio.denoise.zip_enhancer.zipformer_block import BlockSize, Bypass, ZipformerBlock
from talkhead_core.parameters import require

__all__ = ["DownUpSampleStack", "StackSize", "relative_positions"]


@dataclass(frozen=True, kw_only=True)
class StackSize:
    """One Down-UpSample stack.

    Args:
        time_factor: every so many time steps are worked on as one.
        frequency_factor: and so many frequency bins.
        layers: pairs of a frequency block and a time block.
        block: sizes of the blocks.
    """

    time_factor: int = 1
    frequency_factor: int = 1
    layers: int = 1
    block: BlockSize = field(default_factory=BlockSize)

    def __post_init__(self) -> None:
        require(1 <= self.time_factor <= 16, f"time_factor must be 1 to 16, not {self.time_factor}")
        require(1 <= self.frequency_factor <= 16, f"frequency_factor must be 1 to 16, not {self.frequency_factor}")
        require(self.layers >= 1, f"layers must be at least 1, not {self.layers}")


def relative_positions(length: int, channels: int, device: torch.device, dtype: torch.dtype = torch.float32) -> Tensor:
    """Encoding of the offsets ``-(length - 1)`` to ``length - 1``: ``[2 length - 1, channels]`` (Yao et al. 2023, appendix).

    Offsets are compressed by a logarithm and bent onto a circle by an arc tangent, so that near offsets are told apart exactly
    and far ones roughly.
    """
    offset = torch.arange(-(length - 1), length, device=device, dtype=dtype)[:, None]
    reach = math.sqrt(channels)
    compressed = reach * offset.sign() * ((offset.abs() + reach).log() - math.log(reach))
    angle = (compressed / (channels / (2 * math.pi))).atan()
    phases = angle * (1 + torch.arange(channels // 2, device=device))
    encoding = torch.stack([phases.cos(), phases.sin()], dim=-1).flatten(1)
    encoding[:, -1] = 1.0  # a constant, for a bias
    return encoding


class DownSample(nn.Module):
    """Every ``factor`` steps averaged with learnt weights; the last step is repeated to fill up. ``[batch, length, channels]``."""

    def __init__(self, factor: int) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.zeros(factor))

    def forward(self, x: Tensor) -> Tensor:
        """To ``[batch, ceil(length / factor), channels]``."""
        factor = len(self.logits)
        missing = -x.shape[1] % factor
        if missing:
            x = torch.cat([x, x[:, -1:].expand(-1, missing, -1)], dim=1)
        grouped = x.reshape(x.shape[0], -1, factor, x.shape[2])
        return torch.einsum("blfc,f->blc", grouped, self.logits.softmax(dim=0))


class DownUpSampleStack(nn.Module):
    """Down-sampled in time and frequency, through dual-path blocks, up-sampled by repetition, and combined with the input."""

    def __init__(self, size: StackSize) -> None:
        super().__init__()
        self.size = size
        channels = size.block.channels
        self.frequency = nn.ModuleList(ZipformerBlock(size.block) for _ in range(size.layers))
        self.time = nn.ModuleList(ZipformerBlock(size.block) for _ in range(size.layers))
        self.path_bypass = Bypass(channels)
        self.reduced = size.time_factor > 1 or size.frequency_factor > 1
        if size.time_factor > 1:
            self.down_time = DownSample(size.time_factor)
        if size.frequency_factor > 1:
            self.down_frequency = DownSample(size.frequency_factor)
        if self.reduced:
            self.out_bypass = Bypass(channels)

    def forward(self, x: Tensor) -> Tensor:
        """``[batch, time, frequency, channels]``."""
        y = x
        if self.size.time_factor > 1:
            y = _along_time(y, self.down_time)
        if self.size.frequency_factor > 1:
            y = _along_frequency(y, self.down_frequency)
        y = self._dual_path(y)
        if not self.reduced:
            return y
        y = y.repeat_interleave(self.size.frequency_factor, dim=2)[:, :, : x.shape[2]]
        y = y.repeat_interleave(self.size.time_factor, dim=1)[:, : x.shape[1]]
        return self.out_bypass(x, y)

    def _dual_path(self, x: Tensor) -> Tensor:
        channels = self.size.block.position
        over_frequency = relative_positions(x.shape[2], channels, x.device, x.dtype)
        over_time = relative_positions(x.shape[1], channels, x.device, x.dtype)
        for frequency, time in zip(self.frequency, self.time, strict=True):
            x = self.path_bypass(x, _along_frequency(x, partial(frequency, positions=over_frequency)))
            x = self.path_bypass(x, _along_time(x, partial(time, positions=over_time)))
        return x


def _along_frequency(x: Tensor, work: Callable[[Tensor], Tensor]) -> Tensor:
    batch, time, frequency, channels = x.shape
    done = work(x.reshape(batch * time, frequency, channels))
    return done.reshape(batch, time, -1, channels)


def _along_time(x: Tensor, work: Callable[[Tensor], Tensor]) -> Tensor:
    batch, time, frequency, channels = x.shape
    done = work(x.transpose(1, 2).reshape(batch * frequency, time, channels))
    return done.reshape(batch, frequency, -1, channels).transpose(1, 2)

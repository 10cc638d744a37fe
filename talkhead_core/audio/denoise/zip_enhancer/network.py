"""The network: dense encoder, dual-path stacks, decoders of magnitude and phase."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from talkhead_core.audio.denoise.zip_enhancer.dual_path import DownUpSampleStack, StackSize
from talkhead_core.audio.denoise.zip_enhancer.zipformer_block import BlockSize
from talkhead_core.parameters import require

__all__ = ["NetworkSize", "ZipEnhancer", "compressed_complex", "compressed_spectrum", "waveform"]

_FFT = 400
_HOP = 100
_COMPRESSION = 0.3
_TINY_POWER = 1e-9  # the small constants are those the official weights were trained with
_TINY_REAL = 1e-5


@dataclass(frozen=True, kw_only=True)
class NetworkSize:
    """Sizes of ZipEnhancer.

    Args:
        channels: of the dense encoder and the decoders.
        stacks: the Down-UpSample stacks in order; all have ``channels`` channels.
    """

    channels: int = 64
    stacks: tuple[StackSize, ...] = (
        StackSize(),
        StackSize(time_factor=2, frequency_factor=2),
        StackSize(time_factor=2, frequency_factor=2),
        StackSize(),
    )

    def __post_init__(self) -> None:
        require(self.channels >= 2, f"channels must be at least 2, not {self.channels}")
        require(len(self.stacks) >= 1, "stacks must not be empty")
        others = [stack.block.channels for stack in self.stacks if stack.block.channels != self.channels]
        require(not others, f"the blocks of every stack must have {self.channels} channels as the encoder has, not {others[:1]}")

    @classmethod
    def small(cls) -> NetworkSize:
        """A network of 96 thousand parameters, for training on a processor."""
        block = BlockSize(channels=16, heads=2, query=8, position_query=4, value=8, position=16, feed_forward=64, kernel=9)
        stack = StackSize(time_factor=2, frequency_factor=4, block=block)
        return cls(channels=16, stacks=(stack, stack))


def _spectrum(audio: Tensor) -> Tensor:
    """Audio ``[batch, samples]`` to its complex spectrum ``[batch, time, 201]``; 25 ms Hann window, hop 6.25 ms."""
    window = torch.hann_window(_FFT, device=audio.device)
    return torch.stft(audio, _FFT, _HOP, _FFT, window, center=True, pad_mode="reflect", return_complex=True).transpose(1, 2)


def compressed_spectrum(audio: Tensor) -> tuple[Tensor, Tensor]:
    """Audio ``[batch, samples]`` to magnitude^0.3 and phase, ``[batch, time, 201]``; 25 ms Hann window, hop 6.25 ms."""
    spectrum = _spectrum(audio)
    magnitude = torch.sqrt(spectrum.real**2 + spectrum.imag**2 + _TINY_POWER)
    return magnitude**_COMPRESSION, torch.atan2(spectrum.imag, spectrum.real + _TINY_REAL)


def compressed_complex(audio: Tensor) -> Tensor:
    """The same as one complex number a bin, real and imaginary part last: ``[batch, time, 201, 2]``; its gradient has no poles."""
    spectrum = torch.view_as_real(_spectrum(audio))
    return spectrum * (spectrum.square().sum(dim=-1, keepdim=True) + _TINY_POWER) ** ((_COMPRESSION - 1) / 2)


def waveform(magnitude: Tensor, phase: Tensor, samples: int) -> Tensor:
    """The inverse of :func:`compressed_spectrum`: ``[batch, samples]``."""
    spectrum = torch.polar(magnitude ** (1 / _COMPRESSION), phase).transpose(1, 2)
    window = torch.hann_window(_FFT, device=magnitude.device)
    return torch.istft(spectrum, _FFT, _HOP, _FFT, window, center=True, length=samples)


def _normalised(channels: int) -> list[nn.Module]:
    return [nn.InstanceNorm2d(channels, affine=True), nn.PReLU(channels)]


class DenseBlock(nn.Module):
    """Four convolutions, dilated in time and causal, each of which sees all before it."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            nn.Sequential(
                nn.ConstantPad2d((1, 1, 2**depth, 0), 0.0),
                nn.Conv2d(channels * (depth + 1), channels, (2, 3), dilation=(2**depth, 1)),
                *_normalised(channels),
            )
            for depth in range(4)
        )

    def forward(self, x: Tensor) -> Tensor:
        """``[batch, channels, time, frequency]``."""
        seen = x
        for layer in self.layers:
            x = layer(seen)
            seen = torch.cat([x, seen], dim=1)
        return x


class DenseEncoder(nn.Module):
    """Magnitude and phase ``[batch, 2, time, 201]`` to ``[batch, channels, time, 101]``."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.widen = nn.Sequential(nn.Conv2d(2, channels, 1), *_normalised(channels))
        self.dense = DenseBlock(channels)
        self.halve = nn.Sequential(nn.Conv2d(channels, channels, (1, 3), (1, 2), padding=(0, 1)), *_normalised(channels))

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        return self.halve(self.dense(self.widen(x)))


class Decoder(nn.Module):
    """``[batch, channels, time, 101]`` to one or more maps ``[batch, 1, time, 201]``.

    Args:
        channels: of the input.
        maps: how many maps.
    """

    def __init__(self, channels: int, maps: int) -> None:
        super().__init__()
        self.dense = DenseBlock(channels)
        self.upsample = nn.Conv2d(channels, 2 * channels, (1, 3), padding=(0, 1))
        self.settle = nn.Sequential(*_normalised(channels))
        self.maps = nn.ModuleList(nn.Conv2d(channels, 1, (1, 2)) for _ in range(maps))

    def forward(self, x: Tensor) -> list[Tensor]:
        """See the class."""
        x = self.upsample(self.dense(x))
        batch, channels, time, frequency = x.shape
        # the two halves of the channels become even and odd bins (sub-pixel convolution)
        x = x.view(batch, channels // 2, 2, time, frequency).permute(0, 1, 3, 4, 2).reshape(batch, channels // 2, time, 2 * frequency)
        x = self.settle(x)
        return [to_map(x) for to_map in self.maps]


class ZipEnhancer(nn.Module):
    """Noisy to clean compressed spectra."""

    def __init__(self, size: NetworkSize) -> None:
        super().__init__()
        self.size = size
        self.encoder = DenseEncoder(size.channels)
        self.stacks = nn.ModuleList(DownUpSampleStack(stack) for stack in size.stacks)
        self.magnitude_decoder = Decoder(size.channels, 1)
        self.phase_decoder = Decoder(size.channels, 2)

    def forward(self, magnitude: Tensor, phase: Tensor) -> tuple[Tensor, Tensor]:
        """Compressed magnitude and phase ``[batch, time, 201]`` of noisy speech to those of clean speech."""
        x = self.encoder(torch.stack([magnitude, phase], dim=1)).permute(0, 2, 3, 1)
        for stack in self.stacks:
            x = stack(x)
        x = x.permute(0, 3, 1, 2)
        (clean,) = self.magnitude_decoder(x)
        real, imaginary = self.phase_decoder(x)
        return clean.relu().squeeze(1), torch.atan2(imaginary, real).squeeze(1)

    def enhance(self, audio: Tensor) -> Tensor:
        """Noisy ``[batch, samples]`` of any level to clean; silence stays silence."""
        level = audio.square().mean(dim=1, keepdim=True).sqrt()
        magnitude, phase = compressed_spectrum(audio / level.clamp(min=1e-8))
        clean_magnitude, clean_phase = self(magnitude, phase)
        return waveform(clean_magnitude, clean_phase, audio.shape[1]) * torch.where(level > 1e-7, level, 0.0)

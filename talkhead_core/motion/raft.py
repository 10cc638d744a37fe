"""RAFT-small (Teed and Deng, RAFT: Recurrent All-Pairs Field Transforms for Optical Flow, ECCV 2020).

Modules bear the names of torchvision's weights. Features are at an eighth of the image's size; ``h`` and ``w`` below are
those sizes.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["RaftSmall", "correlation_around", "correlation_pyramid"]

_LEVELS, _RADIUS = 4, 3
_HIDDEN, _CONTEXT = 96, 64
_UPDATES = 12


def _conv(inputs: int, outputs: int, size: int, *, stride: int = 1, norm: bool = False, relu: bool = True) -> nn.Sequential:
    parts: list[nn.Module] = [nn.Conv2d(inputs, outputs, size, stride, size // 2)]
    if norm:
        parts.append(nn.InstanceNorm2d(outputs))
    if relu:
        parts.append(nn.ReLU())
    return nn.Sequential(*parts)


class _Bottleneck(nn.Module):
    def __init__(self, inputs: int, outputs: int, *, stride: int, norm: bool) -> None:
        super().__init__()
        inner = outputs // 4
        self.convnormrelu1 = _conv(inputs, inner, 1, norm=norm)
        self.convnormrelu2 = _conv(inner, inner, 3, stride=stride, norm=norm)
        self.convnormrelu3 = _conv(inner, outputs, 1, norm=norm)
        self.downsample = nn.Identity() if stride == 1 else _conv(inputs, outputs, 1, stride=stride, norm=norm, relu=False)

    def forward(self, x: Tensor) -> Tensor:
        y = self.convnormrelu3(self.convnormrelu2(self.convnormrelu1(x)))
        return F.relu(self.downsample(x) + y)


class _Encoder(nn.Module):
    """Image ``[n, 3, 8 h, 8 w]`` to features ``[n, outputs, h, w]``."""

    def __init__(self, outputs: int, *, norm: bool) -> None:
        super().__init__()
        self.convnormrelu = _conv(3, 32, 7, stride=2, norm=norm)
        self.layer1 = nn.Sequential(_Bottleneck(32, 32, stride=1, norm=norm), _Bottleneck(32, 32, stride=1, norm=norm))
        self.layer2 = nn.Sequential(_Bottleneck(32, 64, stride=2, norm=norm), _Bottleneck(64, 64, stride=1, norm=norm))
        self.layer3 = nn.Sequential(_Bottleneck(64, 96, stride=2, norm=norm), _Bottleneck(96, 96, stride=1, norm=norm))
        self.conv = nn.Conv2d(96, outputs, 1)

    def forward(self, image: Tensor) -> Tensor:
        return self.conv(self.layer3(self.layer2(self.layer1(self.convnormrelu(image)))))


class _MotionEncoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.convcorr1 = _conv(_LEVELS * (2 * _RADIUS + 1) ** 2, 96, 1)
        self.convflow1 = _conv(2, 64, 7)
        self.convflow2 = _conv(64, 32, 3)
        self.conv = _conv(96 + 32, 80, 3)

    def forward(self, flow: Tensor, correlation: Tensor) -> Tensor:
        both = torch.cat([self.convcorr1(correlation), self.convflow2(self.convflow1(flow))], dim=1)
        return torch.cat([self.conv(both), flow], dim=1)


class _ConvGru(nn.Module):
    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.convz, self.convr, self.convq = (nn.Conv2d(_HIDDEN + inputs, _HIDDEN, 3, padding=1) for _ in range(3))

    def forward(self, hidden: Tensor, x: Tensor) -> Tensor:
        both = torch.cat([hidden, x], dim=1)
        update, reset = torch.sigmoid(self.convz(both)), torch.sigmoid(self.convr(both))
        candidate = torch.tanh(self.convq(torch.cat([reset * hidden, x], dim=1)))
        return (1 - update) * hidden + update * candidate


class _RecurrentBlock(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.convgru1 = _ConvGru(_CONTEXT + 82)

    def forward(self, hidden: Tensor, x: Tensor) -> Tensor:
        return self.convgru1(hidden, x)


class _FlowHead(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(_HIDDEN, 128, 3, padding=1), nn.Conv2d(128, 2, 3, padding=1)

    def forward(self, hidden: Tensor) -> Tensor:
        return self.conv2(F.relu(self.conv1(hidden)))


class _UpdateBlock(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.motion_encoder, self.recurrent_block, self.flow_head = _MotionEncoder(), _RecurrentBlock(), _FlowHead()

    def forward(self, hidden: Tensor, context: Tensor, correlation: Tensor, flow: Tensor) -> tuple[Tensor, Tensor]:
        hidden = self.recurrent_block(hidden, torch.cat([context, self.motion_encoder(flow, correlation)], dim=1))
        return hidden, self.flow_head(hidden)


class RaftSmall(nn.Module):
    """RAFT-small: 990,162 parameters, 12 updates, bilinear upsampling."""

    def __init__(self) -> None:
        super().__init__()
        self.feature_encoder = _Encoder(128, norm=True)
        self.context_encoder = _Encoder(_HIDDEN + _CONTEXT, norm=False)
        self.update_block = _UpdateBlock()

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """Two images ``[1, 3, 8 h, 8 w]`` of values 0 to 255 to displacement ``[1, 2, 8 h, 8 w]`` in pixels."""
        first, second = first / 127.5 - 1, second / 127.5 - 1
        features = self.feature_encoder(torch.cat([first, second]))
        pyramid = correlation_pyramid(features[:1], features[1:])
        hidden, context = self.context_encoder(first).split([_HIDDEN, _CONTEXT], dim=1)
        hidden, context = torch.tanh(hidden), F.relu(context)
        flow = torch.zeros_like(hidden[:, :2])
        for _ in range(_UPDATES):
            hidden, change = self.update_block(hidden, context, correlation_around(pyramid, flow), flow)
            flow = flow + change
        return 8 * F.interpolate(flow, scale_factor=8, mode="bilinear", align_corners=True)


def correlation_pyramid(first: Tensor, second: Tensor) -> list[Tensor]:
    """All pairs' correlation ``[h * w, 1, h / 2^l, w / 2^l]`` at each level ``l``, from features ``[1, C, h, w]``."""
    _, channels, height, width = first.shape
    volume = first.reshape(channels, -1).T @ second.reshape(channels, -1) / channels**0.5
    pyramid = [volume.reshape(height * width, 1, height, width)]
    for _ in range(_LEVELS - 1):
        pyramid.append(F.avg_pool2d(pyramid[-1], 2))
    return pyramid


def correlation_around(pyramid: list[Tensor], flow: Tensor) -> Tensor:
    """Correlation of each pixel with the 7 x 7 around where ``flow`` ``[1, 2, h, w]`` takes it, at each level: ``[1, 196, h, w]``."""
    _, _, height, width = flow.shape
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    centre = (torch.stack([columns, rows]) + flow[0]).permute(1, 2, 0).reshape(-1, 1, 1, 2)
    steps = torch.arange(-_RADIUS, _RADIUS + 1, dtype=flow.dtype)
    # The first axis of the window moves right and the second down: the order in which the weights were trained.
    window = torch.stack(torch.meshgrid(steps, steps, indexing="ij"), dim=-1)
    found = []
    for level, volume in enumerate(pyramid):
        position = centre / 2**level + window
        size = torch.tensor([volume.shape[3] - 1, volume.shape[2] - 1], dtype=flow.dtype)
        found.append(F.grid_sample(volume, 2 * position / size - 1, align_corners=True).reshape(height, width, -1))
    return torch.cat(found, dim=-1).permute(2, 0, 1)[None]

"""GMFlow (Xu et al., GMFlow: Learning Optical Flow via Global Matching, CVPR 2022), one scale.

Modules bear the names of the official weights. Features are at an eighth of the image's size; ``h`` and ``w`` below are those
sizes. Attention works in 2 x 2 windows of the image, shifted by half a window in every second block (as in Swin).
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["GmFlow", "matched", "windows", "without_windows"]

_CHANNELS, _BLOCKS, _EXPANSION = 128, 6, 4
_SPLITS = 2
_FACTOR = 8


class _Residual(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        same = stride == 1 and inputs == outputs
        self.downsample = None if same else nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride), nn.InstanceNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(F.instance_norm(self.conv1(x)))
        y = F.relu(F.instance_norm(self.conv2(y)))
        return F.relu((x if self.downsample is None else self.downsample(x)) + y)


class _Backbone(nn.Module):
    """Image ``[n, 3, 8 h, 8 w]`` to features ``[n, 128, h, w]``."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.layer1 = nn.Sequential(_Residual(64, 64, 1), _Residual(64, 64, 1))
        self.layer2 = nn.Sequential(_Residual(64, 96, 2), _Residual(96, 96, 1))
        self.layer3 = nn.Sequential(_Residual(96, 128, 2), _Residual(128, 128, 1))
        self.conv2 = nn.Conv2d(128, _CHANNELS, 1)

    def forward(self, image: Tensor) -> Tensor:
        return self.conv2(self.layer3(self.layer2(self.layer1(F.relu(F.instance_norm(self.conv1(image)))))))


class _Attention(nn.Module):
    """Windowed attention of ``source`` to ``target``, both ``[n, h, w, C]``; with or without the perceptron after it."""

    def __init__(self, *, shifted: bool, perceptron: bool) -> None:
        super().__init__()
        self._shifted = shifted
        self.q_proj, self.k_proj, self.v_proj, self.merge = (nn.Linear(_CHANNELS, _CHANNELS, bias=False) for _ in range(4))
        self.norm1 = nn.LayerNorm(_CHANNELS)
        self.mlp: nn.Sequential | None = None
        if perceptron:
            wide = 2 * _CHANNELS * _EXPANSION
            self.mlp = nn.Sequential(nn.Linear(2 * _CHANNELS, wide, bias=False), nn.GELU(), nn.Linear(wide, _CHANNELS, bias=False))
            self.norm2 = nn.LayerNorm(_CHANNELS)

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        height, width = source.shape[1:3]
        shift = (height // _SPLITS // 2, width // _SPLITS // 2) if self._shifted else (0, 0)
        query, key, value = (
            windows(torch.roll(x, (-shift[0], -shift[1]), (1, 2))) for x in (self.q_proj(source), self.k_proj(target), self.v_proj(target))
        )
        scores = query @ key.transpose(1, 2) / _CHANNELS**0.5
        if self._shifted:
            scores = scores + _strangers(height, width, shift).repeat(len(source), 1, 1)
        message = without_windows(scores.softmax(dim=-1) @ value, height, width)
        message = self.norm1(self.merge(torch.roll(message, shift, (1, 2))))
        if self.mlp is not None:
            message = self.norm2(self.mlp(torch.cat([source, message], dim=-1)))
        return source + message


class _Block(nn.Module):
    def __init__(self, *, shifted: bool) -> None:
        super().__init__()
        self.self_attn = _Attention(shifted=shifted, perceptron=False)
        self.cross_attn_ffn = _Attention(shifted=shifted, perceptron=True)

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        return self.cross_attn_ffn(self.self_attn(source, source), target)


class _Transformer(nn.Module):
    """Features of both images, stacked ``[2, h, w, C]``, each enriched by the other."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(_Block(shifted=index % 2 == 1) for index in range(_BLOCKS))

    def forward(self, both: Tensor) -> Tensor:
        for layer in self.layers:
            both = layer(both, both.flip(0))
        return both


class _Propagation(nn.Module):
    """Flow ``[1, 2, h, w]`` spread to pixels that look alike, by attention over features ``[1, C, h, w]``."""

    def __init__(self) -> None:
        super().__init__()
        self.q_proj, self.k_proj = nn.Linear(_CHANNELS, _CHANNELS), nn.Linear(_CHANNELS, _CHANNELS)

    def forward(self, feature: Tensor, flow: Tensor) -> Tensor:
        query = self.q_proj(feature.flatten(2).transpose(1, 2))
        # The key is projected from the query, as the official weights were trained.
        weight = (query @ self.k_proj(query).transpose(1, 2) / _CHANNELS**0.5).softmax(dim=-1)
        return (weight @ flow.flatten(2).transpose(1, 2)).transpose(1, 2).reshape(flow.shape)


class GmFlow(nn.Module):
    """GMFlow of one scale: 4.7 million parameters."""

    mean: Tensor
    deviation: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.backbone, self.transformer, self.feature_flow_attn = _Backbone(), _Transformer(), _Propagation()
        self.upsampler = nn.Sequential(nn.Conv2d(2 + _CHANNELS, 256, 3, 1, 1), nn.ReLU(), nn.Conv2d(256, _FACTOR**2 * 9, 1))
        self.register_buffer("mean", torch.tensor([0.485, 0.456, 0.406]).reshape(3, 1, 1), persistent=False)
        self.register_buffer("deviation", torch.tensor([0.229, 0.224, 0.225]).reshape(3, 1, 1), persistent=False)

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """Two images ``[1, 3, 8 h, 8 w]`` of values 0 to 255, h and w even, to displacement ``[1, 2, 8 h, 8 w]`` in pixels."""
        images = (torch.cat([first, second]) / 255 - self.mean) / self.deviation
        both = self.backbone(images)
        height, width = both.shape[2:]
        position = _position(height // _SPLITS, width // _SPLITS).repeat(1, _SPLITS, _SPLITS)
        both = self.transformer((both + position).permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        flow = self.feature_flow_attn(both[:1], matched(both[:1], both[1:]))
        return self._upsampled(flow, both[:1])

    def _upsampled(self, flow: Tensor, feature: Tensor) -> Tensor:
        """Each fine pixel as a convex combination of the 3 x 3 coarse ones around it."""
        _, _, height, width = flow.shape
        weight = self.upsampler(torch.cat([flow, feature], dim=1)).reshape(1, 9, _FACTOR, _FACTOR, height, width).softmax(dim=1)
        around = F.unfold(_FACTOR * flow, 3, padding=1).reshape(2, 9, 1, 1, height, width)
        fine = (weight * around).sum(dim=1)  # [2, 8, 8, h, w]
        return fine.permute(0, 3, 1, 4, 2).reshape(1, 2, _FACTOR * height, _FACTOR * width)


def windows(tokens: Tensor) -> Tensor:
    """``[n, h, w, C]`` to ``[n * 4, h / 2 * w / 2, C]``: each image's windows row by row."""
    count, height, width, channels = tokens.shape
    split = tokens.reshape(count, _SPLITS, height // _SPLITS, _SPLITS, width // _SPLITS, channels)
    return split.transpose(2, 3).reshape(count * _SPLITS**2, -1, channels)


def without_windows(tokens: Tensor, height: int, width: int) -> Tensor:
    """The inverse of :func:`windows`."""
    split = tokens.reshape(-1, _SPLITS, _SPLITS, height // _SPLITS, width // _SPLITS, tokens.shape[-1])
    return split.transpose(2, 3).reshape(-1, height, width, tokens.shape[-1])


def _strangers(height: int, width: int, shift: tuple[int, int]) -> Tensor:
    """Penalty ``[4, n, n]`` between tokens that only the shift has brought into one window."""

    def origin(size: int, by: int) -> Tensor:
        index = torch.arange(size)
        return (index >= size - size // _SPLITS).long() + (index >= size - by).long()

    region = (3 * origin(height, shift[0])[:, None] + origin(width, shift[1])[None, :]).float()
    of_window = windows(region[None, ..., None])[..., 0]
    return -100.0 * (of_window[:, :, None] != of_window[:, None, :]).float()


def _position(height: int, width: int) -> Tensor:
    """Sine embedding ``[C, height, width]``: rows in the first half of the channels, columns in the second."""
    half = _CHANNELS // 2
    wave = 10_000 ** (2 * (torch.arange(half) // 2) / half)

    def embedded(size: int) -> Tensor:
        angle = torch.arange(1, size + 1)[:, None] / (size + 1e-6) * 2 * math.pi / wave
        return torch.stack([angle[:, 0::2].sin(), angle[:, 1::2].cos()], dim=-1).flatten(1).T

    rows, columns = embedded(height)[:, :, None].expand(-1, -1, width), embedded(width)[:, None, :].expand(-1, height, -1)
    return torch.cat([rows, columns])


def matched(first: Tensor, second: Tensor) -> Tensor:
    """Flow ``[1, 2, h, w]``: from each pixel to where its features ``[1, C, h, w]`` are found, over the whole image (eq. 3 to 5)."""
    _, channels, height, width = first.shape
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    grid = torch.stack([columns, rows]).to(first.dtype)
    probability = (first.flatten(2).transpose(1, 2) @ second.flatten(2) / channels**0.5).softmax(dim=-1)
    place = (probability @ grid.flatten(1).T).transpose(1, 2).reshape(1, 2, height, width)
    return place - grid

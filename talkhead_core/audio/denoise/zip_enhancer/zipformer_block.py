"""One Zipformer block (Yao et al. 2023, figure 2), over sequences ``[batch, length, channels]``.

Attention weights are computed once and used three times; between them stand feed-forward and convolution modules, and learnt
bypasses instead of plain residual connections.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from talkhead_core.parameters import require

__all__ = ["BlockSize", "Bypass", "ZipformerBlock"]


@dataclass(frozen=True, kw_only=True)
class BlockSize:
    """Sizes of a Zipformer block.

    Args:
        channels: of its input and output.
        heads: of the attention.
        query: channels of a query or key, per head.
        position_query: channels of the query for relative positions, per head.
        value: channels of a value, per head.
        position: channels of the encoding of relative positions.
        feed_forward: hidden channels of the second feed-forward module; the first has 3/4 of them, the third 5/4.
        kernel: length of the depthwise convolutions, odd.
    """

    channels: int = 64
    heads: int = 4
    query: int = 12
    position_query: int = 4
    value: int = 8
    position: int = 24
    feed_forward: int = 256
    kernel: int = 15

    def __post_init__(self) -> None:
        sizes = (self.heads, self.query, self.position_query, self.value)
        require(min(sizes) >= 1, f"heads, query, position_query and value must be at least 1, not {sizes}")
        require(self.channels >= 2, f"channels must be at least 2, not {self.channels}")
        require(self.position >= 2 and self.position % 2 == 0, f"position must be even, not {self.position}")
        require(self.feed_forward >= 2, f"feed_forward must be at least 2, not {self.feed_forward}")
        require(self.kernel >= 1 and self.kernel % 2 == 1, f"kernel must be odd, not {self.kernel}")


def _swoosh_left(x: Tensor) -> Tensor:
    """SwooshL (Yao et al. 2023, eq. 3)."""
    return nn.functional.softplus(x - 4.0) - 0.08 * x - 0.035


def _swoosh_right(x: Tensor) -> Tensor:
    """SwooshR (Yao et al. 2023, eq. 2)."""
    return nn.functional.softplus(x - 1.0) - 0.08 * x - 0.313261687


class Bypass(nn.Module):
    """``(1 - w) x + w y`` with a weight a channel (RAE-NeRF, eq. 1); channels last."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((channels,), 0.5))

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """``x`` is what may be bypassed to, ``y`` what the wrapped module made of it."""
        return x + (y - x) * self.weight


class BiasNorm(nn.Module):
    """Division by the root mean square about a learnt bias, times a learnt scale (Yao et al. 2023, eq. 1)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(channels))
        self.log_scale = nn.Parameter(torch.tensor(1.0))

    def forward(self, x: Tensor) -> Tensor:
        """``[..., channels]``."""
        return x * torch.rsqrt(torch.mean((x - self.bias) ** 2, dim=-1, keepdim=True)) * self.log_scale.exp()


class FeedForward(nn.Module):
    """Linear, SwooshL, linear."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.expand = nn.Linear(channels, hidden)
        self.contract = nn.Linear(hidden, channels)

    def forward(self, x: Tensor) -> Tensor:
        """``[..., channels]``."""
        return self.contract(_swoosh_left(self.expand(x)))


class AttentionWeights(nn.Module):
    """Attention with relative positions: ``[heads, batch, length, length]``, rows sum to one."""

    def __init__(self, size: BlockSize) -> None:
        super().__init__()
        self.size = size
        self.project = nn.Linear(size.channels, size.heads * (2 * size.query + size.position_query))
        self.position = nn.Linear(size.position, size.heads * size.position_query, bias=False)
        # the projection carries the scaling by the width of the queries: half of it each in queries and keys
        with torch.no_grad():
            self.project.weight *= size.query**-0.25
            self.position.weight *= 0.05

    def forward(self, x: Tensor, positions: Tensor) -> Tensor:
        """``x [batch, length, channels]``, ``positions [2 length - 1, position]``."""
        size, (batch, length, _) = self.size, x.shape
        widths = [size.heads * size.query] * 2 + [size.heads * size.position_query]
        query, key, place = self.project(x).split(widths, dim=-1)
        query = query.view(batch, length, size.heads, size.query).permute(2, 0, 1, 3)
        key = key.view(batch, length, size.heads, size.query).permute(2, 0, 3, 1)
        place = place.view(batch, length, size.heads, size.position_query).permute(2, 0, 1, 3)
        offsets = self.position(positions).view(-1, size.heads, size.position_query).permute(1, 2, 0).unsqueeze(1)
        by_offset = place @ offsets  # [heads, batch, length, 2 length - 1]
        steps = torch.arange(length, device=x.device)
        wanted = (length - 1 - steps[:, None] + steps[None, :]).expand(size.heads, batch, length, length)
        return (query @ key + by_offset.gather(-1, wanted)).softmax(dim=-1)


class Attention(nn.Module):
    """Values averaged with attention weights that are already known."""

    def __init__(self, size: BlockSize) -> None:
        super().__init__()
        self.value = nn.Linear(size.channels, size.heads * size.value)
        self.out = nn.Linear(size.heads * size.value, size.channels)

    def forward(self, x: Tensor, weights: Tensor) -> Tensor:
        """``x [batch, length, channels]``, ``weights [heads, batch, length, length]``."""
        return self.out(_attended(self.value(x), weights))


class NonlinearAttention(nn.Module):
    """Attention in place of a convolution, gated before and after; uses the first head's weights."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        hidden = 3 * channels // 4
        self.project = nn.Linear(channels, 3 * hidden)
        self.out = nn.Linear(hidden, channels)

    def forward(self, x: Tensor, weights: Tensor) -> Tensor:
        """``x [batch, length, channels]``, ``weights [1, batch, length, length]``."""
        before, values, after = self.project(x).chunk(3, dim=-1)
        return self.out(_attended(values * torch.tanh(before), weights) * after)


class Convolution(nn.Module):
    """Gated linear unit, depthwise convolution, SwooshR, linear."""

    def __init__(self, channels: int, kernel: int) -> None:
        super().__init__()
        self.gated = nn.Linear(channels, 2 * channels)
        self.depthwise = nn.Conv1d(channels, channels, kernel, padding=kernel // 2, groups=channels)
        self.out = nn.Linear(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """``[batch, length, channels]``."""
        value, gate = self.gated(x).chunk(2, dim=-1)
        mixed = self.depthwise((value * torch.sigmoid(gate)).transpose(1, 2)).transpose(1, 2)
        return self.out(_swoosh_right(mixed))


class ZipformerBlock(nn.Module):
    """Feed-forward, attention and convolution twice over, within a bypass in the middle and one around all."""

    def __init__(self, size: BlockSize) -> None:
        super().__init__()
        self.attention_weights = AttentionWeights(size)
        self.feed_forward1 = FeedForward(size.channels, size.feed_forward * 3 // 4)
        self.nonlinear_attention = NonlinearAttention(size.channels)
        self.attention1 = Attention(size)
        self.convolution1 = Convolution(size.channels, size.kernel)
        self.feed_forward2 = FeedForward(size.channels, size.feed_forward)
        self.middle_bypass = Bypass(size.channels)
        self.attention2 = Attention(size)
        self.convolution2 = Convolution(size.channels, size.kernel)
        self.feed_forward3 = FeedForward(size.channels, size.feed_forward * 5 // 4)
        self.norm = BiasNorm(size.channels)
        self.bypass = Bypass(size.channels)

    def forward(self, x: Tensor, positions: Tensor) -> Tensor:
        """``x [batch, length, channels]``, ``positions [2 length - 1, position]``."""
        weights = self.attention_weights(x, positions)
        y = x + self.feed_forward1(x)
        y = y + self.nonlinear_attention(y, weights[:1])
        y = y + self.attention1(y, weights)
        y = y + self.convolution1(y)
        y = y + self.feed_forward2(y)
        y = self.middle_bypass(x, y)
        y = y + self.attention2(y, weights)
        y = y + self.convolution2(y)
        y = y + self.feed_forward3(y)
        return self.bypass(x, self.norm(y))


def _attended(values: Tensor, weights: Tensor) -> Tensor:
    """``values [batch, length, channels]`` averaged head by head with ``weights [heads, batch, length, length]``."""
    batch, length, channels = values.shape
    heads = len(weights)
    by_head = values.view(batch, length, heads, channels // heads).permute(2, 0, 1, 3)
    return (weights @ by_head).permute(1, 2, 0, 3).reshape(batch, length, channels)

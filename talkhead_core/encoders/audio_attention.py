"""Attention over the audio codes of neighbouring frames, which smooths what is heard (AD-NeRF's AudioAttNet; ER-NeRF, SyncTalk)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["ATTENTION_AFTER", "ATTENTION_BEFORE", "AudioAttention"]

ATTENTION_BEFORE, ATTENTION_AFTER = 4, 3
"""Frames before and after the one that is spoken: eight in all."""


class AudioAttention(nn.Module):
    """Weights for eight frames from five small convolutions, a linear layer and a softmax; their weighted sum is the code.

    Args:
        channels: size of an audio code.
    """

    frames = ATTENTION_BEFORE + 1 + ATTENTION_AFTER

    def __init__(self, channels: int) -> None:
        super().__init__()
        sizes = (channels, 16, 8, 4, 2, 1)
        layers: list[nn.Module] = []
        for inputs, width in zip(sizes[:-1], sizes[1:], strict=True):
            layers += [nn.Conv1d(inputs, width, 3, padding=1), nn.LeakyReLU(0.02)]
        self.convolutions = nn.Sequential(*layers)
        self.linear = nn.Linear(self.frames, self.frames)

    def forward(self, codes: Tensor) -> Tensor:
        """``[rows, 8, channels]``, frames -4 to +3, to ``[rows, channels]``."""
        weight = torch.softmax(self.linear(self.convolutions(codes.transpose(1, 2)).squeeze(1)), dim=1)
        return (weight.unsqueeze(2) * codes).sum(dim=1)

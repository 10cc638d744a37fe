"""RAE-NeRF's fully connected residual block and the audio encoder made of it."""

from __future__ import annotations

from torch import Tensor, nn

__all__ = ["FCResBlock", "ResidualAudioEncoder"]


class FCResBlock(nn.Module):
    """``y = LeakyReLU(W2 LeakyReLU(W1 x + b1) + b2 + r)`` with ``r = x`` or a projection of it (RAE-NeRF eq. 2).

    Args:
        inputs: size of ``x``.
        outputs: size of ``y``; when it differs from ``inputs`` the residual path is a linear layer.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.first = nn.Linear(inputs, outputs)
        self.second = nn.Linear(outputs, outputs)
        self.residual = nn.Identity() if inputs == outputs else nn.Linear(inputs, outputs)
        self.activation = nn.LeakyReLU(0.02)

    def forward(self, x: Tensor) -> Tensor:
        """``[..., inputs]`` to ``[..., outputs]``."""
        return self.activation(self.second(self.activation(self.first(x))) + self.residual(x))


class ResidualAudioEncoder(nn.Sequential):
    """Three blocks, 512 to 256 to 128 to 64 (RAE-NeRF section 3.2.1)."""

    def __init__(self, inputs: int = 512, outputs: int = 64) -> None:
        super().__init__(FCResBlock(inputs, 256), FCResBlock(256, 128), FCResBlock(128, outputs))

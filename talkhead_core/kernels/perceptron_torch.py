"""The reference of the field's small network in plain torch, on any device."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["perceptron"]


def perceptron(features: Tensor, biases: Tensor, first: Tensor, second: Tensor, last: Tensor, last_bias: Tensor) -> Tensor:
    """Two hidden layers with ReLU whose biases are those of the sample's frame, and a linear last layer.

    Args:
        features: ``[channels, frames * samples]``, frame-major, the same number of samples a frame.
        biases: ``[frames, 2, hidden]`` of the hidden layers.
        first: ``[hidden, channels]``.
        second: ``[hidden, hidden]``.
        last: ``[outputs, hidden]``.
        last_bias: ``[outputs]``.

    Returns:
        ``[outputs, frames * samples]`` float32, differentiable in every argument.
    """
    frames, _, width = biases.shape
    per_frame = features.shape[1] // frames
    hidden = (features.t() @ first.t()).view(frames, per_frame, width)
    hidden = torch.relu(hidden + biases[:, None, 0].to(hidden.dtype))
    hidden = hidden @ second.t()
    hidden = torch.relu(hidden + biases[:, None, 1].to(hidden.dtype))
    return torch.nn.functional.linear(hidden.view(-1, width), last, last_bias).float().t()

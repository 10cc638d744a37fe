"""The reference tri-plane hash encoding in plain torch, on any device."""

from __future__ import annotations

import torch
from torch import Tensor

from talkhead_core.kernels.hash_layout import HASH_PRIME, PLANE_AXES, HashLayout

__all__ = ["encode"]


def encode(points: Tensor, table: Tensor, layout: HashLayout) -> Tensor:
    """Encode points by bilinear interpolation on three planes at every level.

    Args:
        points: ``[3, samples]`` in [0, 1]; values beyond are clamped to the border.
        table: ``[entries, features]``.
        layout: sizes of the grid.

    Returns:
        ``[3 * levels * features, samples]``, differentiable in ``table`` and ``points``.
    """
    outputs = []
    for plane, (first, second) in enumerate(PLANE_AXES):
        a, b = points[first].clamp(0.0, 1.0), points[second].clamp(0.0, 1.0)
        for level, resolution in enumerate(layout.resolutions.tolist()):
            start, end = layout.offsets[plane * layout.levels + level : plane * layout.levels + level + 2].tolist()
            outputs.append(_interpolated(a, b, table[start:end], resolution, bool(layout.dense[level])))
    return torch.cat(outputs, dim=0)


def _interpolated(a: Tensor, b: Tensor, entries: Tensor, resolution: int, dense: bool) -> Tensor:
    x, y = a * resolution, b * resolution
    x0 = x.detach().floor().clamp(max=resolution - 1)
    y0 = y.detach().floor().clamp(max=resolution - 1)
    fx, fy = x - x0, y - y0
    i, j = x0.long(), y0.long()
    value = torch.zeros(entries.shape[1], a.shape[0], dtype=entries.dtype, device=entries.device)
    for di in (0, 1):
        for dj in (0, 1):
            weight = (fx if di else 1 - fx) * (fy if dj else 1 - fy)
            value = value + weight * entries[_index(i + di, j + dj, resolution, dense, entries.shape[0])].T
    return value


def _index(i: Tensor, j: Tensor, resolution: int, dense: bool, size: int) -> Tensor:
    if dense:
        return i + j * (resolution + 1)
    return (i ^ (j * HASH_PRIME)) & (size - 1)

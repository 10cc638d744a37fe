"""The tri-plane hash encoding for CPUs, compiled by numba.

The loops run table by table: one table of 2^14 floats stays in a core's cache, threads own whole tables, and so the
backward pass needs neither atomics nor a buffer a thread. Indices are recomputed there rather than stored.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numba import njit, prange
from torch import Tensor

from talkhead_core.kernels.hash_layout import HashLayout

__all__ = ["encode"]

_AXES = np.array([[0, 1], [1, 2], [0, 2]], dtype=np.int64)
_PRIME = np.uint32(2_654_435_761)


def encode(points: Tensor, table: Tensor, layout: HashLayout) -> Tensor:
    """The same as :func:`talkhead_core.kernels.hash_torch.encode`, float32 on the CPU."""
    return _HashEncoding.apply(points, table, layout)  # type: ignore[no-any-return]


class _HashEncoding(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, points: Tensor, table: Tensor, layout: HashLayout) -> Tensor:
        assert points.dtype == table.dtype == torch.float32, "the numba kernel computes in float32"
        points = points.contiguous()
        output = torch.empty(layout.output_channels, points.shape[1], dtype=torch.float32)
        _forward(
            points.detach().numpy(), table.detach().numpy(), layout.resolutions, output.numpy().reshape(layout.tables, layout.features, -1)
        )
        context.save_for_backward(points, table)
        context.layout = layout
        return output

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        points, table = context.saved_tensors
        layout: HashLayout = context.layout
        gradient = gradients[0].float().contiguous().numpy().reshape(layout.tables, layout.features, -1)
        to_table = None
        if context.needs_input_grad[1]:
            to_table = torch.zeros_like(table)
            _backward_table(points.detach().numpy(), gradient, layout.resolutions, to_table.numpy())
        to_points = None
        if context.needs_input_grad[0]:
            partial = np.zeros((layout.tables, 2, points.shape[1]), dtype=np.float32)
            _backward_points(points.detach().numpy(), table.detach().numpy(), gradient, layout.resolutions, partial)
            to_points = torch.from_numpy(_sum_over_tables(partial, layout.levels))
        return to_points, to_table, None


@njit(inline="always")
def _cell(value, resolution):  # type: ignore[no-untyped-def]
    scaled = min(max(value, np.float32(0.0)), np.float32(1.0)) * np.float32(resolution)
    low = min(np.int32(scaled), np.int32(resolution - 1))
    return low, scaled - np.float32(low)


@njit(inline="always")
def _index(i, j, resolution, size, dense):  # type: ignore[no-untyped-def]
    if dense:
        return np.int64(i) + np.int64(j) * (resolution + 1)
    return np.int64((np.uint32(i) ^ (np.uint32(j) * _PRIME)) & np.uint32(size - 1))


@njit(parallel=True, fastmath=True, cache=True)
def _forward(points, table, resolutions, output):  # type: ignore[no-untyped-def]
    tables, size, features = table.shape
    levels = resolutions.shape[0]
    for t in prange(tables):
        resolution = resolutions[t % levels]
        dense = (resolution + 1) * (resolution + 1) <= size
        first, second = points[_AXES[t // levels, 0]], points[_AXES[t // levels, 1]]
        for s in range(points.shape[1]):
            i, fx = _cell(first[s], resolution)
            j, fy = _cell(second[s], resolution)
            i00, i10 = _index(i, j, resolution, size, dense), _index(i + 1, j, resolution, size, dense)
            i01, i11 = _index(i, j + 1, resolution, size, dense), _index(i + 1, j + 1, resolution, size, dense)
            for f in range(features):
                low = table[t, i00, f] + fx * (table[t, i10, f] - table[t, i00, f])
                high = table[t, i01, f] + fx * (table[t, i11, f] - table[t, i01, f])
                output[t, f, s] = low + fy * (high - low)


@njit(parallel=True, fastmath=True, cache=True)
def _backward_table(points, gradient, resolutions, to_table):  # type: ignore[no-untyped-def]
    tables, size, features = to_table.shape
    levels = resolutions.shape[0]
    for t in prange(tables):
        resolution = resolutions[t % levels]
        dense = (resolution + 1) * (resolution + 1) <= size
        first, second = points[_AXES[t // levels, 0]], points[_AXES[t // levels, 1]]
        for s in range(points.shape[1]):
            i, fx = _cell(first[s], resolution)
            j, fy = _cell(second[s], resolution)
            i00, i10 = _index(i, j, resolution, size, dense), _index(i + 1, j, resolution, size, dense)
            i01, i11 = _index(i, j + 1, resolution, size, dense), _index(i + 1, j + 1, resolution, size, dense)
            for f in range(features):
                g = gradient[t, f, s]
                to_table[t, i00, f] += g * (1 - fx) * (1 - fy)
                to_table[t, i10, f] += g * fx * (1 - fy)
                to_table[t, i01, f] += g * (1 - fx) * fy
                to_table[t, i11, f] += g * fx * fy


@njit(parallel=True, fastmath=True, cache=True)
def _backward_points(points, table, gradient, resolutions, partial):  # type: ignore[no-untyped-def]
    tables, size, features = table.shape
    levels = resolutions.shape[0]
    for t in prange(tables):
        resolution = resolutions[t % levels]
        dense = (resolution + 1) * (resolution + 1) <= size
        first, second = points[_AXES[t // levels, 0]], points[_AXES[t // levels, 1]]
        for s in range(points.shape[1]):
            i, fx = _cell(first[s], resolution)
            j, fy = _cell(second[s], resolution)
            i00, i10 = _index(i, j, resolution, size, dense), _index(i + 1, j, resolution, size, dense)
            i01, i11 = _index(i, j + 1, resolution, size, dense), _index(i + 1, j + 1, resolution, size, dense)
            inside_x = np.float32(resolution) if 0.0 <= first[s] <= 1.0 else np.float32(0.0)
            inside_y = np.float32(resolution) if 0.0 <= second[s] <= 1.0 else np.float32(0.0)
            for f in range(features):
                g = gradient[t, f, s]
                v00, v10, v01, v11 = table[t, i00, f], table[t, i10, f], table[t, i01, f], table[t, i11, f]
                partial[t, 0, s] += g * inside_x * ((1 - fy) * (v10 - v00) + fy * (v11 - v01))
                partial[t, 1, s] += g * inside_y * ((1 - fx) * (v01 - v00) + fx * (v11 - v10))


def _sum_over_tables(partial: np.ndarray, levels: int) -> np.ndarray:
    result = np.zeros((3, partial.shape[2]), dtype=np.float32)
    for plane, (first, second) in enumerate(_AXES):
        rows = partial[plane * levels : (plane + 1) * levels].sum(axis=0)
        result[first] += rows[0]
        result[second] += rows[1]
    return result

"""The tri-plane hash encoding for CPUs, compiled by numba.

The loops run table by table: one table of 2^15 floats stays in a core's cache, threads own whole tables, and so the backward pass
needs neither atomics nor a buffer a thread. Inside a table they run block by block: a first loop finds the entries and weights of a
block of points, which the compiler turns into vector instructions, a second gathers or scatters. Indices are recomputed in the
backward pass rather than stored.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import torch
from numba import njit, prange
from torch import Tensor

from talkhead_core.kernels.hash_layout import HASH_PRIME, PLANE_AXES, HashLayout

__all__ = ["encode"]

_AXES = np.array(PLANE_AXES, dtype=np.int64)
_PRIME = np.uint32(HASH_PRIME)
_BLOCK = 256
_ZERO, _ONE = np.float32(0.0), np.float32(1.0)
_FASTMATH = {"contract", "reassoc", "nsz", "arcp"}
"""Without the promise that no number is NaN: a diverged network's NaN must be clamped to an entry of the table like any other number."""


def encode(points: Tensor, table: Tensor, layout: HashLayout) -> Tensor:
    """The same as :func:`talkhead_core.kernels.hash_torch.encode`, float32 on the CPU."""
    return _HashEncoding.apply(points, table, layout)  # type: ignore[no-any-return]


class _HashEncoding(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, points: Tensor, table: Tensor, layout: HashLayout) -> Tensor:
        assert points.dtype == table.dtype == torch.float32, "the numba kernel computes in float32"
        points, table = points.contiguous(), table.contiguous()
        output = torch.empty(layout.tables, layout.features, points.shape[1], dtype=torch.float32)
        _forward(points.detach().numpy(), table.detach().numpy(), *_grid(layout), output.numpy())
        context.save_for_backward(points, table)
        context.layout = layout
        return output.view(layout.output_channels, -1)

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        points, table = context.saved_tensors
        layout: HashLayout = context.layout
        gradient = gradients[0].float().contiguous().numpy().reshape(layout.tables, layout.features, -1)
        to_table = None
        if context.needs_input_grad[1]:
            to_table = torch.zeros_like(table)
            _backward_table(points.numpy(), gradient, *_grid(layout), to_table.numpy())
        to_points = None
        if context.needs_input_grad[0]:
            partial = np.empty((layout.tables, 2, points.shape[1]), dtype=np.float32)
            _backward_points(points.numpy(), table.numpy(), gradient, *_grid(layout), partial)
            to_points = torch.from_numpy(_sum_over_tables(partial, layout.levels))
        return to_points, to_table, None


def _grid(layout: HashLayout) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return layout.resolutions, layout.offsets, _dealt(layout, numba.get_num_threads())


def _dealt(layout: HashLayout, threads: int) -> np.ndarray:
    """The tables in an order that gives each thread's stretch of it about the same work: large and small tables dealt in turn."""
    by_size = np.argsort(-np.diff(layout.offsets), kind="stable")
    return np.concatenate([by_size[thread::threads] for thread in range(threads)])


@njit(fastmath=_FASTMATH, cache=True)
def _locate(first, second, start, count, resolution, size, index, fraction):  # type: ignore[no-untyped-def]
    """Entries ``index [4, count]`` around each point of a block and its place ``fraction [2, count]`` among them."""
    scale, last, row = np.float32(resolution), np.int32(resolution - 1), np.int32(resolution + 1)
    dense, mask = (resolution + 1) * (resolution + 1) == size, np.uint32(size - 1)
    i00, i10, i01, i11 = index[0], index[1], index[2], index[3]
    fx, fy = fraction[0], fraction[1]
    for s in range(count):
        x = first[start + s] if first[start + s] > _ZERO else _ZERO
        y = second[start + s] if second[start + s] > _ZERO else _ZERO
        x, y = min(x, _ONE) * scale, min(y, _ONE) * scale
        i, j = min(np.int32(x), last), min(np.int32(y), last)
        fx[s], fy[s] = x - np.float32(i), y - np.float32(j)
        i00[s], i10[s] = i, j
    if dense:
        for s in range(count):
            corner = i00[s] + i10[s] * row
            i00[s], i10[s] = corner, corner + np.int32(1)
            i01[s], i11[s] = corner + row, corner + row + np.int32(1)
    else:
        for s in range(count):
            left, right = np.uint32(i00[s]), np.uint32(i00[s] + np.int32(1))
            low, high = np.uint32(i10[s]) * _PRIME, np.uint32(i10[s] + np.int32(1)) * _PRIME
            i00[s], i10[s] = np.int32((left ^ low) & mask), np.int32((right ^ low) & mask)
            i01[s], i11[s] = np.int32((left ^ high) & mask), np.int32((right ^ high) & mask)


@njit(fastmath=_FASTMATH, cache=True)
def _gather(entries, index, fraction, start, count, output):  # type: ignore[no-untyped-def]
    i00, i10, i01, i11 = index[0], index[1], index[2], index[3]
    fx, fy = fraction[0], fraction[1]
    for s in range(count):
        v00, v10 = entries[np.uint32(i00[s])], entries[np.uint32(i10[s])]
        v01, v11 = entries[np.uint32(i01[s])], entries[np.uint32(i11[s])]
        low, high = v00 + fx[s] * (v10 - v00), v01 + fx[s] * (v11 - v01)
        output[start + s] = low + fy[s] * (high - low)


@njit(fastmath=_FASTMATH, cache=True)
def _scatter(gradient, index, fraction, start, count, to_entries):  # type: ignore[no-untyped-def]
    i00, i10, i01, i11 = index[0], index[1], index[2], index[3]
    fx, fy = fraction[0], fraction[1]
    for s in range(count):
        high = gradient[start + s] * fy[s]
        low = gradient[start + s] - high
        low_right, high_right = low * fx[s], high * fx[s]
        to_entries[np.uint32(i00[s])] += low - low_right
        to_entries[np.uint32(i10[s])] += low_right
        to_entries[np.uint32(i01[s])] += high - high_right
        to_entries[np.uint32(i11[s])] += high_right


@njit(fastmath=_FASTMATH, cache=True)
def _slope(entries, gradient, index, fraction, start, count, to_first, to_second):  # type: ignore[no-untyped-def]
    i00, i10, i01, i11 = index[0], index[1], index[2], index[3]
    fx, fy = fraction[0], fraction[1]
    for s in range(count):
        v00, v10 = entries[np.uint32(i00[s])], entries[np.uint32(i10[s])]
        v01, v11 = entries[np.uint32(i01[s])], entries[np.uint32(i11[s])]
        g = gradient[start + s]
        to_first[start + s] += g * (v10 - v00 + fy[s] * (v11 - v01 - v10 + v00))
        to_second[start + s] += g * (v01 - v00 + fx[s] * (v11 - v10 - v01 + v00))


@njit(parallel=True, fastmath=_FASTMATH, cache=True)
def _forward(points, table, resolutions, offsets, order, output):  # type: ignore[no-untyped-def]
    tables, features, samples = output.shape
    levels = resolutions.shape[0]
    for place in prange(tables):
        t = order[place]
        resolution, entries = resolutions[t % levels], table[offsets[t] : offsets[t + 1]]
        first, second = points[_AXES[t // levels, 0]], points[_AXES[t // levels, 1]]
        index, fraction = np.empty((4, _BLOCK), np.int32), np.empty((2, _BLOCK), np.float32)
        for start in range(0, samples, _BLOCK):
            count = min(_BLOCK, samples - start)
            _locate(first, second, start, count, resolution, entries.shape[0], index, fraction)
            for f in range(features):
                _gather(entries[:, f], index, fraction, start, count, output[t, f])


@njit(parallel=True, fastmath=_FASTMATH, cache=True)
def _backward_table(points, gradient, resolutions, offsets, order, to_table):  # type: ignore[no-untyped-def]
    tables, features, samples = gradient.shape
    levels = resolutions.shape[0]
    for place in prange(tables):
        t = order[place]
        resolution, to_entries = resolutions[t % levels], to_table[offsets[t] : offsets[t + 1]]
        first, second = points[_AXES[t // levels, 0]], points[_AXES[t // levels, 1]]
        index, fraction = np.empty((4, _BLOCK), np.int32), np.empty((2, _BLOCK), np.float32)
        for start in range(0, samples, _BLOCK):
            count = min(_BLOCK, samples - start)
            _locate(first, second, start, count, resolution, to_entries.shape[0], index, fraction)
            for f in range(features):
                _scatter(gradient[t, f], index, fraction, start, count, to_entries[:, f])


@njit(parallel=True, fastmath=_FASTMATH, cache=True)
def _backward_points(points, table, gradient, resolutions, offsets, order, partial):  # type: ignore[no-untyped-def]
    tables, features, samples = gradient.shape
    levels = resolutions.shape[0]
    for place in prange(tables):
        t = order[place]
        resolution, entries = resolutions[t % levels], table[offsets[t] : offsets[t + 1]]
        first, second = points[_AXES[t // levels, 0]], points[_AXES[t // levels, 1]]
        index, fraction = np.empty((4, _BLOCK), np.int32), np.empty((2, _BLOCK), np.float32)
        partial[t] = 0.0
        for start in range(0, samples, _BLOCK):
            count = min(_BLOCK, samples - start)
            _locate(first, second, start, count, resolution, entries.shape[0], index, fraction)
            for f in range(features):
                _slope(entries[:, f], gradient[t, f], index, fraction, start, count, partial[t, 0], partial[t, 1])
        for s in range(samples):
            partial[t, 0, s] *= resolution if 0.0 <= first[s] <= 1.0 else 0.0
            partial[t, 1, s] *= resolution if 0.0 <= second[s] <= 1.0 else 0.0


def _sum_over_tables(partial: np.ndarray, levels: int) -> np.ndarray:
    result = np.zeros((3, partial.shape[2]), dtype=np.float32)
    for plane, (first, second) in enumerate(_AXES):
        rows = partial[plane * levels : (plane + 1) * levels].sum(axis=0)
        result[first] += rows[0]
        result[second] += rows[1]
    return result

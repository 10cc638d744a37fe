"""The field's small network for CPUs, compiled by numba: float32, all layers of a block of samples at a time.

A block's activations stay in a core's cache from layer to layer, and the products' running sums in its vector registers
(``vector_tiles``): at this width a chain of library calls loses its time between the products. The forward pass keeps the hidden
layers for the backward pass. Sizes are padded to whole tiles, with zeros, which leaves every sum as it is.

Sums over samples are made block by block in an order that does not depend on the number of threads.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numba import njit, prange
from torch import Tensor

from talkhead_core.kernels.vector_tiles import TILE_COLUMNS, TILE_ROWS, add_outer_product_tile, add_product_tile

__all__ = ["perceptron"]

_MOST_COLUMNS = 512
_COLUMN_STEP = 64
_MOST_GROUPS = 32
_ZERO, _ONE = np.float32(0.0), np.float32(1.0)


def perceptron(features: Tensor, biases: Tensor, first: Tensor, second: Tensor, last: Tensor, last_bias: Tensor) -> Tensor:
    """The same as :func:`talkhead_core.kernels.perceptron_torch.perceptron`, float32 on the CPU."""
    return _Perceptron.apply(features.float(), biases, first, second, last, last_bias)  # type: ignore[no-any-return]


class _Perceptron(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, *tensors: Tensor) -> Tensor:
        assert all(tensor.dtype == torch.float32 for tensor in tensors), "the numba kernel computes in float32"
        features, biases, *weights = (tensor.detach().contiguous() for tensor in tensors)
        blocks, columns = _blocks(features.shape[1], biases.shape[0])
        first, second, last = (_padded(weight) for weight in weights[:3])
        wanted = any(context.needs_input_grad)
        hidden = torch.empty(len(blocks) if wanted else 0, 2, len(first), columns)
        output = torch.empty(weights[2].shape[0], features.shape[1])
        arguments = (features.numpy(), biases.numpy(), first, second, last, weights[3].numpy(), blocks, columns)
        _forward(*arguments, hidden.numpy(), output.numpy())
        if wanted:
            context.save_for_backward(features, biases, *weights, hidden)
        return output

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        features, biases, *weights, hidden = context.saved_tensors
        blocks, columns = _blocks(features.shape[1], biases.shape[0])
        transposed = [_padded(weight.t()) for weight in weights[:3]]
        groups = max(1, min(_MOST_GROUPS, len(blocks)))
        to_weights = [np.zeros((groups, *weight.T.shape), dtype=np.float32) for weight in transposed]
        to_last_bias = np.zeros((groups, *weights[3].shape), dtype=np.float32)
        to_biases = np.zeros((len(blocks), 2, biases.shape[2]), dtype=np.float32)
        to_features = torch.empty_like(features)
        gradient = gradients[0].float().contiguous().numpy()
        given = (features.numpy(), gradient, hidden.numpy(), *transposed, blocks, columns)
        wanted: tuple[np.ndarray, ...] = (*to_weights, to_last_bias, to_biases, to_features.numpy())
        _backward(*given, *wanted)
        summed = [_cut(partial, weight) for partial, weight in zip([*to_weights, to_last_bias], weights, strict=True)]
        of_frames = torch.zeros_like(biases).index_add_(0, torch.from_numpy(blocks[:, 0]), torch.from_numpy(to_biases))
        return (to_features, of_frames, *summed)


def _blocks(samples: int, frames: int) -> tuple[np.ndarray, int]:
    """Frame, first sample and number of samples of each block ``[blocks, 3]``, and the columns that hold one; no block spans two frames."""
    per_frame = samples // max(1, frames)
    parts = -(-per_frame // _MOST_COLUMNS)
    columns = -(-per_frame // max(1, parts) // _COLUMN_STEP) * _COLUMN_STEP
    starts = np.arange(0, per_frame, max(1, columns), dtype=np.int64)
    frame = np.repeat(np.arange(frames, dtype=np.int64), len(starts))
    start = np.tile(starts, frames)
    return np.stack([frame, frame * per_frame + start, np.minimum(columns, per_frame - start)], axis=1), columns


def _padded(weight: Tensor) -> np.ndarray:
    """With rows and columns of zeros up to whole tiles."""
    rows, columns = (-(-size // TILE_ROWS) * TILE_ROWS for size in weight.shape)
    padded = np.zeros((rows, columns), dtype=np.float32)
    padded[: weight.shape[0], : weight.shape[1]] = weight.numpy()
    return padded


def _cut(partial: np.ndarray, weight: Tensor) -> Tensor:
    return torch.from_numpy(partial.sum(axis=0)[tuple(slice(size) for size in weight.shape)])


@njit(cache=True)
def _add_product(weight, rows, columns, output):  # type: ignore[no-untyped-def]
    """``output[j, s] += sum_k weight[j, k] rows[k, s]`` for ``s < columns``."""
    depth, rows_stride, output_stride = weight.shape[1], rows.strides[0], output.strides[0]
    for s in range(0, columns, TILE_COLUMNS):
        for j in range(0, weight.shape[0], TILE_ROWS):
            add_product_tile(
                weight.ctypes.data + j * weight.strides[0], weight.strides[0], depth,
                rows.ctypes.data + 4 * s, rows_stride, output.ctypes.data + j * output_stride + 4 * s, output_stride,
            )  # fmt: skip


@njit(cache=True)
def _add_outer_product(left, right, columns, total):  # type: ignore[no-untyped-def]
    """``total[j, k] += sum_s left[j, s] right[k, s]`` over ``s < columns``."""
    for j in range(0, total.shape[0], TILE_ROWS):
        for k in range(0, total.shape[1], TILE_ROWS):
            add_outer_product_tile(
                left.ctypes.data + j * left.strides[0], left.strides[0], right.ctypes.data + k * right.strides[0], right.strides[0],
                columns, total.ctypes.data + j * total.strides[0] + 4 * k, total.strides[0],
            )  # fmt: skip


@njit(cache=True)
def _copy_in(source, start, count, columns, rows):  # type: ignore[no-untyped-def]
    """A stretch of ``source [n, samples]`` to ``rows [padded n, columns]``, zeros after it and in the padding."""
    for j in range(rows.shape[0]):
        row, taken = rows[j], count if j < source.shape[0] else 0
        if taken:
            row[:taken] = source[j, start : start + taken]
        row[taken:columns] = _ZERO


@njit(cache=True)
def _copy_out(rows, start, count, target):  # type: ignore[no-untyped-def]
    for j in range(target.shape[0]):
        target[j, start : start + count] = rows[j, :count]


@njit(cache=True)
def _fill_rows(values, columns, rows):  # type: ignore[no-untyped-def]
    for j in range(rows.shape[0]):
        rows[j, :columns] = values[j] if j < values.shape[0] else _ZERO


@njit(cache=True)
def _rectify(columns, rows):  # type: ignore[no-untyped-def]
    for j in range(rows.shape[0]):
        row = rows[j]
        for s in range(columns):
            row[s] = _ZERO if row[s] < _ZERO else row[s]


@njit(cache=True)
def _pass_where_positive(activation, columns, gradient):  # type: ignore[no-untyped-def]
    """Zero ``gradient`` where ``activation`` is not positive."""
    for j in range(activation.shape[0]):
        a, g = activation[j], gradient[j]
        for s in range(columns):
            g[s] = g[s] if a[s] > _ZERO else _ZERO


@njit(cache=True)
def _sum_over_samples(rows, ones, columns, scratch, total):  # type: ignore[no-untyped-def]
    """``total[j]`` becomes the sum of ``rows[j, :columns]``.

    As a product with ones: a loop that the compiler may reorder has another order where it is compiled than where it is loaded.
    """
    scratch[:] = _ZERO
    _add_outer_product(rows, ones, columns, scratch)
    for j in range(total.shape[0]):
        total[j] = scratch[j, 0]


@njit(parallel=True, cache=True)
def _forward(features, biases, first, second, last, last_bias, blocks, most_columns, hidden, output):  # type: ignore[no-untyped-def]
    keep, count_of_blocks = hidden.shape[0] > 0, blocks.shape[0]
    groups = min(_MOST_GROUPS, count_of_blocks)
    for group in prange(groups):
        scratch = np.empty((2, first.shape[0], most_columns), np.float32)
        x = np.empty((first.shape[1], most_columns), np.float32)
        out = np.empty((last.shape[0], most_columns), np.float32)
        for b in range(group * count_of_blocks // groups, (group + 1) * count_of_blocks // groups):
            frame, start, count = blocks[b]
            columns = (count + _COLUMN_STEP - 1) // _COLUMN_STEP * _COLUMN_STEP
            h = hidden[b] if keep else scratch
            h1, h2 = h[0], h[1]
            _copy_in(features, start, count, columns, x)
            _fill_rows(biases[frame, 0], columns, h1)
            _add_product(first, x, columns, h1)
            _rectify(columns, h1)
            _fill_rows(biases[frame, 1], columns, h2)
            _add_product(second, h1, columns, h2)
            _rectify(columns, h2)
            _fill_rows(last_bias, columns, out)
            _add_product(last, h2, columns, out)
            _copy_out(out, start, count, output)


@njit(parallel=True, cache=True)
def _backward(  # type: ignore[no-untyped-def]
    features, gradient, hidden, first_t, second_t, last_t, blocks, most_columns,
    to_first, to_second, to_last, to_last_bias, to_biases, to_features,
):  # fmt: skip
    groups, count_of_blocks = to_first.shape[0], blocks.shape[0]
    for group in prange(groups):
        x = np.empty((first_t.shape[0], most_columns), np.float32)
        g1 = np.empty((second_t.shape[0], most_columns), np.float32)
        g2 = np.empty((second_t.shape[0], most_columns), np.float32)
        g3 = np.empty((last_t.shape[1], most_columns), np.float32)
        nothing, sums = np.zeros(0, np.float32), np.empty((second_t.shape[0], TILE_ROWS), np.float32)
        ones = np.zeros((TILE_ROWS, most_columns), np.float32)
        ones[0] = _ONE
        for b in range(group * count_of_blocks // groups, (group + 1) * count_of_blocks // groups):
            _, start, count = blocks[b]
            columns = (count + _COLUMN_STEP - 1) // _COLUMN_STEP * _COLUMN_STEP
            h1, h2 = hidden[b, 0], hidden[b, 1]
            _copy_in(gradient, start, count, columns, g3)
            for j in range(gradient.shape[0]):
                to_last_bias[group, j] += g3[j, :columns].sum()
            _add_outer_product(g3, h2, columns, to_last[group])
            _fill_rows(nothing, columns, g2)
            _add_product(last_t, g3, columns, g2)
            _pass_where_positive(h2, columns, g2)
            _sum_over_samples(g2, ones, columns, sums, to_biases[b, 1])
            _add_outer_product(g2, h1, columns, to_second[group])
            _fill_rows(nothing, columns, g1)
            _add_product(second_t, g2, columns, g1)
            _pass_where_positive(h1, columns, g1)
            _sum_over_samples(g1, ones, columns, sums, to_biases[b, 0])
            _copy_in(features, start, count, columns, x)
            _add_outer_product(g1, x, columns, to_first[group])
            _fill_rows(nothing, columns, x)
            _add_product(first_t, g1, columns, x)
            _copy_out(x, start, count, to_features)

"""The tri-plane hash encoding for NVIDIA GPUs, compiled by Triton.

A program takes a few points through all planes and levels at once, so that a point's channels are written side by side, as the
network reads them. The tables fit into the GPU's second-level cache; the backward pass adds to them atomically, so the order of its
sums, and with it the last bits of the gradient, varies from run to run.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from talkhead_core.kernels.hash_layout import HASH_PRIME, HashLayout

__all__ = ["encode"]

_BLOCK = 16
_PRIME = tl.constexpr(HASH_PRIME)


def encode(points: Tensor, table: Tensor, layout: HashLayout) -> Tensor:
    """The same as :func:`talkhead_core.kernels.hash_torch.encode`, computed in float32; under autocast its result is rounded."""
    return _HashEncoding.apply(points, table, layout).t()  # type: ignore[no-any-return]


class _HashEncoding(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, points: Tensor, table: Tensor, layout: HashLayout) -> Tensor:
        kind = points.device.type
        dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else torch.float32
        points, table = points.float().contiguous(), table.float().contiguous()
        samples = points.shape[1]
        output = torch.empty(samples, layout.output_channels, dtype=dtype, device=points.device)
        if samples:
            _forward[_programs(samples)](points, table, *_grid(layout, points.device), output, samples, **_sizes(layout))
        context.save_for_backward(points, table)
        context.layout = layout
        return output

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        points, table = context.saved_tensors
        layout, gradient, samples = context.layout, gradients[0].contiguous(), points.shape[1]
        to_points = torch.zeros_like(points) if context.needs_input_grad[0] else None
        to_table = torch.zeros_like(table) if context.needs_input_grad[1] else None
        grid = _grid(layout, points.device)
        if samples and to_table is not None:
            _backward_table[_programs(samples)](points, gradient, *grid, to_table, samples, **_sizes(layout))
        if samples and to_points is not None:
            _backward_points[_programs(samples)](points, table, gradient, *grid, to_points, samples, **_sizes(layout))
        return to_points, to_table, None


def _programs(samples: int) -> tuple[int]:
    return (triton.cdiv(samples, _BLOCK),)


@lru_cache(maxsize=16)
def _grid(layout: HashLayout, device: torch.device) -> tuple[Tensor, Tensor]:
    resolutions = torch.from_numpy(layout.resolutions).to(device, torch.int32)
    return resolutions, torch.from_numpy(layout.offsets).to(device, torch.int32)


def _sizes(layout: HashLayout) -> dict[str, int]:
    tables = layout.tables
    padded = triton.next_power_of_2(tables)
    return {"LEVELS": layout.levels, "TABLES": tables, "PADDED": padded, "FEATURES": layout.features, "BLOCK": _BLOCK}


@triton.jit
def _points_and_tables(samples, TABLES: tl.constexpr, PADDED: tl.constexpr, BLOCK: tl.constexpr):  # type: ignore[no-untyped-def]
    """The program's points ``[BLOCK, 1]``, all tables ``[1, PADDED]``, and which pairs exist."""
    s = (tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK))[:, None]
    t = tl.arange(0, PADDED)[None, :]
    return s, t, (s < samples) & (t < TABLES)


@triton.jit
def _locate(points, resolutions, offsets, samples, s, t, exists, LEVELS: tl.constexpr):  # type: ignore[no-untyped-def]
    """Rows of the table around each point, its place among them, its scaled coordinates and the resolution."""
    plane = t // LEVELS
    first, second = tl.where(plane == 1, 1, 0), tl.where(plane == 0, 1, 2)  # XY, YZ, XZ
    a = tl.load(points + first * samples + s, mask=exists, other=0.0)
    b = tl.load(points + second * samples + s, mask=exists, other=0.0)
    resolution = tl.load(resolutions + t % LEVELS, mask=exists, other=1)
    start, end = tl.load(offsets + t, mask=exists, other=0), tl.load(offsets + t + 1, mask=exists, other=1)
    x, y = tl.where(a > 0.0, a, 0.0), tl.where(b > 0.0, b, 0.0)  # a NaN becomes 0
    x, y = tl.where(x < 1.0, x, 1.0) * resolution, tl.where(y < 1.0, y, 1.0) * resolution
    i, j = tl.minimum(x.to(tl.int32), resolution - 1), tl.minimum(y.to(tl.int32), resolution - 1)
    size, row = end - start, resolution + 1
    dense = row * row == size
    corner = i + j * row
    mask = (size - 1).to(tl.uint32)
    left, right = i.to(tl.uint32), (i + 1).to(tl.uint32)
    low, high = j.to(tl.uint32) * _PRIME, (j + 1).to(tl.uint32) * _PRIME
    i00 = start + tl.where(dense, corner, ((left ^ low) & mask).to(tl.int32))
    i10 = start + tl.where(dense, corner + 1, ((right ^ low) & mask).to(tl.int32))
    i01 = start + tl.where(dense, corner + row, ((left ^ high) & mask).to(tl.int32))
    i11 = start + tl.where(dense, corner + row + 1, ((right ^ high) & mask).to(tl.int32))
    return i00, i10, i01, i11, x - i, y - j, a, b, resolution, first, second


@triton.jit
def _forward(  # type: ignore[no-untyped-def]
    points, table, resolutions, offsets, output, samples,
    LEVELS: tl.constexpr, TABLES: tl.constexpr, PADDED: tl.constexpr, FEATURES: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    s, t, exists = _points_and_tables(samples, TABLES, PADDED, BLOCK)
    i00, i10, i01, i11, fx, fy, _, _, _, _, _ = _locate(points, resolutions, offsets, samples, s, t, exists, LEVELS)
    for f in tl.static_range(FEATURES):
        v00 = tl.load(table + i00 * FEATURES + f, mask=exists, other=0.0)
        v10 = tl.load(table + i10 * FEATURES + f, mask=exists, other=0.0)
        v01 = tl.load(table + i01 * FEATURES + f, mask=exists, other=0.0)
        v11 = tl.load(table + i11 * FEATURES + f, mask=exists, other=0.0)
        low, high = v00 + fx * (v10 - v00), v01 + fx * (v11 - v01)
        value = low + fy * (high - low)
        tl.store(output + s * (TABLES * FEATURES) + t * FEATURES + f, value.to(output.dtype.element_ty), mask=exists)


@triton.jit
def _backward_table(  # type: ignore[no-untyped-def]
    points, gradient, resolutions, offsets, to_table, samples,
    LEVELS: tl.constexpr, TABLES: tl.constexpr, PADDED: tl.constexpr, FEATURES: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    s, t, exists = _points_and_tables(samples, TABLES, PADDED, BLOCK)
    i00, i10, i01, i11, fx, fy, _, _, _, _, _ = _locate(points, resolutions, offsets, samples, s, t, exists, LEVELS)
    for f in tl.static_range(FEATURES):
        g = tl.load(gradient + s * (TABLES * FEATURES) + t * FEATURES + f, mask=exists, other=0.0).to(tl.float32)
        high = g * fy
        low = g - high
        tl.atomic_add(to_table + i00 * FEATURES + f, low - low * fx, mask=exists, sem="relaxed")
        tl.atomic_add(to_table + i10 * FEATURES + f, low * fx, mask=exists, sem="relaxed")
        tl.atomic_add(to_table + i01 * FEATURES + f, high - high * fx, mask=exists, sem="relaxed")
        tl.atomic_add(to_table + i11 * FEATURES + f, high * fx, mask=exists, sem="relaxed")


@triton.jit
def _backward_points(  # type: ignore[no-untyped-def]
    points, table, gradient, resolutions, offsets, to_points, samples,
    LEVELS: tl.constexpr, TABLES: tl.constexpr, PADDED: tl.constexpr, FEATURES: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    s, t, exists = _points_and_tables(samples, TABLES, PADDED, BLOCK)
    i00, i10, i01, i11, fx, fy, a, b, resolution, first, second = _locate(points, resolutions, offsets, samples, s, t, exists, LEVELS)
    to_first, to_second = fx * 0.0, fy * 0.0
    for f in tl.static_range(FEATURES):
        g = tl.load(gradient + s * (TABLES * FEATURES) + t * FEATURES + f, mask=exists, other=0.0).to(tl.float32)
        v00 = tl.load(table + i00 * FEATURES + f, mask=exists, other=0.0)
        v10 = tl.load(table + i10 * FEATURES + f, mask=exists, other=0.0)
        v01 = tl.load(table + i01 * FEATURES + f, mask=exists, other=0.0)
        v11 = tl.load(table + i11 * FEATURES + f, mask=exists, other=0.0)
        to_first += g * (v10 - v00 + fy * (v11 - v01 - v10 + v00))
        to_second += g * (v01 - v00 + fx * (v11 - v10 - v01 + v00))
    to_first = tl.where((a >= 0.0) & (a <= 1.0), to_first * resolution, 0.0)
    to_second = tl.where((b >= 0.0) & (b <= 1.0), to_second * resolution, 0.0)
    for axis in tl.static_range(3):
        both = tl.where(first == axis, to_first, 0.0) + tl.where(second == axis, to_second, 0.0)
        total = tl.sum(both, axis=1)[:, None]
        tl.store(to_points + axis * samples + s, total, mask=s < samples)

"""The inner tiles of small matrix products, as vector instructions.

A loop that numba compiles keeps a product's running sums in memory; these tiles keep them in the processor's vector registers from
the first to the last term, which doubles the rate (on Zen 5: 245 against 120 Gflop/s a core, float32). They are written in LLVM's
intermediate language through llvmlite, which numba brings, and so run on any processor that numba does.

Arguments are addresses and strides in bytes, because numba has no type for a vector; only ``perceptron_numba`` calls them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import llvmlite.binding
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

__all__ = ["TILE_COLUMNS", "TILE_ROWS", "add_outer_product_tile", "add_product_tile"]


def _shape_of_tiles() -> tuple[int, int]:
    """Floats a vector register and registers a row, such that four rows of sums leave registers for the factors."""
    features = llvmlite.binding.get_host_cpu_features()
    if features.get("avx512vl"):
        # elsewhere than on Zen, LLVM prefers half vectors of AVX-512, of which there are as many
        return (16 if llvmlite.binding.get_host_cpu_name().startswith("znver") else 8), 4
    return (8, 2) if features.get("avx") else (4, 4)


_LANES, _VECTORS = _shape_of_tiles()
_FLAGS = ("contract", "reassoc", "nsz")
_FLOAT, _INT = ir.FloatType(), ir.IntType(64)
_VECTOR = ir.VectorType(_FLOAT, _LANES)

TILE_ROWS = 4
TILE_COLUMNS = _LANES * _VECTORS
"""Columns a tile of :func:`add_product_tile` has; a power of two, 64 at most."""


def _address(builder: ir.IRBuilder, base: ir.Value, stride: ir.Value, index: int, offset: int = 0) -> ir.Value:
    place = builder.add(base, builder.mul(stride, _INT(index)))
    return builder.add(place, _INT(offset))


def _load(builder: ir.IRBuilder, address: ir.Value, kind: ir.Type = _VECTOR) -> ir.Value:
    return builder.load(builder.inttoptr(address, kind.as_pointer()), align=4)


def _store(builder: ir.IRBuilder, value: ir.Value, address: ir.Value) -> None:
    builder.store(value, builder.inttoptr(address, value.type.as_pointer()), align=4)


def _broadcast(builder: ir.IRBuilder, value: ir.Value) -> ir.Value:
    undefined = ir.Constant(_VECTOR, ir.Undefined)
    first = builder.insert_element(undefined, value, ir.IntType(32)(0))
    return builder.shuffle_vector(first, undefined, ir.Constant(ir.VectorType(ir.IntType(32), _LANES), [0] * _LANES))


def _multiply_add(builder: ir.IRBuilder, a: ir.Value, b: ir.Value, total: ir.Value) -> ir.Value:
    return builder.fadd(builder.fmul(a, b, flags=_FLAGS), total, flags=_FLAGS)


class _Loop:
    """A loop of ``count`` turns, at least one, over addresses that advance and sums that stay in registers."""

    def __init__(self, builder: ir.IRBuilder, count: ir.Value, advancing: Sequence[tuple[ir.Value, ir.Value]], sums: Sequence[ir.Value]):
        before, self._body = builder.block, builder.append_basic_block("tile")
        self._builder, self._count = builder, count
        builder.branch(self._body)
        builder.position_at_end(self._body)
        self._steps = [(_INT(0), _INT(1)), *advancing]
        self._places = [self._phi(start, before) for start, _ in self._steps]
        self.sums = [self._phi(value, before) for value in sums]

    @property
    def addresses(self) -> list[ir.Value]:
        return self._places[1:]

    def end(self, sums: Sequence[ir.Value]) -> None:
        builder = self._builder
        for place, (_, step) in zip(self._places, self._steps, strict=True):
            place.add_incoming(builder.add(place, step), self._body)
        for phi, value in zip(self.sums, sums, strict=True):
            phi.add_incoming(value, self._body)
        after = builder.append_basic_block("after")
        turns = builder.add(self._places[0], _INT(1))
        builder.cbranch(builder.icmp_signed("<", turns, self._count), self._body, after)
        builder.position_at_end(after)

    def _phi(self, start: ir.Value, before: ir.Block) -> ir.PhiInstr:
        phi = self._builder.phi(start.type)
        phi.add_incoming(start, before)
        return phi


@intrinsic
def add_product_tile(typing_context, weight, weight_stride, depth, rows, rows_stride, output, output_stride):  # type: ignore[no-untyped-def]
    """``output[j, s] += sum_k weight[j, k] rows[k, s]`` for ``TILE_ROWS`` rows, ``TILE_COLUMNS`` columns and ``depth`` terms."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Sequence[ir.Value]) -> ir.Value:
        weight, weight_stride, depth, rows, rows_stride, output, output_stride = arguments
        wide = 4 * _LANES
        targets = [_address(builder, output, output_stride, j, wide * v) for j in range(TILE_ROWS) for v in range(_VECTORS)]
        loop = _Loop(builder, depth, [(weight, _INT(4)), (rows, rows_stride)], [_load(builder, target) for target in targets])
        at_weight, at_row = loop.addresses
        row = [_load(builder, _address(builder, at_row, _INT(0), 0, wide * v)) for v in range(_VECTORS)]
        sums = []
        for j in range(TILE_ROWS):
            factor = _broadcast(builder, _load(builder, _address(builder, at_weight, weight_stride, j), _FLOAT))
            sums += [_multiply_add(builder, factor, row[v], loop.sums[j * _VECTORS + v]) for v in range(_VECTORS)]
        loop.end(sums)
        for value, target in zip(sums, targets, strict=True):
            _store(builder, value, target)
        return context.get_dummy_value()

    return types.void(*[types.intp] * 7), generate


@intrinsic
def add_outer_product_tile(typing_context, left, left_stride, right, right_stride, count, total, total_stride):  # type: ignore[no-untyped-def]
    """``total[j, k] += sum_s left[j, s] right[k, s]`` for ``TILE_ROWS`` by ``TILE_ROWS`` sums over ``count`` terms, a multiple of 16."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Sequence[ir.Value]) -> ir.Value:
        left, left_stride, right, right_stride, count, total, total_stride = arguments
        step, pairs = _INT(4 * _LANES), [(j, k) for j in range(TILE_ROWS) for k in range(TILE_ROWS)]
        vectors = builder.sdiv(count, _INT(_LANES))
        loop = _Loop(builder, vectors, [(left, step), (right, step)], [ir.Constant(_VECTOR, [0.0] * _LANES) for _ in pairs])
        at_left, at_right = loop.addresses
        of_left = [_load(builder, _address(builder, at_left, left_stride, j)) for j in range(TILE_ROWS)]
        of_right = [_load(builder, _address(builder, at_right, right_stride, k)) for k in range(TILE_ROWS)]
        sums = [_multiply_add(builder, of_left[j], of_right[k], loop.sums[i]) for i, (j, k) in enumerate(pairs)]
        loop.end(sums)
        reduction = ir.FunctionType(_FLOAT, [_FLOAT, _VECTOR])
        reduce = cgutils.get_or_insert_function(builder.module, reduction, f"llvm.vector.reduce.fadd.v{_LANES}f32")
        for value, (j, k) in zip(sums, pairs, strict=True):
            target = _address(builder, total, total_stride, j, 4 * k)
            sum_of_lanes = builder.call(reduce, [_FLOAT(0.0), value], fastmath=("reassoc",))
            _store(builder, builder.fadd(_load(builder, target, _FLOAT), sum_of_lanes), target)
        return context.get_dummy_value()

    return types.void(*[types.intp] * 7), generate

"""What ``tinycudann.Encoding`` answers, restated in plain torch from tiny-cuda-nn's grids (``encodings/grid.h``, ``composite.h``).

It follows that program's own arithmetic and knows nothing of ours: general dimensions and levels, unsigned 32-bit indices, positions by
one fused multiply and add in float32. So a table that is handed to it in tiny-cuda-nn's layout is read as tiny-cuda-nn reads it.
"""

from __future__ import annotations

import itertools
import math
from typing import Any

import torch
from torch import Tensor, nn

_PRIMES = (1, 2_654_435_761, 805_459_861)
_UINT32 = 0xFFFFFFFF
_BATCH = 256


class Encoding(nn.Module):
    """A ``Grid`` of type ``Hash``, or a ``Composite`` of such, in float32, on any device."""

    def __init__(self, n_input_dims: int, encoding_config: dict[str, Any], seed: int = 1337, dtype: torch.dtype | None = None) -> None:
        super().__init__()
        assert dtype == torch.float32, "half precision is not restated"
        nested = encoding_config["nested"] if encoding_config["otype"] == "Composite" else [encoding_config]
        self._grids = [_Grid(config.get("n_dims_to_encode", n_input_dims), config) for config in nested]
        self.n_input_dims = sum(grid.dims for grid in self._grids)
        assert self.n_input_dims == n_input_dims
        self.n_output_dims = sum(grid.levels * grid.features for grid in self._grids)
        count = sum(grid.parameters for grid in self._grids)
        self.params = nn.Parameter(torch.rand(count, generator=torch.Generator().manual_seed(seed)) * 2e-4 - 1e-4)

    def forward(self, x: Tensor) -> Tensor:
        assert x.dtype == torch.float32 and x.shape[1] == self.n_input_dims and len(x), "one row at least"
        padded = nn.functional.pad(x, [0, 0, 0, -len(x) % _BATCH])
        outputs, at, first = [], 0, 0
        for grid in self._grids:
            outputs.append(grid(padded[:, at : at + grid.dims], self.params[first : first + grid.parameters]))
            at, first = at + grid.dims, first + grid.parameters
        return torch.cat(outputs, dim=1)[: len(x)]


class _Grid:
    def __init__(self, dims: int, config: dict[str, Any]) -> None:
        assert config["otype"] == "HashGrid" or (config["otype"], config["type"]) == ("Grid", "Hash")
        assert dims in (2, 3) and config["n_features_per_level"] in (1, 2, 4, 8)
        self.dims, self.levels, self.features = dims, config["n_levels"], config["n_features_per_level"]
        log2_growth = math.log2(config["per_level_scale"])
        self._scales = [2.0 ** (level * log2_growth) * config["base_resolution"] - 1.0 for level in range(self.levels)]
        self._nodes = [math.ceil(scale) + 1 for scale in self._scales]
        aligned = (-(-(nodes**dims) // 8) * 8 for nodes in self._nodes)
        self._sizes = [min(size, 1 << config["log2_hashmap_size"]) for size in aligned]
        self.parameters = sum(self._sizes) * self.features

    def __call__(self, x: Tensor, parameters: Tensor) -> Tensor:
        entries = parameters.view(-1, self.features)
        outputs, first = [], 0
        for scale, nodes, size in zip(self._scales, self._nodes, self._sizes, strict=True):
            outputs.append(self._level(x, entries[first : first + size], scale, nodes))
            first += size
        return torch.cat(outputs, dim=1)

    def _level(self, x: Tensor, entries: Tensor, scale: float, nodes: int) -> Tensor:
        position = (x.double() * scale + 0.5).float()  # fmaf: one rounding
        low = position.detach().floor()
        fraction = position - low
        cell = low.long() & _UINT32
        value = torch.zeros(len(x), self.features, device=x.device)
        for corner in itertools.product((0, 1), repeat=self.dims):
            weight = torch.ones(len(x), device=x.device)
            for axis, side in enumerate(corner):
                weight = weight * (fraction[:, axis] if side else 1 - fraction[:, axis])
            node = (cell + torch.tensor(corner, device=x.device)) & _UINT32
            value = value + weight[:, None] * entries[self._index(node, nodes, len(entries))]
        return value

    def _index(self, node: Tensor, nodes: int, size: int) -> Tensor:
        index, stride = torch.zeros_like(node[:, 0]), 1
        for axis in range(self.dims):
            index, stride = (index + node[:, axis] * stride) & _UINT32, stride * nodes
        if size < stride:
            index = torch.zeros_like(index)
            for axis in range(self.dims):
                index = index ^ ((node[:, axis] * _PRIMES[axis]) & _UINT32)
        return index % size

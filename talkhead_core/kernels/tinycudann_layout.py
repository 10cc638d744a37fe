"""Our hash table as tiny-cuda-nn lays out its grids, and back.

tiny-cuda-nn's multi-level grid cannot hold our levels: its scales are ``base * growth^level - 1``, ours whole numbers of cells. A grid
of *one* level can: with ``base_resolution = cells + 1`` its scale is ``cells``, its nodes number ``cells + 1`` along an axis, and it is
dense below, hashed above the same size, by the same primes (1, 2654435761) modulo the same power of two. So an encoding here is a
``Composite`` of one such grid for each plane and level, in the order of our table. Two differences stay, and both are bridged exactly:

- it adds half a cell to a coordinate (Instant-NGP, appendix A), so a level is asked at ``x - 0.5 / cells``;
- a level owns a multiple of eight entries, so a dense one has up to seven at its end that no point reads.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from talkhead_core.errors import ParameterError
from talkhead_core.kernels.hash_layout import PLANE_AXES, HashLayout

__all__ = ["encoding_config", "from_parameters", "parameter_rows", "shifted_points", "to_parameters"]

_FEATURES = (1, 2, 4, 8)
_ALIGNED_TO = 8


def encoding_config(layout: HashLayout) -> dict[str, Any]:
    """The configuration of ``tinycudann.Encoding`` whose parameters and answers are those of ``layout``; its inputs are
    :func:`shifted_points`, ``6 * levels`` numbers a point.

    Raises:
        ParameterError: tiny-cuda-nn has no grid with so many features.
    """
    if layout.features not in _FEATURES:
        raise ParameterError(f"tinycudann has grids of 1, 2, 4 or 8 features an entry, not {layout.features}; choose another kernel")
    levels = [
        {
            "otype": "Grid",
            "type": "Hash",
            "hash": "CoherentPrime",
            "interpolation": "Linear",
            "n_dims_to_encode": 2,
            "n_levels": 1,
            "n_features_per_level": layout.features,
            "log2_hashmap_size": layout.log2_entries,
            "base_resolution": cells + 1,
            "per_level_scale": 1.0,
        }
        for cells in layout.resolutions.tolist()
    ]
    return {"otype": "Composite", "nested": levels * len(PLANE_AXES)}


def shifted_points(points: Tensor, layout: HashLayout) -> Tensor:
    """Points ``[3, samples]``, clamped to [0, 1], as the composite's inputs ``[samples, 3 * levels * 2]``: plane by plane and level by
    level the two coordinates, less half a cell."""
    inside = points.float().clamp(0.0, 1.0)
    planes = torch.stack([inside[axis] for axes in PLANE_AXES for axis in axes]).view(len(PLANE_AXES), 1, 2, -1)
    shifted = planes - _half_cells(layout, points.device)[:, None, None]
    return shifted.permute(3, 0, 1, 2).reshape(points.shape[1], -1)


def parameter_rows(layout: HashLayout) -> tuple[np.ndarray, int]:
    """Where each row of our table stands among tiny-cuda-nn's entries, ``[entries] int64``, and how many entries those are."""
    sizes = np.diff(layout.offsets)
    starts = np.concatenate([[0], np.cumsum(-(-sizes // _ALIGNED_TO) * _ALIGNED_TO)])
    return np.arange(layout.entries) + np.repeat(starts[:-1] - layout.offsets[:-1], sizes), int(starts[-1])


def to_parameters(table: Tensor, layout: HashLayout) -> Tensor:
    """Our table ``[entries, features]`` as ``tinycudann``'s flat ``params``, zero where no point reads; differentiable."""
    rows, count = _rows(layout, table.device)
    spread = torch.zeros(count, layout.features, dtype=table.dtype, device=table.device)
    return spread.index_copy(0, rows, table).reshape(-1)


def from_parameters(parameters: Tensor, layout: HashLayout) -> Tensor:
    """``tinycudann``'s flat ``params`` as our table ``[entries, features]``; the inverse of :func:`to_parameters`.

    Raises:
        ParameterError: they are not of this layout.
    """
    rows, count = _rows(layout, parameters.device)
    if parameters.numel() != count * layout.features:
        raise ParameterError(f"{parameters.numel()} parameters are not the {count * layout.features} of this layout in tiny-cuda-nn")
    return parameters.reshape(count, layout.features)[rows]


@lru_cache(maxsize=16)
def _rows(layout: HashLayout, device: torch.device) -> tuple[Tensor, int]:
    rows, count = parameter_rows(layout)
    return torch.from_numpy(rows).to(device), count


@lru_cache(maxsize=16)
def _half_cells(layout: HashLayout, device: torch.device) -> Tensor:
    return torch.from_numpy(0.5 / layout.resolutions).to(device, torch.float32)

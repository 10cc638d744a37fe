"""The layout of a tri-plane multi-resolution hash grid, the same for every kernel.

One flat table ``[entries, features]``, plane by plane and level by level (RAE-NeRF eqs. 7-8; ER-NeRF). Planes are XY, YZ, XZ.
A level whose ``(resolution + 1)^2`` grid fits into ``2^log2_entries`` is indexed densely and owns no more entries than that; a finer
one owns ``2^log2_entries`` and is indexed by the hash of Instant-NGP.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cached_property

import numpy as np

from talkhead_core.parameters import require

__all__ = ["HASH_PRIME", "PLANE_AXES", "HashLayout"]

PLANE_AXES = ((0, 1), (1, 2), (0, 2))
"""The coordinates each plane sees: XY, YZ, XZ (RAE-NeRF eq. 8)."""

HASH_PRIME = 2_654_435_761
"""Second prime of Instant-NGP's spatial hash; the first is 1."""


@dataclass(frozen=True, kw_only=True)
class HashLayout:
    """Sizes of a tri-plane hash grid.

    Args:
        levels: resolution levels a plane (RAE-NeRF: 14; ER-NeRF: 12).
        features: numbers an entry (both papers: 1).
        base_resolution: cells along an axis on the coarsest level.
        finest_resolution: cells along an axis on the finest level.
        log2_entries: log2 of the most entries a level may own.
    """

    levels: int = 14
    features: int = 1
    base_resolution: int = 64
    finest_resolution: int = 512
    log2_entries: int = 14

    def __post_init__(self) -> None:
        require(1 <= self.levels <= 32, f"levels must be 1 to 32, not {self.levels}")
        require(1 <= self.features <= 8, f"features must be 1 to 8, not {self.features}")
        require(2 <= self.base_resolution <= self.finest_resolution, "base_resolution must be 2 to finest_resolution")
        require(8 <= self.log2_entries <= 24, f"log2_entries must be 8 to 24, not {self.log2_entries}")

    @classmethod
    def of(cls, sizes: object) -> HashLayout:
        """The layout of a field's configuration, which names these five sizes among its own."""
        return cls(**{field.name: getattr(sizes, field.name) for field in fields(cls)})

    @property
    def largest_level(self) -> int:
        """The most entries a level may own."""
        return 1 << self.log2_entries

    @property
    def tables(self) -> int:
        """Planes times levels."""
        return 3 * self.levels

    @property
    def entries(self) -> int:
        """Rows of the table."""
        return int(self.offsets[-1])

    @property
    def output_channels(self) -> int:
        """Numbers a point is encoded as: ``3 * levels * features``."""
        return self.tables * self.features

    @cached_property
    def resolutions(self) -> np.ndarray:
        """Cells along an axis of each level ``[levels] int64``, geometric from base to finest."""
        if self.levels == 1:
            return np.array([self.base_resolution], dtype=np.int64)
        growth = np.exp(np.log(self.finest_resolution / self.base_resolution) / (self.levels - 1))
        return np.floor(self.base_resolution * growth ** np.arange(self.levels) + 1e-6).astype(np.int64)

    @cached_property
    def level_entries(self) -> np.ndarray:
        """Entries of each level ``[levels] int64``; a level is dense where this is ``(resolution + 1)^2``."""
        return np.minimum((self.resolutions + 1) ** 2, self.largest_level)

    @cached_property
    def dense(self) -> np.ndarray:
        """Whether each level is indexed densely, ``[levels]`` bool."""
        return (self.resolutions + 1) ** 2 <= self.largest_level

    @cached_property
    def offsets(self) -> np.ndarray:
        """First row of each plane's each level in the table, and the number of rows: ``[tables + 1] int64``."""
        return np.concatenate([[0], np.cumsum(np.tile(self.level_entries, 3))])

"""Where in the head's box there is anything to see: 128^3 cells that the field prunes as it learns.

The grid starts as the tracked mesh, grown over hair, ears and neck and dilated: an order of magnitude fewer cells than a loose hull, and
7 dB more after equal time. Each cell keeps ``max(decay * old, new)`` of the densities found in it (Instant-NGP, Müller et al. 2022,
appendix D; ER-NeRF); a cell outside the dilated mesh is never looked at.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from scipy.ndimage import distance_transform_edt
from torch import Tensor, nn

from talkhead_core.parameters import require
from talkhead_core.rendering.head_shell import HeadShell
from talkhead_core.types import FloatArray

__all__ = ["OccupancyGrid", "OccupancyGridConfig", "dilated_mesh"]

_UNKNOWN = -1.0
_LEAST = 1e-6


@dataclass(frozen=True, kw_only=True)
class OccupancyGridConfig:
    """Sizes of the grid and of a march through it.

    Args:
        cells: along a side.
        samples: the most occupied samples of a ray.
        dilation_cm: how far around the grown mesh cells start as occupied.
        update_every: training steps between updates.
        cells_per_update: cells looked at in one.
        decay: of what a cell held, when it is looked at.
        threshold: a cell is empty below this density, or below the mean if that is less.
    """

    cells: int = 128
    samples: int = 16
    dilation_cm: float = 2.0
    update_every: int = 16
    cells_per_update: int = 16384
    decay: float = 0.95
    threshold: float = 10.0

    def __post_init__(self) -> None:
        require(8 <= self.cells <= 512, f"cells must be 8 to 512, not {self.cells}")
        require(1 <= self.samples <= 128, f"samples must be 1 to 128, not {self.samples}")
        require(0.1 <= self.dilation_cm <= 20.0, f"dilation_cm must be 0.1 to 20, not {self.dilation_cm}")
        require(1 <= self.update_every <= 100000, "update_every must be 1 to 100000")
        require(0.0 <= self.decay < 1.0, "decay must be in [0, 1)")


class OccupancyGrid(nn.Module):
    """Densities of the cells: -1 where nobody has looked yet, 0 outside the dilated mesh, which stays empty.

    Args:
        config: sizes.
        hull: ``[cells, cells, cells]`` bool, see :func:`dilated_mesh`; None for a grid that is about to be loaded.
    """

    density: Tensor

    def __init__(self, config: OccupancyGridConfig, hull: np.ndarray | None = None) -> None:
        super().__init__()
        self.config = config
        start = torch.zeros((config.cells,) * 3) if hull is None else torch.from_numpy(hull).float() * _UNKNOWN
        self.register_buffer("density", start)
        self._occupied: Tensor | None = None
        self.register_load_state_dict_post_hook(lambda *_: self.forget())

    def forget(self) -> None:
        """The densities were changed from outside."""
        self._occupied = None

    @property
    def occupied(self) -> Tensor:
        """``[cells, cells, cells]`` uint8, where to sample."""
        if self._occupied is None or self._occupied.device != self.density.device:
            empty_below = self.density.clamp_min(0.0).mean().clamp_max(self.config.threshold)
            self._occupied = ((self.density > empty_below) | (self.density < 0)).to(torch.uint8)
        return self._occupied

    @torch.no_grad()
    def update(self, generator: torch.Generator, density_of: Callable[[Tensor, Tensor], Tensor]) -> None:
        """Look into cells of the hull, drawn by ``generator``.

        Args:
            generator: on the grid's device.
            density_of: positions ``[3, S]`` in the unit cube and a number for each, uniform over int32's positive half (to choose a
                frame by), to densities ``[S]``.
        """
        flat, side, device = self.density.view(-1), self.config.cells, self.density.device
        hull = torch.nonzero(flat != 0)[:, 0]
        count = min(self.config.cells_per_update, len(hull))
        if not count:
            return
        cells = hull[torch.randint(len(hull), (count,), generator=generator, device=device)]
        corner = torch.stack([cells // side**2, cells // side % side, cells % side])
        positions = (corner + torch.rand(corner.shape, generator=generator, device=device)) / side
        lot = torch.randint(2**31 - 1, (count,), generator=generator, device=device)
        found = density_of(positions, lot).clamp_min(_LEAST)
        flat[cells] = flat[cells] * self.config.decay
        flat.scatter_reduce_(0, cells, found, "amax")  # of -1 nothing is left; cells drawn twice take the larger, in any order
        self.forget()


def dilated_mesh(shell: HeadShell, codes: FloatArray, config: OccupancyGridConfig) -> np.ndarray:
    """Cells within ``dilation_cm`` of the grown mesh in any of the given expressions, ``[cells, cells, cells]`` bool.

    Args:
        shell: of the speaker: the mesh, grown over hair, ears and neck; its box is the grid's.
        codes: the shell's codes ``[frames, codes]`` of some frames, so that the moving chin stays inside.
        config: sizes.
    """
    cells, cell_cm = config.cells, 2 * shell.half_extent_cm / config.cells
    empty = np.ones((cells,) * 3, dtype=bool)
    for row in codes:
        for surface in _surface_points(shell.displaced(row), shell.triangles):
            place = ((surface - shell.centre_cm) / (2 * shell.half_extent_cm) + 0.5) * cells
            inside = ((place >= 0) & (place < cells)).all(axis=1)
            empty[tuple(place[inside].astype(int).T)] = False
    return np.asarray(distance_transform_edt(empty) * cell_cm <= config.dilation_cm)


def _surface_points(vertices: FloatArray, triangles: np.ndarray) -> list[FloatArray]:
    corners = vertices[triangles]
    middles = (corners + np.roll(corners, 1, axis=1)) / 2
    return [vertices, middles.reshape(-1, 3), corners.mean(axis=1)]

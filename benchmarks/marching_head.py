"""The reference that the core is measured against: the papers' way, in plain torch and float32.

Rays march through an occupancy grid in the rigid head frame (Instant-NGP; RAD-NeRF and its descendants): the grid starts as a loose
hull around the head and is pruned by what the field learns; the first sixteen occupied steps of a ray are evaluated, packed. Hash
grid, network, losses, ray draws and optimiser are those of the core, the kernels are the torch references.
"""

from __future__ import annotations

import torch
from torch import Tensor

from talkhead_core.fields.head_field import HeadFieldConfig
from talkhead_core.kernels import ShellGeometry
from talkhead_core.kernels.compositing_torch import composite
from talkhead_core.rendering.head_shell import HeadShell
from talkhead_core.rendering.shell_cache import ShellCache
from talkhead_core.rendering.talking_head import TalkingHead

__all__ = ["MarchingHead"]

_CELLS = 64
_STEPS = 112
_SAMPLES = 16
_UPDATE_EVERY = 16
_CELLS_A_TURN = 16384
_EMPTY_BELOW = 0.1
_DECAY = 0.8


class MarchingHead(TalkingHead):
    """A talking head whose samples come from an occupancy grid instead of the shell.

    Args:
        shell: gives the hull and the box of the hash grid.
        config: sizes of the field, with ``kernel="torch"``.
        frames: number of frames that own an appearance code.
    """

    occupancy: Tensor

    def __init__(self, shell: HeadShell, config: HeadFieldConfig, frames: int) -> None:
        super().__init__(shell, config, frames)
        centres = (torch.stack(torch.meshgrid(*[torch.arange(_CELLS)] * 3, indexing="ij"), dim=3) + 0.5) / _CELLS
        vertices = (torch.from_numpy(shell.rest) - torch.from_numpy(shell.centre_cm)) / (2 * shell.half_extent_cm) + 0.5
        low, high = vertices.amin(dim=0), vertices.amax(dim=0)
        radius = (high - low) / 2 * 1.15
        hull = ((centres - (low + high) / 2) / radius).square().sum(dim=3) < 1
        self.register_buffer("occupancy", hull.float().flatten(), persistent=False)  # no weight: not averaged
        self._calls, self.samples_a_ray = 0, 0.0

    def rays(self, cache: ShellCache, row: Tensor, pixel: Tensor, jitter: Tensor, condition: Tensor) -> tuple[Tensor, Tensor]:
        """As :meth:`TalkingHead.rays`; of ``jitter`` only the first column is used."""
        points, ray, place, step = self._march(cache.geometry, row, pixel, jitter[:, :1])
        frame = ray // (len(row) // len(condition))
        density, colour = self._evaluate(points, condition, frame)
        padded_density = torch.zeros(len(row), _SAMPLES, device=points.device).index_put((ray, place), density)
        padded_colour = torch.zeros(len(row), _SAMPLES, 3, device=points.device).index_put((ray, place), colour)
        if torch.is_grad_enabled():
            self._calls += 1
            self.samples_a_ray = len(ray) / max(1, len(row))
            if self._calls % _UPDATE_EVERY == 0:
                self._update(condition)
        return composite(padded_density, padded_colour, step)

    @torch.no_grad()
    def _march(self, geometry: ShellGeometry, row: Tensor, pixel: Tensor, start: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Occupied samples ``[3, S]`` in the unit cube, their ray and place on it ``[S]``, and the rays' step in cm ``[R]``."""
        centred = (pixel - geometry.size_px / 2) / geometry.focal_px
        view = torch.stack([centred[:, 0], -centred[:, 1], -torch.ones_like(centred[:, 0])], dim=1)
        scale = 2 * geometry.half_extent_cm
        direction = torch.einsum("rij,rj->ri", geometry.inverse_rotation[row], view) / scale
        origin = (geometry.camera_centre_cm[row] - geometry.centre_cm) / scale + 0.5
        walls = torch.stack([-origin / direction, (1 - origin) / direction])
        near, far = walls.amin(dim=0).amax(dim=1).clamp_min(0), walls.amax(dim=0).amin(dim=1)
        stride = 1.0 / (_CELLS * direction.norm(dim=1))
        distance = near[:, None] + (torch.arange(_STEPS, device=pixel.device) + start) * stride[:, None]
        positions = origin[:, :, None] + direction[:, :, None] * distance[:, None]
        cell = (positions.clamp(0, 1 - 1e-6) * _CELLS).long()
        occupied = self.occupancy[(cell[:, 0] * _CELLS + cell[:, 1]) * _CELLS + cell[:, 2]] > _EMPTY_BELOW
        occupied &= distance < far[:, None]
        place = torch.cumsum(occupied, dim=1) - 1
        ray, column = torch.nonzero(occupied & (place < _SAMPLES), as_tuple=True)
        step_cm = stride * direction.norm(dim=1) * scale
        return positions[ray, :, column].t().contiguous(), ray, place[ray, column], step_cm

    def _evaluate(self, points: Tensor, condition: Tensor, frame: Tensor) -> tuple[Tensor, Tensor]:
        field = self.field
        biases = field.condition(condition).view(len(condition), 2, -1)[frame]
        hidden = torch.relu(field.first(field.encoder(points)) + biases[:, 0])
        hidden = torch.relu(field.second(hidden) + biases[:, 1])
        output = field.output(hidden)
        return torch.exp(output[:, 0].clamp(-12.0, 8.0)), torch.sigmoid(output[:, 1:]) * 1.002 - 0.001

    @torch.no_grad()
    def _update(self, condition: Tensor) -> None:
        """Decay some occupied cells towards what the field holds there; a cell once empty, or outside the hull, stays so."""
        device = condition.device
        occupied = torch.nonzero(self.occupancy > _EMPTY_BELOW)[:, 0]
        cells = occupied[torch.randint(0, len(occupied), (min(_CELLS_A_TURN, len(occupied)),), device=device)]
        corner = torch.stack([cells // _CELLS**2, cells // _CELLS % _CELLS, cells % _CELLS])
        density, _ = self._evaluate((corner + torch.rand(corner.shape, device=device)) / _CELLS, condition, cells % len(condition))
        self.occupancy[cells] = torch.maximum(self.occupancy[cells] * _DECAY, density.clamp_max(1.0))

"""The reference of marching rays through an occupancy grid in plain torch, on any device (Instant-NGP; RAD-NeRF and its descendants)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from talkhead_core.kernels.shell_geometry import ShellGeometry

__all__ = ["march", "view_rays"]


def march(geometry: ShellGeometry, occupied: Tensor, row: Tensor, pixel: Tensor, start: Tensor, samples: int) -> tuple[Tensor, ...]:
    """The first occupied samples of every ray, at a constant step of ``sqrt(3)`` cells.

    Args:
        geometry: poses and box; its maps are not read.
        occupied: ``[cells, cells, cells]`` uint8, over the box.
        row: ``[rays]`` int64, each ray's row of ``geometry``.
        pixel: ``[rays, 2]`` image position of each ray.
        start: ``[rays]`` in [0, 1), the place of the samples in their steps.
        samples: the most samples a ray.

    Returns:
        Positions ``[3, S]`` in the unit cube, ray-major and front to back, the ray of each ``[S]`` and its place on it ``[S]``,
        int64.
    """
    cells = occupied.shape[0]
    origin, direction = view_rays(geometry, row, pixel)
    walls = torch.stack([-origin / direction, (1.0 - origin) / direction])
    near, far = walls.amin(dim=0).amax(dim=1).clamp_min(0.0), walls.amax(dim=0).amin(dim=1)
    stride = math.sqrt(3.0) / (cells * direction.norm(dim=1))
    distance = near[:, None] + (torch.arange(cells + 1, device=pixel.device) + start[:, None]) * stride[:, None]
    positions = origin[:, :, None] + direction[:, :, None] * distance[:, None]
    cell = (positions * cells).clamp(0, cells - 1).long()
    hit = occupied[cell[:, 0], cell[:, 1], cell[:, 2]] != 0
    hit &= distance < far[:, None]
    place = torch.cumsum(hit, dim=1) - 1
    ray, column = torch.nonzero(hit & (place < samples), as_tuple=True)
    return positions[ray, :, column].t().contiguous(), ray, place[ray, column]


def view_rays(geometry: ShellGeometry, row: Tensor, pixel: Tensor) -> tuple[Tensor, Tensor]:
    """Origins and directions ``[rays, 3]`` in the unit cube; a direction is one cm along the viewing axis, and no component is zero."""
    centred = (pixel - geometry.size_px / 2) / geometry.focal_px
    view = torch.stack([centred[:, 0], -centred[:, 1], -torch.ones_like(centred[:, 0])], dim=1)
    scale = 2 * geometry.half_extent_cm
    rotated = (geometry.inverse_rotation[row] * view[:, None]).sum(dim=2) / scale
    direction = torch.where(rotated.abs() < 1e-9, torch.full_like(rotated, 1e-9), rotated)
    return (geometry.camera_centre_cm[row] - geometry.centre_cm) / scale + 0.5, direction

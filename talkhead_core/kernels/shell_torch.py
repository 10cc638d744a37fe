"""The reference of sampling rays inside the shell in plain torch, on any device."""

from __future__ import annotations

import torch
from torch import Tensor

from talkhead_core.kernels.shell_geometry import DEPTH_SCALE_CM, ShellGeometry

__all__ = ["shell_points"]


def shell_points(geometry: ShellGeometry, row: Tensor, pixel: Tensor, jitter: Tensor) -> tuple[Tensor, Tensor]:
    """Canonical sample positions in the unit cube.

    A ray's samples lie evenly in the shell along the viewing axis; the maps are read bilinearly at the pixel.

    Args:
        geometry: maps and poses.
        row: ``[rays]`` int64, each ray's row of ``geometry``.
        pixel: ``[rays, 2]`` image position of each ray (centre of the first pixel: 0.5, 0.5).
        jitter: ``[rays, samples]`` in [0, 1), the place of a sample in its slice of the shell; 0.5 is the middle.

    Returns:
        Positions ``[3, rays * samples]`` (ray-major) and the step in cm ``[rays]``, float32.
    """
    values = _map_values(geometry.maps, row, pixel / geometry.size_px)
    depth, half = values[:, 0] + geometry.depth_origin_cm[row], values[:, 1]
    samples = jitter.shape[1]
    step = 2 * half / samples
    distance = (depth - half)[:, None] + step[:, None] * (torch.arange(samples, device=jitter.device) + jitter)
    centred = (pixel - geometry.size_px / 2) / geometry.focal_px
    view = torch.stack([centred[:, 0], -centred[:, 1], -torch.ones_like(centred[:, 0])], dim=1)
    direction = torch.einsum("rij,rj->ri", geometry.inverse_rotation[row], view)
    origin = geometry.camera_centre_cm[row] - values[:, 2:] - geometry.centre_cm
    points = (origin[:, :, None] + direction[:, :, None] * distance[:, None]) / (2 * geometry.half_extent_cm) + 0.5
    return points.permute(1, 0, 2).reshape(3, -1), step


def _map_values(maps: Tensor, row: Tensor, position: Tensor) -> Tensor:
    """Bilinear values ``[rays, channels]`` in cm at positions ``[rays, 2]`` of the unit square."""
    side = maps.shape[1]
    grid = (position * side - 0.5).clamp(0.0, side - 1.001)
    corner = grid.long()
    fx, fy = (grid - corner).split(1, dim=1)
    x, y = corner.unbind(dim=1)
    low = maps[row, y, x] * (1 - fx) + maps[row, y, x + 1] * fx
    high = maps[row, y + 1, x] * (1 - fx) + maps[row, y + 1, x + 1] * fx
    return (low * (1 - fy) + high * fy) * DEPTH_SCALE_CM

"""Marching rays through an occupancy grid for CPUs, compiled by numba: most steps read one byte and go on."""

from __future__ import annotations

import math

import numpy as np
import torch
from numba import njit, prange
from torch import Tensor

from talkhead_core.kernels.marching_torch import view_rays
from talkhead_core.kernels.shell_geometry import ShellGeometry

__all__ = ["march"]


def march(geometry: ShellGeometry, occupied: Tensor, row: Tensor, pixel: Tensor, start: Tensor, samples: int) -> tuple[Tensor, ...]:
    """The same as :func:`talkhead_core.kernels.marching_torch.march`, on the CPU."""
    origin, direction = view_rays(geometry, row, pixel)
    length = direction.norm(dim=1)
    rays = len(row)
    distance, count = np.empty((rays, samples), np.float32), np.empty(rays, np.int64)
    grid, origins, directions = occupied.contiguous().numpy(), origin.contiguous().numpy(), direction.contiguous().numpy()
    strides = (math.sqrt(3.0) / (occupied.shape[0] * length)).numpy()
    _march(grid, origins, directions, strides, start.contiguous().numpy(), distance, count)
    first = np.concatenate([np.zeros(1, np.int64), np.cumsum(count)])
    points = np.empty((3, int(first[-1])), np.float32)
    ray, place = np.empty(points.shape[1], np.int64), np.empty(points.shape[1], np.int64)
    _pack(origins, directions, distance, first, points, ray, place)
    return torch.from_numpy(points), torch.from_numpy(ray), torch.from_numpy(place)


@njit(parallel=True, cache=True)
def _march(occupied, origin, direction, stride, start, distance, count):  # type: ignore[no-untyped-def]
    cells, most = occupied.shape[0], distance.shape[1]
    scale, last = np.float32(cells), np.float32(cells - 1)
    zero, one = np.float32(0.0), np.float32(1.0)
    for r in prange(origin.shape[0]):
        near, far = zero, np.float32(1e30)
        for axis in range(3):
            low, high = -origin[r, axis] / direction[r, axis], (one - origin[r, axis]) / direction[r, axis]
            near, far = max(near, min(low, high)), min(far, max(low, high))
        found = 0
        for k in range(cells + 1):
            t = near + (np.float32(k) + start[r]) * stride[r]
            if t >= far or found == most:
                break
            i = int(min(max((origin[r, 0] + direction[r, 0] * t) * scale, zero), last))
            j = int(min(max((origin[r, 1] + direction[r, 1] * t) * scale, zero), last))
            k3 = int(min(max((origin[r, 2] + direction[r, 2] * t) * scale, zero), last))
            if occupied[i, j, k3] != 0:
                distance[r, found] = t
                found += 1
        count[r] = found


@njit(parallel=True, cache=True)
def _pack(origin, direction, distance, first, points, ray, place):  # type: ignore[no-untyped-def]
    for r in prange(origin.shape[0]):
        for k in range(first[r + 1] - first[r]):
            s, t = first[r] + k, distance[r, k]
            for axis in range(3):
                points[axis, s] = origin[r, axis] + direction[r, axis] * t
            ray[s], place[s] = r, k

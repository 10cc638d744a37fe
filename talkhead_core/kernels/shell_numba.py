"""Sample positions of rays inside the shell for CPUs, compiled by numba."""

from __future__ import annotations

import numpy as np
import torch
from numba import njit, prange
from torch import Tensor

from talkhead_core.kernels.shell_geometry import DEPTH_SCALE_CM, ShellGeometry

__all__ = ["shell_points"]


def shell_points(geometry: ShellGeometry, row: Tensor, pixel: Tensor, jitter: Tensor) -> tuple[Tensor, Tensor]:
    """The same as :func:`talkhead_core.kernels.shell_torch.shell_points`, on the CPU."""
    points, step = torch.empty(3, jitter.numel()), torch.empty(jitter.shape[0])
    _shell_points(
        geometry.maps.numpy(), geometry.depth_origin_cm.numpy(), geometry.inverse_rotation.numpy(), geometry.camera_centre_cm.numpy(),
        row.numpy(), pixel.numpy(), jitter.numpy(), np.float32(geometry.focal_px), np.float32(geometry.size_px),
        geometry.centre_cm.numpy(), np.float32(geometry.half_extent_cm), points.numpy(), step.numpy(),
    )  # fmt: skip
    return points, step


@njit(parallel=True, fastmath=True, cache=True)
def _shell_points(maps, origin, inverse_rotation, camera, frame, pixel, jitter, focal, size, centre, extent, points, step):  # type: ignore[no-untyped-def]
    rays, samples = jitter.shape
    side = maps.shape[1]
    unit, one, half_pixel = np.float32(DEPTH_SCALE_CM), np.float32(1.0), np.float32(0.5)
    scale, last, shrink = side / size, np.float32(side - 1.001), np.float32(0.5) / extent
    for r in prange(rays):
        f = frame[r]
        gx = min(max(pixel[r, 0] * scale - half_pixel, np.float32(0.0)), last)
        gy = min(max(pixel[r, 1] * scale - half_pixel, np.float32(0.0)), last)
        x, y = int(gx), int(gy)
        fx, fy = gx - np.float32(x), gy - np.float32(y)
        a, b = (one - fx) * (one - fy) * unit, fx * (one - fy) * unit
        c, d = (one - fx) * fy * unit, fx * fy * unit
        m00, m10, m01, m11 = maps[f, y, x], maps[f, y, x + 1], maps[f, y + 1, x], maps[f, y + 1, x + 1]
        depth = a * m00[0] + b * m10[0] + c * m01[0] + d * m11[0] + origin[f]
        half = a * m00[1] + b * m10[1] + c * m01[1] + d * m11[1]
        dx = a * m00[2] + b * m10[2] + c * m01[2] + d * m11[2]
        dy = a * m00[3] + b * m10[3] + c * m01[3] + d * m11[3]
        dz = a * m00[4] + b * m10[4] + c * m01[4] + d * m11[4]
        ux = (pixel[r, 0] - half_pixel * size) / focal
        uy = -(pixel[r, 1] - half_pixel * size) / focal
        rotation = inverse_rotation[f]
        hx = rotation[0, 0] * ux + rotation[0, 1] * uy - rotation[0, 2]
        hy = rotation[1, 0] * ux + rotation[1, 1] * uy - rotation[1, 2]
        hz = rotation[2, 0] * ux + rotation[2, 1] * uy - rotation[2, 2]
        spacing = np.float32(2.0) * half / np.float32(samples)
        step[r] = spacing
        for k in range(samples):
            t = depth - half + spacing * (np.float32(k) + jitter[r, k])
            s = r * samples + k
            points[0, s] = (camera[f, 0] + hx * t - dx - centre[0]) * shrink + half_pixel
            points[1, s] = (camera[f, 1] + hy * t - dy - centre[1]) * shrink + half_pixel
            points[2, s] = (camera[f, 2] + hz * t - dz - centre[2]) * shrink + half_pixel

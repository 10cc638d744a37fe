"""Sample positions of rays inside the shell, compiled by numba."""

from __future__ import annotations

import numpy as np
from numba import njit, prange

from talkhead_core.types import FloatArray

__all__ = ["DEPTH_SCALE_CM", "shell_points"]

DEPTH_SCALE_CM = 1.0 / 1500.0
"""Maps are stored as int16 in this unit: a range of +-21 cm in steps of 7 micrometres."""


def shell_points(
    maps: np.ndarray,
    depth_origin_cm: FloatArray,
    inverse_rotation: FloatArray,
    camera_centre_cm: FloatArray,
    frame: np.ndarray,
    pixel: FloatArray,
    jitter: FloatArray,
    focal_px: float,
    size_px: int,
    centre_cm: FloatArray,
    half_extent_cm: float,
) -> tuple[FloatArray, FloatArray]:
    """Canonical sample positions in the unit cube.

    Args:
        maps: ``[frames, map_px, map_px, 5]`` int16 in units of ``DEPTH_SCALE_CM``; depth is relative to ``depth_origin_cm``.
        depth_origin_cm: ``[frames]``.
        inverse_rotation: ``[frames, 3, 3]`` camera to head.
        camera_centre_cm: ``[frames, 3]`` the camera in the head frame.
        frame: ``[rays]`` row of each ray's frame.
        pixel: ``[rays, 2]`` image position of each ray (centre of the first pixel: 0.5, 0.5).
        jitter: ``[rays, samples]`` in [0, 1), the place of a sample in its slice of the shell; 0.5 is the middle.
        focal_px: at ``size_px``.
        size_px: side of the image.
        centre_cm: centre of the canonical box.
        half_extent_cm: half its side.

    Returns:
        Positions ``[3, rays * samples]`` (ray-major) and the step in cm ``[rays]``, float32.
    """
    points = np.empty((3, jitter.size), dtype=np.float32)
    step = np.empty(jitter.shape[0], dtype=np.float32)
    _shell_points(
        maps, depth_origin_cm, inverse_rotation, camera_centre_cm, frame, pixel, jitter,
        np.float32(focal_px), np.float32(size_px), centre_cm, np.float32(half_extent_cm), points, step,
    )  # fmt: skip
    return points, step


@njit(parallel=True, fastmath=True, cache=True)
def _shell_points(maps, origin, inverse_rotation, camera, frame, pixel, jitter, focal, size, centre, extent, points, step):  # type: ignore[no-untyped-def]
    rays, samples = jitter.shape
    side = maps.shape[1]
    unit = np.float32(DEPTH_SCALE_CM)
    for r in prange(rays):
        f = frame[r]
        gx = min(max(pixel[r, 0] * side / size - np.float32(0.5), np.float32(0.0)), np.float32(side - 1.001))
        gy = min(max(pixel[r, 1] * side / size - np.float32(0.5), np.float32(0.0)), np.float32(side - 1.001))
        x, y = int(gx), int(gy)
        fx, fy = gx - x, gy - y
        a, b = (1 - fx) * (1 - fy) * unit, fx * (1 - fy) * unit
        c, d = (1 - fx) * fy * unit, fx * fy * unit
        m00, m10, m01, m11 = maps[f, y, x], maps[f, y, x + 1], maps[f, y + 1, x], maps[f, y + 1, x + 1]
        depth = a * m00[0] + b * m10[0] + c * m01[0] + d * m11[0] + origin[f]
        half = a * m00[1] + b * m10[1] + c * m01[1] + d * m11[1]
        dx = a * m00[2] + b * m10[2] + c * m01[2] + d * m11[2]
        dy = a * m00[3] + b * m10[3] + c * m01[3] + d * m11[3]
        dz = a * m00[4] + b * m10[4] + c * m01[4] + d * m11[4]
        ux = (pixel[r, 0] - size / 2) / focal
        uy = -(pixel[r, 1] - size / 2) / focal
        rotation = inverse_rotation[f]
        hx = rotation[0, 0] * ux + rotation[0, 1] * uy - rotation[0, 2]
        hy = rotation[1, 0] * ux + rotation[1, 1] * uy - rotation[1, 2]
        hz = rotation[2, 0] * ux + rotation[2, 1] * uy - rotation[2, 2]
        step[r] = 2 * half / samples
        for k in range(samples):
            t = depth - half + step[r] * (k + jitter[r, k])
            s = r * samples + k
            points[0, s] = (camera[f, 0] + hx * t - dx - centre[0]) / (2 * extent) + np.float32(0.5)
            points[1, s] = (camera[f, 1] + hy * t - dy - centre[1]) / (2 * extent) + np.float32(0.5)
            points[2, s] = (camera[f, 2] + hz * t - dz - centre[2]) / (2 * extent) + np.float32(0.5)

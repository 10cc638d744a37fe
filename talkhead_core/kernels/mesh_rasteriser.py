"""A z-buffer rasteriser for the few hundred triangles of a face, compiled by numba.

It serves geometry (where along a ray the surface lies), so it interpolates attributes and draws nothing.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from talkhead_core.types import FloatArray

__all__ = ["rasterise"]


def rasterise(
    pixels: FloatArray, depth: FloatArray, attributes: FloatArray, triangles: np.ndarray, width: int, height: int
) -> tuple[FloatArray, FloatArray]:
    """Nearest surface at each pixel centre.

    Args:
        pixels: ``[vertices, 2]``.
        depth: ``[vertices]`` distance along the viewing axis, positive in front of the camera.
        attributes: ``[vertices, channels]``, interpolated linearly in the image.
        triangles: ``[triangles, 3]``, either orientation.
        width: of the result.
        height: of the result.

    Returns:
        Depth ``[height, width]`` (infinite where nothing is) and attributes ``[height, width, channels]`` (zero there), float32.
    """
    nearest = np.full((height, width), np.inf, dtype=np.float32)
    values = np.zeros((height, width, attributes.shape[1]), dtype=np.float32)
    _rasterise(
        np.ascontiguousarray(pixels, dtype=np.float32),
        np.ascontiguousarray(depth, dtype=np.float32),
        np.ascontiguousarray(attributes, dtype=np.float32),
        np.ascontiguousarray(triangles, dtype=np.int32),
        nearest,
        values,
    )
    return nearest, values


@njit(cache=True, fastmath=True, nogil=True)
def _rasterise(pixels, depth, attributes, triangles, nearest, values):  # type: ignore[no-untyped-def]
    height, width = nearest.shape
    channels = attributes.shape[1]
    for t in range(triangles.shape[0]):
        a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        ax, ay, bx, by, cx, cy = pixels[a, 0], pixels[a, 1], pixels[b, 0], pixels[b, 1], pixels[c, 0], pixels[c, 1]
        area = (bx - ax) * (cy - ay) - (cx - ax) * (by - ay)
        if abs(area) < 1e-6:
            continue
        left, right = max(0, int(np.floor(min(ax, bx, cx) - 0.5))), min(width - 1, int(np.ceil(max(ax, bx, cx) - 0.5)))
        top, bottom = max(0, int(np.floor(min(ay, by, cy) - 0.5))), min(height - 1, int(np.ceil(max(ay, by, cy) - 0.5)))
        for v in range(top, bottom + 1):
            for u in range(left, right + 1):
                x, y = u + np.float32(0.5), v + np.float32(0.5)
                wa = ((bx - x) * (cy - y) - (cx - x) * (by - y)) / area
                wb = ((cx - x) * (ay - y) - (ax - x) * (cy - y)) / area
                wc = np.float32(1.0) - wa - wb
                if wa < -1e-5 or wb < -1e-5 or wc < -1e-5:
                    continue
                z = wa * depth[a] + wb * depth[b] + wc * depth[c]
                if z < nearest[v, u]:
                    nearest[v, u] = z
                    for k in range(channels):
                        values[v, u, k] = wa * attributes[a, k] + wb * attributes[b, k] + wc * attributes[c, k]

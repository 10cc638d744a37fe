"""Sample positions of rays inside the shell for NVIDIA GPUs, compiled by Triton: a ray a lane."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from talkhead_core.kernels.shell_geometry import DEPTH_SCALE_CM, ShellGeometry

__all__ = ["shell_points"]

_BLOCK = 128
_UNIT = tl.constexpr(DEPTH_SCALE_CM)


def shell_points(geometry: ShellGeometry, row: Tensor, pixel: Tensor, jitter: Tensor) -> tuple[Tensor, Tensor]:
    """The same as :func:`talkhead_core.kernels.shell_torch.shell_points`."""
    rays, samples = jitter.shape
    points, step = torch.empty(3, rays * samples, device=jitter.device), torch.empty(rays, device=jitter.device)
    if rays:
        _shell_points[(triton.cdiv(rays, _BLOCK),)](
            geometry.maps.contiguous(), geometry.depth_origin_cm, geometry.inverse_rotation.contiguous(),
            geometry.camera_centre_cm.contiguous(), geometry.centre_cm,
            row.contiguous(), pixel.contiguous(), jitter.contiguous(), points, step, rays,
            0.5 / geometry.half_extent_cm, geometry.focal_px, float(geometry.size_px),
            SIDE=geometry.maps.shape[1], SAMPLES=samples, BLOCK=_BLOCK,
        )  # fmt: skip
    return points, step


@triton.jit
def _shell_points(  # type: ignore[no-untyped-def]
    maps, origin, inverse_rotation, camera, centre, row, pixel, jitter, points, step, rays, shrink, focal, size,
    SIDE: tl.constexpr, SAMPLES: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    r = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    exists = r < rays
    f = tl.load(row + r, mask=exists, other=0)
    u, v = tl.load(pixel + 2 * r, mask=exists, other=0.0), tl.load(pixel + 2 * r + 1, mask=exists, other=0.0)
    gx = tl.minimum(tl.maximum(u * SIDE / size - 0.5, 0.0), SIDE - 1.001)
    gy = tl.minimum(tl.maximum(v * SIDE / size - 0.5, 0.0), SIDE - 1.001)
    x, y = gx.to(tl.int32), gy.to(tl.int32)
    fx, fy = gx - x, gy - y
    corner = maps + ((f * SIDE + y) * SIDE + x) * 5
    depth = _value(corner, 0, fx, fy, exists, SIDE) + tl.load(origin + f, mask=exists, other=0.0)
    half = _value(corner, 1, fx, fy, exists, SIDE)
    ux, uy = (u - 0.5 * size) / focal, -(v - 0.5 * size) / focal
    spacing = 2.0 * half / SAMPLES
    tl.store(step + r, spacing, mask=exists)
    for axis in tl.static_range(3):
        at = inverse_rotation + f * 9 + axis * 3
        m0, m1 = tl.load(at, mask=exists, other=0.0), tl.load(at + 1, mask=exists, other=0.0)
        direction = m0 * ux + m1 * uy - tl.load(at + 2, mask=exists, other=0.0)
        start = tl.load(camera + f * 3 + axis, mask=exists, other=0.0) - _value(corner, 2 + axis, fx, fy, exists, SIDE)
        start -= tl.load(centre + axis)
        for k in tl.static_range(SAMPLES):
            place = tl.load(jitter + r * SAMPLES + k, mask=exists, other=0.0)
            distance = depth - half + spacing * (k + place)
            tl.store(points + (axis * rays + r) * SAMPLES + k, (start + direction * distance) * shrink + 0.5, mask=exists)


@triton.jit
def _value(corner, channel, fx, fy, exists, SIDE: tl.constexpr):  # type: ignore[no-untyped-def]
    """A channel of the maps between four neighbouring cells, in cm."""
    m00 = tl.load(corner + channel, mask=exists, other=0).to(tl.float32)
    m10 = tl.load(corner + 5 + channel, mask=exists, other=0).to(tl.float32)
    m01 = tl.load(corner + 5 * SIDE + channel, mask=exists, other=0).to(tl.float32)
    m11 = tl.load(corner + 5 * SIDE + 5 + channel, mask=exists, other=0).to(tl.float32)
    low, high = m00 + fx * (m10 - m00), m01 + fx * (m11 - m01)
    return (low + fy * (high - low)) * _UNIT

"""The head around the face: hair, ears and jaw edge in front, the far side of the hair behind.

Rings in polar coordinates of the photograph run from just inside the face's outline, behind the face mesh so that no
gap can open, to a little beyond the traced edge of the head, where the texture is transparent. Their depth falls off
like an ellipsoid's; the far side is the mirror image of the near one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.interpolate import LinearNDInterpolator
from scipy.sparse import coo_matrix, csr_matrix

from talkhead_core.demo.photograph import HAIR_OUTLINE, JAW_OUTLINE
from talkhead_core.types import FloatArray

__all__ = ["HeadShell", "build_head_shell", "grid_triangles"]

# The face's outline, clockwise as seen from the top of the forehead.
_OVAL = np.array(
    [
        10,
        338,
        297,
        332,
        284,
        251,
        389,
        356,
        454,
        323,
        361,
        288,
        397,
        365,
        379,
        378,
        400,
        377,
        152,
        148,
        176,
        149,
        150,
        136,
        172,
        58,
        132,
        93,
        234,
        127,
        162,
        21,
        54,
        103,
        67,
        109,
    ]
)
_POLAR_CENTRE_PX = np.array([225.0, 112.0])
_ANGLES, _SHELL_RINGS = 144, 12


@dataclass(frozen=True, kw_only=True)
class HeadShell:
    """Vertices are pixels of the photograph with depth in pixels, smaller nearer.

    Args:
        front: ``[S, 3]``.
        front_triangles: ``[T, 3]``.
        follows: ``[S, face vertices]``, how the shell takes part in the face's movements.
        back: ``[B, 3]`` the far side of the hair.
        back_triangles: ``[U, 3]``.
    """

    front: FloatArray
    front_triangles: np.ndarray
    follows: csr_matrix
    back: FloatArray
    back_triangles: np.ndarray


def grid_triangles(rows: int, columns: int, *, closed: bool) -> np.ndarray:
    """Triangles of a grid of vertices numbered row by row; closed: the last column joins the first."""
    index = np.arange(rows * columns).reshape(rows, columns)
    right = np.roll(index, -1, axis=1)
    last = columns if closed else columns - 1
    a, b, c, d = (part[:, :last].ravel() for part in (index[:-1], right[:-1], index[1:], right[1:]))
    return np.concatenate([np.stack([a, b, c], 1), np.stack([b, d, c], 1)]).astype(np.int32)


def _polar_radius(outline_px: FloatArray, angles: FloatArray) -> FloatArray:
    """Distance of a closed outline from the polar centre in each direction."""
    away = outline_px - _POLAR_CENTRE_PX
    angle = np.arctan2(away[:, 1], away[:, 0])
    order = np.argsort(angle)
    return np.interp(angles, angle[order], np.linalg.norm(away, axis=1)[order], period=2 * np.pi)


def build_head_shell(points: FloatArray) -> HeadShell:
    """The shell around a face mesh ``[F, 3]`` in pixels of the photograph."""
    angles = (np.arange(_ANGLES) + 0.5) / _ANGLES * 2 * np.pi - np.pi
    directions = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    outline = np.concatenate([HAIR_OUTLINE, JAW_OUTLINE[::-1]])
    dense = np.concatenate([np.linspace(a, b, 12, endpoint=False) for a, b in zip(outline, np.roll(outline, -1, axis=0), strict=True)])
    oval_px = points[_OVAL, :2]
    dense_oval = np.concatenate([np.linspace(a, b, 8, endpoint=False) for a, b in zip(oval_px, np.roll(oval_px, -1, axis=0), strict=True)])
    oval_radius = _polar_radius(dense_oval, angles)
    outer_radius = np.maximum(_polar_radius(dense, angles), oval_radius) + 4.0
    blur = np.exp(-0.5 * (np.arange(-4, 5) / 1.5) ** 2)
    outer_radius = np.convolve(np.pad(outer_radius, 4, mode="wrap"), blur / blur.sum(), mode="valid")
    depth_of = LinearNDInterpolator(points[:, :2], points[:, 2])
    oval_depth = depth_of(_POLAR_CENTRE_PX + directions * (oval_radius - 0.6)[:, None])
    # The head is deepest where it is widest: at the ears, and further back at the crown.
    upward = np.clip(-directions[:, 1], 0, 1)
    edge_depth = 44.0 + 14.0 * upward**2
    jaw = np.clip(1 - (outer_radius - oval_radius - 4.0) / 5.0, 0, 1) * (directions[:, 1] > 0)
    edge_depth = edge_depth * (1 - jaw) + (oval_depth + 1.0) * jaw

    # Behind the ears, which hang lower on the right of the picture, there is nothing to see; the hair tapers off to there.
    has_hair = _POLAR_CENTRE_PX[1] + directions[:, 1] * outer_radius < np.where(directions[:, 0] > 0, 127.0, 119.0)
    near = np.convolve(np.pad(has_hair.astype(float), 12, mode="wrap"), np.full(25, 1 / 25), mode="valid")
    bulge = np.sqrt(np.clip(2 * near - 1, 0, 1)) * has_hair

    rings, back = [], []
    for ring in range(_SHELL_RINGS):
        if ring < 3:
            radius = oval_radius - (2 - ring) * 2.5
            depth = depth_of(_POLAR_CENTRE_PX + directions * np.minimum(radius, oval_radius - 0.6)[:, None]) + (0.9, 0.8, 0.5)[ring]
        else:
            share = np.sin((ring - 2) / (_SHELL_RINGS - 3) * np.pi / 2)
            radius = oval_radius + (outer_radius - oval_radius) * share
            depth = edge_depth - (edge_depth - oval_depth - 0.5) * np.sqrt(1 - share**2)
        place = _POLAR_CENTRE_PX + directions * radius[:, None]
        rings.append(np.column_stack([place, depth]))
        if ring >= 3:
            back.append(np.column_stack([place, edge_depth + (edge_depth - depth) * bulge + 0.02]))
    shell = np.concatenate(rings)
    behind = np.concatenate(back)
    back_triangles = grid_triangles(_SHELL_RINGS - 3, _ANGLES, closed=True)
    back_triangles = back_triangles[np.tile(bulge > 0, _SHELL_RINGS - 3)[back_triangles].all(axis=1)]
    return HeadShell(
        front=shell,
        front_triangles=grid_triangles(_SHELL_RINGS, _ANGLES, closed=True),
        follows=_follows(points, angles, rings, jaw),
        back=behind,
        back_triangles=back_triangles,
    )


def _follows(points: FloatArray, angles: FloatArray, rings: list[FloatArray], jaw: FloatArray) -> csr_matrix:
    """Each shell vertex follows the two oval vertices nearest in angle; hair less, the further out it is."""
    away = points[_OVAL, :2] - _POLAR_CENTRE_PX
    oval_angle = np.arctan2(away[:, 1], away[:, 0])
    order = np.argsort(oval_angle)
    sorted_angle = np.concatenate([oval_angle[order], [oval_angle[order[0]] + 2 * np.pi]])
    wrapped = np.where(angles < sorted_angle[0], angles + 2 * np.pi, angles)
    slot = np.clip(np.searchsorted(sorted_angle, wrapped, side="right") - 1, 0, len(order) - 1)
    share = (wrapped - sorted_angle[slot]) / (sorted_angle[slot + 1] - sorted_angle[slot])
    first, second = _OVAL[order[slot]], _OVAL[order[(slot + 1) % len(order)]]
    row, column, value = [], [], []
    for ring in range(len(rings)):
        fade = 1.0 if ring < 3 else 1 - (ring - 2) / (len(rings) - 3)
        fall = np.maximum(jaw, fade)
        vertex = ring * len(angles) + np.arange(len(angles))
        row += [vertex, vertex]
        column += [first, second]
        value += [(1 - share) * fall, share * fall]
    shape = (len(rings) * len(angles), len(points))
    return coo_matrix((np.concatenate(value), (np.concatenate(row), np.concatenate(column))), shape=shape).tocsr()

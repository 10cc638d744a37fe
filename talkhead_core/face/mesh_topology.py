"""Named vertex sets and triangles of MediaPipe's face mesh (468 vertices; 478 with the irises).

Left and right are the *person's*: the person's left eye is on the image's right for a frontal, unmirrored face.
The connection lists come from the installed MediaPipe; its file of constants is read without importing the package.
"""

from __future__ import annotations

import importlib.util
from collections import defaultdict
from functools import lru_cache
from pathlib import Path
from types import ModuleType

import numpy as np

from talkhead_core.errors import NotAvailableError

__all__ = [
    "CHEEKS",
    "EYE_TRIANGLES",
    "FACE_OVAL",
    "FOREHEAD",
    "INNER_LIP_LOWER",
    "INNER_LIP_UPPER",
    "IRIS_LEFT",
    "IRIS_RIGHT",
    "JAW",
    "LEFT_BROW",
    "LEFT_EYE",
    "LEFT_EYE_LIDS",
    "LIPS",
    "LIPS_68",
    "LIPS_INNER",
    "LIPS_OUTER",
    "LIP_PAIRS",
    "MESH_POINTS",
    "MOUTH_CORNERS",
    "MOUTH_HOLE_TRIANGLES",
    "NOSE",
    "OUTER_EYE_CORNERS",
    "REFINED_POINTS",
    "RIGHT_BROW",
    "RIGHT_EYE",
    "RIGHT_EYE_LIDS",
    "RIGID",
    "SYMMETRIC_PAIRS",
    "closed_triangles",
    "surface_triangles",
]

MESH_POINTS = 468
REFINED_POINTS = 478

FACE_OVAL = (
    10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377,
    152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109,
)  # fmt: skip
"""The face's outline, a closed loop from the top of the forehead over the person's left."""

LIPS_OUTER = (61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291, 375, 321, 405, 314, 17, 84, 181, 91, 146)
"""Outer lip contour, a closed loop from the person's right corner over the upper lip."""
LIPS_INNER = (78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308, 324, 318, 402, 317, 14, 87, 178, 88, 95)
"""Inner lip contour, a closed loop from the person's right corner over the upper lip."""
LIPS = LIPS_OUTER + LIPS_INNER
"""The 40 lip points."""
LIPS_68 = (61, 39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181, 78, 82, 13, 312, 308, 317, 14, 87)
"""Nearest mesh vertices of points 48 to 67 of the 68-point annotation (iBUG 300-W), in its order."""
LIP_PAIRS = ((82, 87), (13, 14), (312, 317))
"""(upper, lower) vertices across the inner lips: the 68-point pairs 61-67, 62-66, 63-65."""
INNER_LIP_UPPER, INNER_LIP_LOWER = 13, 14
MOUTH_CORNERS = (78, 308)
"""Inner mouth corners, (person's right, person's left)."""

RIGHT_EYE = (33, 246, 161, 160, 159, 158, 157, 173, 133, 155, 154, 153, 145, 144, 163, 7)
"""The person's right eye, a closed loop from the outer corner over the upper lid."""
LEFT_EYE = (263, 466, 388, 387, 386, 385, 384, 398, 362, 382, 381, 380, 374, 373, 390, 249)
"""The person's left eye, a closed loop from the outer corner over the upper lid."""
RIGHT_EYE_LIDS = ((160, 144), (159, 145), (158, 153))
"""(upper, lower) lid vertices of the right eye."""
LEFT_EYE_LIDS = ((387, 373), (386, 374), (385, 380))
"""(upper, lower) lid vertices of the left eye."""
OUTER_EYE_CORNERS = (33, 263)
RIGHT_BROW = (70, 63, 105, 66, 107, 46, 53, 52, 65, 55)
LEFT_BROW = (300, 293, 334, 296, 336, 276, 283, 282, 295, 285)
IRIS_RIGHT = (468, 469, 470, 471, 472)
"""Right iris of the refined mesh: the centre, then four points of the rim."""
IRIS_LEFT = (473, 474, 475, 476, 477)

NOSE = (168, 6, 197, 195, 5, 4, 1, 19, 94, 2, 98, 97, 326, 327, 129, 358, 64, 294, 48, 278, 122, 351, 196, 419, 3, 248)
FOREHEAD = (10, 151, 9, 8, 67, 109, 338, 297, 103, 332, 54, 284, 104, 69, 108, 337, 299, 333, 68, 298)
CHEEKS = (116, 345, 117, 346, 118, 347, 123, 352, 50, 280, 101, 330, 36, 266, 205, 425)
JAW = (
    152, 148, 176, 149, 150, 136, 172, 58, 132, 377, 400, 378, 379, 365, 397, 288, 361,
    175, 171, 140, 170, 169, 135, 138, 396, 369, 395, 394, 364, 367, 199, 208, 428, 200, 18, 83, 313, 201, 421,
    32, 262, 211, 431, 210, 430, 214, 434, 192, 416, 215, 435, 212, 432, 202, 422, 204, 424, 194, 418, 182, 406, 106, 335,
)  # fmt: skip
"""Chin and jaw below the lips: what moves with the mandible."""

RIGID = (
    33, 133, 362, 263, 168, 6, 197, 195, 5, 4, 1, 2, 98, 327, 122, 351, 193, 417, 196, 419,
    10, 151, 9, 8, 67, 297, 109, 338, 103, 332, 54, 284, 21, 251, 162, 389, 127, 356, 234, 454,
    116, 345, 117, 346, 123, 352, 111, 340,
)  # fmt: skip
"""48 vertices that speech and expression move least: the pose is fitted to these."""

SYMMETRIC_PAIRS = (
    (33, 263), (133, 362), (98, 327), (122, 351), (193, 417), (196, 419), (67, 297), (109, 338), (103, 332), (54, 284),
    (21, 251), (162, 389), (127, 356), (234, 454), (116, 345), (117, 346), (123, 352), (111, 340), (61, 291),
)  # fmt: skip
"""(person's right, person's left) mirror vertices."""


def _fan(loop: tuple[int, ...]) -> tuple[tuple[int, int, int], ...]:
    """Triangles that close a loop as a strip between its two halves, counter-clockwise seen from the front."""
    upper, lower = [*loop[: len(loop) // 2 + 1]], [loop[0], *reversed(loop[len(loop) // 2 :])]
    triangles = []
    for i in range(len(upper) - 1):
        a, b, c, d = upper[i], upper[i + 1], lower[i], lower[i + 1]
        triangles += [(a, c, d), (a, d, b)]
    return tuple(t for t in triangles if len(set(t)) == 3)


MOUTH_HOLE_TRIANGLES = _fan(LIPS_INNER)
"""18 triangles between the inner lips."""
EYE_TRIANGLES = _fan(RIGHT_EYE) + tuple((a, c, b) for a, b, c in _fan(LEFT_EYE))
"""28 triangles between the lids of both eyes."""


@lru_cache(maxsize=1)
def surface_triangles() -> np.ndarray:
    """The 852 triangles of the skin ``[852, 3]`` int32, counter-clockwise seen from the front; mouth and eyes are holes.

    MediaPipe gives edges; a triangle is three vertices joined pairwise, less those that enclose other triangles
    (they would give an edge more than two faces).

    Raises:
        NotAvailableError: MediaPipe is not installed.
    """
    neighbours: dict[int, set[int]] = defaultdict(set)
    for a, b in _connections().FACEMESH_TESSELATION:
        neighbours[a].add(b)
        neighbours[b].add(a)
    cliques = sorted({tuple(sorted((a, b, c))) for a in neighbours for b in neighbours[a] for c in neighbours[a] & neighbours[b]})
    while True:
        faces: dict[tuple[int, int], list[tuple[int, ...]]] = defaultdict(list)
        for triangle in cliques:
            for edge in _edges(triangle):
                faces[tuple(sorted(edge))].append(triangle)  # type: ignore[index]
        crowded = {t for t in cliques if all(len(faces[tuple(sorted(e))]) > 2 for e in _edges(t))}  # type: ignore[index]
        if not crowded:
            break
        cliques = [t for t in cliques if t not in crowded]
    return np.array(_oriented(cliques), np.int32)


@lru_cache(maxsize=1)
def closed_triangles() -> np.ndarray:
    """The skin with the mouth and the eyes closed over ``[898, 3]`` int32: what a depth map of the face needs."""
    return np.concatenate([surface_triangles(), np.array(MOUTH_HOLE_TRIANGLES + EYE_TRIANGLES, np.int32)])


def _edges(triangle: tuple[int, ...]) -> tuple[tuple[int, int], ...]:
    a, b, c = triangle
    return (a, b), (b, c), (c, a)


def _oriented(triangles: list[tuple[int, ...]]) -> list[tuple[int, ...]]:
    """The same winding for all, spread from the nose tip, whose triangle (1, 2-side, ...) is known."""
    by_edge: dict[frozenset[int], list[int]] = defaultdict(list)
    for index, triangle in enumerate(triangles):
        for edge in _edges(triangle):
            by_edge[frozenset(edge)].append(index)
    result: dict[int, tuple[int, ...]] = {}
    seed = next(i for i, t in enumerate(triangles) if set(t) == {4, 1, 44} or set(t) == {1, 4, 45})
    # 44 and 45 lie on the person's right of the ridge 4-1 (image left), 4 above 1
    result[seed] = (4, next(v for v in triangles[seed] if v not in (4, 1)), 1)
    queue = [seed]
    while queue:
        index = queue.pop()
        for a, b in _edges(result[index]):
            for other in by_edge[frozenset((a, b))]:
                if other not in result:
                    apex = next(v for v in triangles[other] if v not in (a, b))
                    result[other] = (b, a, apex)
                    queue.append(other)
    return [result[i] for i in range(len(triangles))]


def _connections() -> ModuleType:
    package = importlib.util.find_spec("mediapipe")
    if package is None or not package.submodule_search_locations:
        raise NotAvailableError("the face mesh's triangles need the package mediapipe; run 'pip install mediapipe==0.10.21'")
    path = Path(package.submodule_search_locations[0]) / "python" / "solutions" / "face_mesh_connections.py"
    spec = importlib.util.spec_from_file_location("_face_mesh_connections", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module

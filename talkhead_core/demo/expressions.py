"""How the vertices of the face mesh move: a neutral mouth, and one displacement field per way of moving.

The photograph smiles. Its mesh is first brought to a neutral face with closed lips; expressions are displacements from
there, in centimetres of the head frame, and add up linearly. Each is prescribed where its anatomy is known (lips, jaw,
lids, brows), zero far away, and as smooth as possible (biharmonic on the mesh) in between.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_matrix, diags
from scipy.sparse.linalg import splu

from talkhead_core.types import FloatArray

__all__ = ["LEFT_EYE_CORNERS", "LOWER_LIP", "RIGHT_EYE_CORNERS", "UPPER_LIP", "Expressions", "build_expressions", "jaw_rotation_deg"]

# Rings of the lips from the outer edge to the inner one, each from the image's left corner to its right one.
UPPER_LIP = np.array(
    [
        [61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291],
        [76, 184, 74, 73, 72, 11, 302, 303, 304, 408, 306],
        [62, 183, 42, 41, 38, 12, 268, 271, 272, 407, 292],
        [78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308],
    ]
)
LOWER_LIP = np.array(
    [
        [61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291],
        [76, 77, 90, 180, 85, 16, 315, 404, 320, 307, 306],
        [62, 96, 89, 179, 86, 15, 316, 403, 319, 325, 292],
        [78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308],
    ]
)
# Upper lid edge, lower lid edge, and the two rings above the upper lid; between the corners, image left and image right eye.
RIGHT_EYE_CORNERS, LEFT_EYE_CORNERS = (33, 133), (263, 362)
_LIDS = (
    (
        [246, 161, 160, 159, 158, 157, 173],
        [7, 163, 144, 145, 153, 154, 155],
        [247, 30, 29, 27, 28, 56, 190],
        [113, 225, 224, 223, 222, 221, 189],
    ),
    (
        [466, 388, 387, 386, 385, 384, 398],
        [249, 390, 373, 374, 380, 381, 382],
        [467, 260, 259, 257, 258, 286, 414],
        [342, 445, 444, 443, 442, 441, 413],
    ),
)
_BROWS = ((70, 63, 105, 66, 107, 46, 53, 52, 65, 55), (300, 293, 334, 296, 336, 276, 283, 282, 295, 285))
_NOSE_BASE = 2
_EARS = (234, 454)
_CHIN_LINE = (32, 194, 83, 18, 313, 418, 262, 201, 200, 421, 199, 175, 208, 428, 171, 396, 140, 369, 170, 395)
_JAW_EDGE = (58, 172, 136, 150, 149, 176, 148, 152, 377, 400, 378, 379, 365, 397, 288)
_JAW_FULLY_OPEN_DEG = 11.0


@dataclass(frozen=True, kw_only=True)
class Expressions:
    """The neutral face and its movements.

    Args:
        neutral_cm: ``[468, 3]`` head frame; lips closed, eyes open.
        displacement_cm: name -> ``[468, 3]`` for an amount of 1.
        hinge_cm: ``[2]`` y and z of the axis about which the jaw turns.
    """

    neutral_cm: FloatArray
    displacement_cm: dict[str, FloatArray]
    hinge_cm: FloatArray

    def face_cm(self, amounts: dict[str, float]) -> FloatArray:
        """The face ``[468, 3]`` with these amounts of the movements."""
        face = self.neutral_cm.copy()
        for name, amount in amounts.items():
            face += amount * self.displacement_cm[name]
        return face

    def with_jaw(self, points_cm: FloatArray, amount: float) -> FloatArray:
        """Points that belong to the jaw bone ``[..., 3]``, with the jaw open by ``amount``."""
        return points_cm + _about_hinge(points_cm, self.hinge_cm, jaw_rotation_deg(amount))


def jaw_rotation_deg(amount: float) -> float:
    """How far the jaw has turned about its hinge at an amount of ``"jaw"``."""
    return _JAW_FULLY_OPEN_DEG * amount


def build_expressions(smiling_cm: FloatArray, triangles: np.ndarray) -> Expressions:
    """Expressions for a face mesh.

    Args:
        smiling_cm: ``[468, 3]`` the photograph's face in the head frame.
        triangles: ``[T, 3]`` of the mesh.
    """
    hinge_cm = smiling_cm[list(_EARS), 1:].mean(axis=0)
    smooth = _Interpolation(smiling_cm, triangles)
    lips = np.unique(np.concatenate([UPPER_LIP.ravel(), LOWER_LIP.ravel()]))
    centre = smiling_cm[[13, 14]].mean(axis=0)
    far = np.linalg.norm((smiling_cm - centre)[:, :2] * [1.0, 1.15], axis=1) > 4.6
    still = np.setdiff1d(np.flatnonzero(far | (smiling_cm[:, 1] > smiling_cm[_NOSE_BASE, 1] + 0.1)), lips)
    jaw_bone = np.array(sorted(set(_CHIN_LINE) | set(_JAW_EDGE)))
    above = np.setdiff1d(np.flatnonzero(smiling_cm[:, 1] > smiling_cm[_NOSE_BASE, 1] + 0.3), np.union1d(lips, jaw_bone))

    def with_lips(displacement: FloatArray, jaw_deg: float = 0.0) -> FloatArray:
        moved = _about_hinge(smiling_cm[jaw_bone], hinge_cm, jaw_deg)
        if jaw_deg:
            known = np.concatenate([lips, jaw_bone, above])
            return smooth.between(known, np.concatenate([displacement[lips], moved, np.zeros((len(above), 3))]))
        known = np.concatenate([lips, np.setdiff1d(still, lips)])
        return smooth.between(known, np.concatenate([displacement[lips], np.zeros((len(known) - len(lips), 3))]))

    to_neutral = with_lips(_closing(smiling_cm), -1.2)
    neutral_cm = smiling_cm + to_neutral
    fields = {name: with_lips(field) for name, field in _lip_movements(neutral_cm).items()}
    fields["jaw"] = with_lips(_jaw_on_lips(neutral_cm, hinge_cm), _JAW_FULLY_OPEN_DEG)
    for side, lids, brows in zip(("right", "left"), _LIDS, _BROWS, strict=True):
        fields[f"blink_{side}"] = _blink(neutral_cm, lids)
        fields[f"brow_{side}"] = _brow(neutral_cm, brows, smooth)
    return Expressions(neutral_cm=neutral_cm, displacement_cm=fields, hinge_cm=hinge_cm)


class _Interpolation:
    """Biharmonic interpolation of displacements over the mesh, with a pinch of harmonic for tameness."""

    def __init__(self, vertices: FloatArray, triangles: np.ndarray) -> None:
        edges = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
        edges = np.unique(np.sort(edges, axis=1), axis=0)
        weight = 1.0 / np.maximum(np.linalg.norm(vertices[edges[:, 0]] - vertices[edges[:, 1]], axis=1), 0.05)
        count = len(vertices)
        i, j = np.concatenate([edges, edges[:, ::-1]]).T
        adjacency = coo_matrix((np.tile(weight, 2), (i, j)), shape=(count, count)).tocsr()
        degree = np.asarray(adjacency.sum(axis=1)).ravel()
        laplacian = diags(degree) - adjacency
        self._energy = (laplacian.T @ diags(1.0 / degree) @ laplacian + 0.05 * laplacian).tocsc()

    def between(self, known: np.ndarray, values: FloatArray) -> FloatArray:
        """Displacements of all vertices ``[V, 3]`` from those of the vertices ``known``."""
        known, first = np.unique(known, return_index=True)
        values = values[first]
        free = np.setdiff1d(np.arange(self._energy.shape[0]), known)
        result = np.zeros((self._energy.shape[0], 3))
        result[known] = values
        right = -self._energy[free][:, known] @ values
        result[free] = splu(self._energy[free][:, free].tocsc()).solve(right)
        return result


def _about_hinge(points_cm: FloatArray, hinge_cm: FloatArray, angle_deg: float) -> FloatArray:
    """Displacements of points that turn with the jaw; a positive angle opens it."""
    y, z = points_cm[..., 1] - hinge_cm[0], points_cm[..., 2] - hinge_cm[1]
    angle = np.radians(angle_deg)
    cosine, sine = np.cos(angle), np.sin(angle)
    return np.stack([np.zeros_like(y), y * cosine - z * sine - y, z * cosine + y * sine - z], axis=-1)


def _across(face_cm: FloatArray, ring: np.ndarray) -> FloatArray:
    """Position of a ring's vertices between the corners, from -1 to 1."""
    x = face_cm[ring, 0]
    return (x - (x[0] + x[-1]) / 2) / ((x[-1] - x[0]) / 2)


def _closing(face_cm: FloatArray) -> FloatArray:
    """From the photograph's smile to lips at rest that meet along one line."""
    displacement = np.zeros_like(face_cm)
    middle = face_cm[[UPPER_LIP[0, 0], UPPER_LIP[0, -1]], 0].mean()
    upper, lower = face_cm[13, 1], face_cm[14, 1]
    across = _across(face_cm, UPPER_LIP[-1])
    seam = (face_cm[UPPER_LIP[-1]] + face_cm[LOWER_LIP[-1]]) / 2
    seam[:, 0] = middle + (seam[:, 0] - middle) * 0.83
    seam[:, 1] = upper - 0.30 * (upper - lower) - 0.07 * np.abs(across) ** 2.5 + 0.03 * np.cos(across * np.pi * 1.5) * (1 - across**2)
    seam[:, 2] += 0.42 * across**2
    for rings in (UPPER_LIP, LOWER_LIP):
        inner = face_cm[rings[-1]]
        for ring in rings:
            points = face_cm[ring]
            displacement[ring] = seam + (points - inner) * (0.83, 1.12, 1.0) - points
    return displacement


def _jaw_on_lips(face_cm: FloatArray, hinge_cm: FloatArray) -> FloatArray:
    """The lower lip goes with the jaw, the corners half as far, the upper lip stays."""
    displacement = np.zeros_like(face_cm)
    corner = 0.40
    middle = face_cm[[UPPER_LIP[0, 0], UPPER_LIP[0, -1]], 0].mean()
    for rings, is_lower in ((UPPER_LIP, False), (LOWER_LIP, True)):
        for ring in rings:
            across = np.abs(_across(face_cm, ring))
            share = corner + (1 - corner) * (1 - across**2.4) if is_lower else corner * across**3 - 0.07 * (1 - across**2)
            displacement[ring] = share[:, None] * _about_hinge(face_cm[ring], hinge_cm, _JAW_FULLY_OPEN_DEG)
            displacement[ring, 0] -= 0.07 * (face_cm[ring, 0] - middle)
    return displacement


def _lip_movements(face_cm: FloatArray) -> dict[str, FloatArray]:
    middle = face_cm[[UPPER_LIP[0, 0], UPPER_LIP[0, -1]], 0].mean()
    names = ("wide", "rounded", "upper_raised", "lower_dropped", "tucked", "pressed", "smile")
    fields = {name: np.zeros_like(face_cm) for name in names}
    for rings, side in ((UPPER_LIP, 1.0), (LOWER_LIP, -1.0)):
        for depth, ring in enumerate(rings):
            across = _across(face_cm, ring)
            arch = 1 - np.abs(across) ** 2
            # Distance from the outer edge of the lip (0) to where the lips meet (1).
            inward = depth / (len(rings) - 1)
            x = face_cm[ring, 0] - middle
            zero = np.zeros_like(x)
            thickness = face_cm[ring, 1] - face_cm[rings[-1], 1]
            fields["wide"][ring] = np.stack([0.17 * x, -0.12 * thickness, -0.16 * across**2], axis=1)
            fields["rounded"][ring] = np.stack([-0.30 * x, 0.22 * thickness - 0.11 * arch, 0.28 + 0.22 * arch], axis=1)
            fields["upper_raised"][ring] = np.stack([zero, 0.22 * arch * (side > 0), zero], axis=1)
            fields["lower_dropped"][ring] = np.stack([zero, -0.30 * arch * (side < 0), -0.05 * arch * (side < 0)], axis=1)
            tuck = arch * (side < 0)
            fields["tucked"][ring] = np.stack([zero, 0.16 * tuck * (0.6 + 0.4 * inward), -0.35 * tuck * inward], axis=1)
            fields["pressed"][ring] = np.stack([0.02 * x, -0.22 * thickness, -0.06 * inward * arch], axis=1)
            fields["smile"][ring] = np.stack([0.13 * x, 0.26 * np.abs(across) ** 2.2 - 0.08 * thickness, -0.2 * across**2], axis=1)
    return fields


def _blink(face_cm: FloatArray, lids: tuple[list[int], ...]) -> FloatArray:
    """The upper lid comes down to the lower one, which rises a little, over the eyeball's bulge."""
    displacement = np.zeros_like(face_cm)
    edge, lower, fold, above = lids
    across = np.linspace(-0.75, 0.75, len(edge))
    bulge = 0.10 * (1 - across**2)
    gap = face_cm[lower] - face_cm[edge]
    displacement[edge] = 0.90 * gap
    displacement[lower] = -0.12 * gap
    displacement[edge, 2] += bulge
    displacement[fold, 1] = 0.42 * gap[:, 1]
    displacement[fold, 2] = 0.5 * bulge
    displacement[above, 1] = 0.10 * gap[:, 1]
    return displacement


def _brow(face_cm: FloatArray, brow: tuple[int, ...], smooth: _Interpolation) -> FloatArray:
    centre = face_cm[list(brow)].mean(axis=0)
    distance = np.linalg.norm((face_cm - centre)[:, :2], axis=1)
    eye = [index for lids in _LIDS for row in lids[:3] for index in row]
    still = np.setdiff1d(np.union1d(np.flatnonzero(distance > 4.0), eye), brow)
    known = np.concatenate([np.array(brow), still])
    values = np.zeros((len(known), 3))
    values[: len(brow), 1] = 0.32
    return smooth.between(known, values)

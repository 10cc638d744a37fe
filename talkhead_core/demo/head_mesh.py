"""The demo speaker's head in three dimensions: the face mesh, the rest of the head around it, eyes, mouth and neck.

Everything is built from the photograph: a vertex is a pixel of it, taken back to the depth that the face mesh or an
ellipsoid gives it, so that in the photograph's own pose the photograph comes out again.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_matrix

from talkhead_core.demo.expressions import LEFT_EYE_CORNERS, LOWER_LIP, RIGHT_EYE_CORNERS, UPPER_LIP, Expressions, build_expressions
from talkhead_core.demo.head_shell import build_head_shell, grid_triangles
from talkhead_core.demo.photograph import WINDOW_ORIGIN_PX, WINDOW_SIZE_PX, photograph_landmarks
from talkhead_core.types import OUTER_EYE_DISTANCE_CM, Camera, FloatArray

__all__ = ["FOCAL_PER_WIDTH", "HeadMesh", "Part", "build_head_mesh", "face_triangles", "mouth_opening_cm"]

FOCAL_PER_WIDTH = 2.4
"""A portrait lens: the focal length in widths of the clip."""
_FACE_VERTICES = 468
_SYMMETRIC = ((33, 263), (133, 362), (61, 291), (234, 454), (127, 356), (105, 334), (48, 278), (172, 397))
_FOREHEAD, _CHIN = 10, 152
_OPENING_ROWS = 5


@dataclass(frozen=True, kw_only=True)
class Part:
    """A textured piece of the head.

    Args:
        vertices_cm: ``[V, 3]`` head frame, at the photograph's expression for what moves with the face.
        photo_px: ``[V, 2]`` where in the photograph each vertex's colour is.
        triangles: ``[T, 3]`` int32.
    """

    vertices_cm: FloatArray
    photo_px: FloatArray
    triangles: np.ndarray


@dataclass(frozen=True, kw_only=True)
class HeadMesh:
    """Everything that moves with the head, and the neck that joins it to the torso.

    Args:
        camera: of the photograph's window, in pixels of the photograph.
        rotation: ``[3, 3]`` head to camera, in the photograph.
        translation_cm: ``[3]`` the same.
        expressions: the face and its movements.
        smiling_cm: ``[468, 3]`` the face in the photograph.
        face: the face mesh with holes for eyes and mouth.
        shell: hair, ears and jaw edge around the face.
        shell_follows: ``[shell, 468]``, how the shell takes part in the face's movements.
        back: the far side of the hair.
        eyes: image left and image right.
        eye_gaze: per eye ``[V]``, how far a vertex's colour moves with the gaze.
        upper_teeth: teeth of the upper jaw.
        lower_teeth: teeth of the lower jaw, at rest.
        tongue: at rest.
        opening: from the inner edge of the upper lip to that of the lower one; ``photo_px`` runs over the unit square.
        neck: from behind the jaw to inside the collar.
        neck_head_share: ``[neck]`` 1 where it moves with the head, 0 where with the torso.
    """

    camera: Camera
    rotation: FloatArray
    translation_cm: FloatArray
    expressions: Expressions
    smiling_cm: FloatArray
    face: Part
    shell: Part
    shell_follows: csr_matrix
    back: Part
    eyes: tuple[Part, Part]
    eye_gaze: tuple[FloatArray, FloatArray]
    upper_teeth: Part
    lower_teeth: Part
    tongue: Part
    opening: Part
    neck: Part
    neck_head_share: FloatArray


class _Lift:
    """Takes pixels of the photograph, with MediaPipe's relative depth, to the camera and the head frame."""

    def __init__(self, landmarks: FloatArray) -> None:
        self.camera = Camera(focal_px=FOCAL_PER_WIDTH * WINDOW_SIZE_PX, width=round(WINDOW_SIZE_PX), height=round(WINDOW_SIZE_PX))
        outer = landmarks[[RIGHT_EYE_CORNERS[0], LEFT_EYE_CORNERS[0]]]
        self.px_per_cm = float(np.linalg.norm(outer[1] - outer[0])) / OUTER_EYE_DISTANCE_CM
        self.distance_cm = self.camera.focal_px / self.px_per_cm
        self.rotation, self.translation_cm = np.eye(3), np.zeros(3)
        face = self.to_head(landmarks[:_FACE_VERTICES])
        across = np.mean([face[right] - face[left] for left, right in _SYMMETRIC], axis=0)
        up = face[_FOREHEAD] - face[_CHIN]
        across /= np.linalg.norm(across)
        forward = np.cross(across, up)
        forward /= np.linalg.norm(forward)
        self.rotation = np.stack([across, np.cross(forward, across), forward], axis=1)
        self.translation_cm = face.mean(axis=0)

    def to_head(self, photo: FloatArray) -> FloatArray:
        """``[..., 3]`` pixels and MediaPipe's z in pixels to the head frame."""
        pixels = photo[..., :2] - np.array(WINDOW_ORIGIN_PX)
        z = -self.distance_cm - photo[..., 2] / self.px_per_cm
        camera_cm = self.camera.directions(pixels) * -z[..., None]
        return (camera_cm - self.translation_cm) @ self.rotation

    def part(self, photo: FloatArray, triangles: np.ndarray, colour_px: FloatArray | None = None) -> Part:
        colours = photo[..., :2] if colour_px is None else colour_px
        return Part(vertices_cm=self.to_head(photo), photo_px=colours.copy(), triangles=triangles.astype(np.int32))


def face_triangles() -> np.ndarray:
    """``[T, 3]`` triangles of MediaPipe's face mesh, open at eyes and mouth."""
    from mediapipe.python.solutions.face_mesh_connections import FACEMESH_TESSELATION

    neighbours: dict[int, set[int]] = {}
    for a, b in FACEMESH_TESSELATION:
        neighbours.setdefault(a, set()).add(b)
        neighbours.setdefault(b, set()).add(a)
    found = {
        (a, b, c)
        for a in sorted(neighbours)
        for b in sorted(neighbours[a])
        if b > a
        for c in sorted(neighbours[a] & neighbours[b])
        if c > b
    }
    triangles = np.array(sorted(found), np.int32)
    # Three vertices can be joined without being a face; such a triangle shares every edge with two faces already.
    edges = np.sort(triangles[:, [[0, 1], [1, 2], [2, 0]]], axis=-1)
    _, inverse, count = np.unique(edges.reshape(-1, 2), axis=0, return_inverse=True, return_counts=True)
    shared = count[inverse.reshape(-1)].reshape(-1, 3)
    return triangles[~(shared > 2).all(axis=1)]


def build_head_mesh() -> HeadMesh:
    """Build the head from the photograph."""
    landmarks = photograph_landmarks()
    points = landmarks[:_FACE_VERTICES]
    lift = _Lift(landmarks)
    triangles = face_triangles()
    smiling_cm = lift.to_head(points)
    face = Part(vertices_cm=smiling_cm, photo_px=_without_teeth(points), triangles=triangles)
    shell = build_head_shell(points)
    eyes, gaze = zip(*(_eye(lift, landmarks, corners) for corners in (RIGHT_EYE_CORNERS, LEFT_EYE_CORNERS)), strict=True)
    neck, share = _neck(lift)
    return HeadMesh(
        camera=lift.camera,
        rotation=lift.rotation,
        translation_cm=lift.translation_cm,
        expressions=build_expressions(smiling_cm, triangles),
        smiling_cm=smiling_cm,
        face=face,
        shell=lift.part(shell.front, shell.front_triangles),
        shell_follows=shell.follows,
        back=lift.part(shell.back, shell.back_triangles),
        eyes=(eyes[0], eyes[1]),
        eye_gaze=(gaze[0], gaze[1]),
        neck=neck,
        neck_head_share=share,
        **_mouth_parts(lift, points),
    )


def _without_teeth(points: FloatArray) -> FloatArray:
    """Colours of the innermost lip ring come from a little further out, where there is lip and no tooth."""
    colours = points[:, :2].copy()
    for rings in (UPPER_LIP, LOWER_LIP):
        colours[rings[3]] = points[rings[3], :2] + 0.3 * (points[rings[2], :2] - points[rings[3], :2])
    return colours


def _eye(lift: _Lift, landmarks: FloatArray, corners: tuple[int, int]) -> tuple[Part, FloatArray]:
    """A slightly bulging patch just behind the lids, and how far its colours follow the gaze."""
    a, b = sorted((landmarks[corners[0]], landmarks[corners[1]]), key=lambda point: point[0])
    centre, half = (a + b) / 2, float(np.linalg.norm((b - a)[:2])) / 2
    along = (b - a)[:2] / (2 * half)
    s, t = np.meshgrid(np.linspace(-1.25, 1.25, 17), np.linspace(-0.75, 0.75, 11))
    place = centre[:2] + half * (s[..., None] * along + t[..., None] * np.array([-along[1], along[0]]))
    depth = centre[2] + s * (b - a)[2] / 2 - 2.2 * np.clip(1 - s**2 - t**2, 0, 1) + 1.6
    photo = np.concatenate([place, depth[..., None]], axis=-1).reshape(-1, 3)
    gaze = np.clip(1.15 - s**2 * 1.15, 0, 1) * np.clip(1 - (t / 0.75) ** 4, 0, 1)
    return lift.part(photo, grid_triangles(*s.shape, closed=False)), np.asarray(gaze.ravel(), float)


def _grid(x: tuple[float, float], y: tuple[float, float], depth: float, bend: float, columns: int = 13, rows: int = 5) -> FloatArray:
    """A patch of the photograph's plane, bent backwards to both sides as an arch of teeth is."""
    u, v = np.meshgrid(np.linspace(*x, columns), np.linspace(*y, rows))
    middle, half = (x[0] + x[1]) / 2, (x[1] - x[0]) / 2
    return np.stack([u, v, depth + bend * ((u - middle) / half) ** 2], axis=-1).reshape(-1, 3)


def _mouth_parts(lift: _Lift, points: FloatArray) -> dict[str, Part]:
    left, right = points[78], points[308]
    upper, lower = points[13], points[14]
    x = (left[0] - 1.0, right[0] + 1.0)
    inside = float(upper[2] + lower[2]) / 2
    grid = grid_triangles(5, 13, closed=False)
    unit = np.stack(np.meshgrid(np.linspace(0, 1, 11), np.linspace(0, 1, _OPENING_ROWS)), axis=-1).reshape(-1, 2)
    # Upper teeth are where the photograph has them; the lower ones are their mirror image, just behind.
    teeth = _grid(x, (upper[1] - 3.0, lower[1] + 1.5), inside + 2.5, 9.0)
    mirrored = _grid((left[0] + 4.0, right[0] - 4.0), (lower[1] - 2.2, lower[1] + 5.0), inside + 4.5, 9.0)
    mirrored_colours = _grid((left[0] + 1.0, right[0] - 1.0), (lower[1] + 0.2, upper[1] - 3.0), 0.0, 0.0)[:, :2]
    tongue = _grid((left[0] + 9.0, right[0] - 9.0), (lower[1] + 1.0, lower[1] + 9.0), inside + 7.0, 4.0)
    tongue_colours = _grid((0.0, 1.0), (0.0, 1.0), 0.0, 0.0)[:, :2]
    return {
        "upper_teeth": lift.part(teeth, grid),
        "lower_teeth": lift.part(mirrored, grid, mirrored_colours),
        "tongue": lift.part(tongue, grid, tongue_colours),
        "opening": Part(
            vertices_cm=mouth_opening_cm(lift.to_head(points)), photo_px=unit, triangles=grid_triangles(_OPENING_ROWS, 11, closed=False)
        ),
    }


def mouth_opening_cm(face_cm: FloatArray) -> FloatArray:
    """Vertices of ``HeadMesh.opening`` for a face ``[468, 3]``: a little behind the inner edges of the lips."""
    share = np.linspace(0, 1, _OPENING_ROWS)[:, None, None]
    rows = face_cm[UPPER_LIP[-1]] * (1 - share) + face_cm[LOWER_LIP[-1]] * share
    return np.asarray(rows - (0.0, 0.0, 0.12), float).reshape(-1, 3)


def _neck(lift: _Lift) -> tuple[Part, FloatArray]:
    u, v = np.meshgrid(np.linspace(176.0, 266.0, 19), np.linspace(118.0, 212.0, 17))
    # Further back than the chin gets with the jaw wide open.
    depth = 30.0 + 14.0 * np.clip(np.abs(u - 221.0) / 36.0, 0, 1.2) ** 2
    photo = np.stack([u, v, depth], axis=-1).reshape(-1, 3)
    share = np.asarray(np.clip((200.0 - v) / 38.0, 0, 1), float)
    smooth = share * share * (3 - 2 * share)
    return lift.part(photo, grid_triangles(*u.shape, closed=False)), np.asarray(smooth.ravel(), float)

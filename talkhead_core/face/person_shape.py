"""The person's own neutral shape from the landmarks' 3D points: no model file is needed."""

from __future__ import annotations

import numpy as np

from talkhead_core.face.mesh_topology import MESH_POINTS, OUTER_EYE_CORNERS, RIGID, SYMMETRIC_PAIRS
from talkhead_core.types import OUTER_EYE_DISTANCE_CM, Camera

__all__ = ["NASION_DEPTH_CM", "frontal_shape", "frontal_transform", "in_image_axes", "registered", "self_shape", "unproject_at_depth"]

NASION_DEPTH_CM = 8.5
"""The head frame's origin lies this far behind the bridge of the nose (vertex 168): about the head's centre."""

_BRIDGE, _FOREHEAD_TOP, _CHIN = 168, 10, 152


def in_image_axes(points_px: np.ndarray) -> np.ndarray:
    """Landmarks in pixels (y down, z away) to head-like axes (y up, z towards the camera), still in pixels."""
    return points_px[..., :MESH_POINTS, :] * np.array([1.0, -1.0, -1.0])


def self_shape(points_px: np.ndarray, *, iterations: int = 3, most_frames: int = 400) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Procrustes median of a clip's 3D landmarks.

    Args:
        points_px: ``[N, >=468, 3]`` of frames with a face; pixels.
        iterations: rounds of alignment.
        most_frames: frames that form the shape, spread evenly.

    Returns:
        ``shape_cm [468, 3]`` in the head frame; for every frame the rotation ``[N, 3, 3]`` and the scale ``[N]`` in
        pixels a cm of the weak-perspective fit.
    """
    points = in_image_axes(points_px.astype(np.float64))
    rigid = list(RIGID)
    chosen = points[np.unique(np.linspace(0, len(points) - 1, most_frames).astype(int))]
    shape = frontal_shape(chosen[len(chosen) // 2])
    for _ in range(iterations):
        scale, rotation, shift = _similarities(shape[rigid], chosen[:, rigid])
        unposed = np.einsum("nji,npj->npi", rotation, chosen - shift[:, None]) / scale[:, None, None]
        shape = frontal_shape(np.median(unposed, axis=0))
    scale, rotation, _ = _similarities(shape[rigid], points[:, rigid])
    return shape, rotation, scale


def frontal_shape(shape: np.ndarray) -> np.ndarray:
    """``shape [468, 3]`` turned, moved and scaled into the head frame that it defines; see :func:`frontal_transform`."""
    axes, scale, centre = frontal_transform(shape)
    return scale * (shape - centre) @ axes.T


def frontal_transform(shape: np.ndarray) -> tuple[np.ndarray, float, np.ndarray]:
    """Axes ``A [3, 3]``, scale ``s`` and centre ``c [3]`` that take ``shape`` to the head frame: ``s (shape - c) @ A.T``.

    x is the mean direction from the person's right vertices to their mirror vertices, y the way from the chin to the
    top of the forehead (made perpendicular to x); the origin lies ``NASION_DEPTH_CM`` behind the bridge of the nose
    at the height and middle of the outer eye corners, which are 9.0 cm apart.
    """
    right, left = np.array(SYMMETRIC_PAIRS).T
    x = (shape[left] - shape[right]).sum(0)
    x /= np.linalg.norm(x)
    y = shape[_FOREHEAD_TOP] - shape[_CHIN]
    y = y - (y @ x) * x
    y /= np.linalg.norm(y)
    z = np.cross(x, y)
    a, b = OUTER_EYE_CORNERS
    scale = float(OUTER_EYE_DISTANCE_CM / np.linalg.norm(shape[a] - shape[b]))
    eyes = (shape[a] + shape[b]) / 2
    return np.stack([x, y, z]), scale, eyes + ((shape[_BRIDGE] - eyes) @ z - NASION_DEPTH_CM / scale) * z


def registered(shape: np.ndarray, source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """``shape`` under the affine map that takes ``source [P, 3]`` to ``target [P, 3]`` in least squares."""
    affine, *_ = np.linalg.lstsq(np.hstack([source, np.ones((len(source), 1))]), target, rcond=None)
    return np.hstack([shape, np.ones((len(shape), 1))]) @ affine


def _similarities(shape: np.ndarray, points: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scale ``[N]``, rotation ``[N, 3, 3]`` and shift ``[N, 3]`` from ``shape [P, 3]`` to each of ``points [N, P, 3]`` (Umeyama 1991)."""
    centre = shape.mean(0)
    means = points.mean(1)
    u, singular, vt = np.linalg.svd(np.einsum("npi,pj->nij", points - means[:, None], shape - centre))
    flip = np.ones_like(singular)
    flip[:, 2] = np.sign(np.linalg.det(u @ vt))
    rotation = (u * flip[:, None, :]) @ vt
    scale = (singular * flip).sum(1) / ((shape - centre) ** 2).sum()
    return scale, rotation, means - scale[:, None] * (rotation @ centre)


def unproject_at_depth(
    pixels: np.ndarray, shape_cm: np.ndarray, rotation: np.ndarray, translation_cm: np.ndarray, camera: Camera
) -> np.ndarray:
    """Each landmark taken back at the depth of the posed shape, in the head frame: exact for deviations in the image plane.

    Args:
        pixels: ``[N, P, 2]``.
        shape_cm: ``[P, 3]``.
        rotation: ``[N, 3, 3]``, head to camera.
        translation_cm: ``[N, 3]``.
        camera: the clip's.

    Returns:
        ``[N, P, 3]`` cm.
    """
    depth = -(np.einsum("nj,pj->np", rotation[:, 2], shape_cm) + translation_cm[:, 2:])
    in_camera = camera.directions(pixels) * depth[..., None]
    return np.einsum("nji,npj->npi", rotation, in_camera - translation_cm[:, None])

"""Rotations: exponential and logarithm maps, interpolation, angles."""

from __future__ import annotations

import numpy as np

__all__ = ["exp_so3", "log_so3", "rotation_error_deg", "skew", "slerp", "yaw_pitch_roll_deg"]


def skew(vectors: np.ndarray) -> np.ndarray:
    """Cross-product matrices ``[..., 3, 3]`` of vectors ``[..., 3]``."""
    x, y, z = np.moveaxis(np.asarray(vectors), -1, 0)
    zero = np.zeros_like(x)
    return np.stack([zero, -z, y, z, zero, -x, -y, x, zero], axis=-1).reshape(*x.shape, 3, 3)


def exp_so3(vectors: np.ndarray) -> np.ndarray:
    """Rotation vectors ``[..., 3]`` in radians to matrices ``[..., 3, 3]`` (Rodrigues)."""
    vectors = np.asarray(vectors, np.float64)
    angle = np.linalg.norm(vectors, axis=-1)[..., None, None]
    small = angle < 1e-8
    safe = np.where(small, 1.0, angle)
    cross = skew(vectors)
    first = np.where(small, 1.0, np.sin(safe) / safe)
    second = np.where(small, 0.5, (1.0 - np.cos(safe)) / safe**2)
    return np.eye(3) + first * cross + second * (cross @ cross)


def log_so3(matrices: np.ndarray) -> np.ndarray:
    """Rotation matrices ``[..., 3, 3]`` to rotation vectors ``[..., 3]`` in radians; angles below pi."""
    matrices = np.asarray(matrices, np.float64)
    axis = np.stack(
        [
            matrices[..., 2, 1] - matrices[..., 1, 2],
            matrices[..., 0, 2] - matrices[..., 2, 0],
            matrices[..., 1, 0] - matrices[..., 0, 1],
        ],
        axis=-1,
    )
    sine = np.linalg.norm(axis, axis=-1) / 2
    cosine = (np.trace(matrices, axis1=-2, axis2=-1) - 1) / 2
    angle = np.arctan2(sine, cosine)
    scale = np.where(sine < 1e-8, 0.5, angle / np.where(sine < 1e-8, 1.0, 2 * sine))
    return axis * scale[..., None]


def slerp(first: np.ndarray, second: np.ndarray, fraction: np.ndarray) -> np.ndarray:
    """Rotations ``[F, 3, 3]`` on the shortest way from ``first`` (fraction 0) to ``second`` (fraction 1), ``fraction [F]``."""
    return exp_so3(np.asarray(fraction)[:, None] * log_so3(second @ first.T)) @ first


def rotation_error_deg(found: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Angles ``[N]`` between rotations ``[N, 3, 3]`` of a head, after the one constant offset of its frame that fits best."""
    u, _, vt = np.linalg.svd(np.einsum("nji,njk->ik", truth, found))
    offset = u @ np.diag([1, 1, np.linalg.det(u @ vt)]) @ vt
    return np.asarray(np.degrees(np.linalg.norm(log_so3(found @ (truth @ offset).swapaxes(-1, -2)), axis=-1)))


def yaw_pitch_roll_deg(rotation: np.ndarray) -> np.ndarray:
    """Angles ``[..., 3]`` in degrees of head-to-camera rotations ``[..., 3, 3] = R_y(yaw) R_x(pitch) R_z(roll)``.

    Yaw > 0 turns the face to the image's right, pitch > 0 lowers it, roll > 0 tilts its top to the image's left.
    """
    rotation = np.asarray(rotation, np.float64)
    yaw = np.arctan2(rotation[..., 0, 2], rotation[..., 2, 2])
    pitch = np.arcsin(np.clip(-rotation[..., 1, 2], -1.0, 1.0))
    roll = np.arctan2(rotation[..., 1, 0], rotation[..., 1, 1])
    return np.degrees(np.stack([yaw, pitch, roll], axis=-1))

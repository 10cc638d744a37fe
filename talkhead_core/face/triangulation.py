"""Where on the head a landmark sits, from its pixels in many frames of known pose."""

from __future__ import annotations

import numpy as np

from talkhead_core.types import Camera

__all__ = ["triangulate"]


def triangulate(
    pixels: np.ndarray,
    rotation: np.ndarray,
    translation_cm: np.ndarray,
    camera: Camera,
    prior_cm: np.ndarray,
    *,
    weight: np.ndarray,
    landmark_px: float,
    prior_sigma_cm: tuple[float, float, float],
    iterations: int = 4,
) -> np.ndarray:
    """Robust (soft L1) points in the head frame, each held near its prior.

    Args:
        pixels: ``[N, P, 2]``.
        rotation: ``[N, 3, 3]``, head to camera.
        translation_cm: ``[N, 3]``.
        camera: the clip's.
        prior_cm: ``[P, 3]``.
        weight: ``[N, P]``, 0 where a landmark is not to be used.
        landmark_px: standard deviation of a landmark.
        prior_sigma_cm: standard deviation of a point about its prior, counted once per used frame.
        iterations: Gauss-Newton steps.

    Returns:
        ``[P, 3]`` cm.
    """
    points = prior_cm.astype(np.float64)
    target = np.stack([pixels[..., 0] - camera.width / 2, camera.height / 2 - pixels[..., 1]], axis=-1)
    used = (weight > 0).sum(0).clip(1)[:, None]
    precision = used / np.square(prior_sigma_cm)
    for _ in range(iterations):
        normal = np.zeros((len(points), 3, 3))
        normal[:, range(3), range(3)] = precision
        gradient = precision * (points - prior_cm)
        for first in range(0, len(pixels), 256):  # bounds the memory
            part = slice(first, first + 256)
            posed = np.einsum("nij,pj->npi", rotation[part], points) + translation_cm[part, None]
            inverse = camera.focal_px / -posed[..., 2]
            projected = posed[..., :2] * inverse[..., None]
            residual = np.nan_to_num(projected - target[part])
            robust = weight[part] / landmark_px**2 / np.sqrt(1 + (residual**2).sum(-1) / landmark_px**2)
            slope = projected / -posed[..., 2:]
            jacobian = (
                inverse[..., None, None] * rotation[part, None, :2, :] + slope[..., None] * rotation[part, None, 2:, :]
            )  # [n, P, 2, 3]
            weighted = jacobian * robust[..., None, None]
            normal += np.einsum("npai,npaj->pij", weighted, jacobian)
            gradient += np.einsum("npai,npa->pi", weighted, residual)
        points = points - np.linalg.solve(normal, gradient[..., None])[..., 0]
    return points

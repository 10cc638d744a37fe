"""Where landmarks sit on the head, and how they slide over the skin as it turns.

A face-mesh network draws its landmarks towards a frontal face: on a turned head they do not stay on the same spot of skin, and
poses fitted to them turn too little. The slide is close to linear in the rotation, so it is estimated with the shape once
optical flow has given poses that do not depend on it::

    point_k(frame) = shape_k + slide_k @ phi(frame)        phi = log(mean_rotation^T R)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from talkhead_core.face.bundle_adjustment import Bundle, pose_jacobian, projection, soft_l1_weight
from talkhead_core.face.rotations import log_so3

__all__ = ["LandmarkModel", "LandmarkPriors", "fit_landmark_model"]

_CHUNK_FRAMES = 64


@dataclass(frozen=True)
class LandmarkModel:
    """A shape whose points slide with the pose.

    Args:
        shape: ``[P, 3]`` cm, head frame, at the clip's mean rotation.
        slide: ``[P, 3, 3]`` cm a radian.
        mean_rotation: ``[3, 3]``.
    """

    shape: np.ndarray
    slide: np.ndarray
    mean_rotation: np.ndarray

    def points(self, rotation: np.ndarray) -> np.ndarray:
        """``[N, P, 3]`` in the head frame for rotations ``[N, 3, 3]``."""
        return self.shape + np.einsum("pij,nj->npi", self.slide, self.turn(rotation))

    def turn(self, rotation: np.ndarray) -> np.ndarray:
        """``phi``: rotation vectors ``[N, 3]`` from the mean rotation, in the head frame."""
        return log_so3(self.mean_rotation.T @ rotation)


@dataclass(frozen=True, kw_only=True)
class LandmarkPriors:
    """Standard deviations about the prior, counted once per used frame.

    Args:
        landmark_px: of a landmark.
        shape_cm: for x, y, z. The depth must be held: it and the slide explain the same motion.
        slide_cm: cm a radian.
    """

    landmark_px: float
    shape_cm: tuple[float, float, float] = (1.0, 1.0, 0.3)
    slide_cm: float = 10.0


def fit_landmark_model(
    poses: Bundle, pixels: np.ndarray, weight: np.ndarray, prior_shape: np.ndarray, priors: LandmarkPriors, *, iterations: int = 4
) -> LandmarkModel:
    """Robust (soft L1) shape and slide for known poses.

    Args:
        poses: ``N`` frames; its shape is not used.
        pixels: ``[N, P, 2]`` from the principal point, y up.
        weight: ``[N, P]``, 0 where a landmark is not to be used.
        prior_shape: ``[P, 3]``.
        priors: standard deviations.
        iterations: Gauss-Newton steps.
    """
    u, _, vt = np.linalg.svd(poses.rotation.mean(0))
    count = len(prior_shape)
    model = LandmarkModel(prior_shape, np.zeros((count, 3, 3)), u @ vt)
    used = weight.sum(0)[:, None].clip(1.0)
    precision = used * np.concatenate([1 / np.square(priors.shape_cm), np.full(9, 1 / priors.slide_cm**2)])  # [P, 12]
    for _ in range(iterations):
        offset = np.concatenate([model.shape - prior_shape, model.slide.swapaxes(-1, -2).reshape(count, 9)], axis=1)
        normal = precision[..., None] * np.eye(12)
        gradient = precision * offset
        for first in range(0, len(pixels), _CHUNK_FRAMES):
            rows = slice(first, first + _CHUNK_FRAMES)
            part = _normal_equations(model, poses.part(rows), pixels[rows], weight[rows], priors.landmark_px)
            normal, gradient = normal + part[0], gradient + part[1]
        step = -np.linalg.solve(normal, gradient[..., None])[..., 0]
        slide = model.slide + step[:, 3:].reshape(count, 3, 3).swapaxes(-1, -2)
        model = LandmarkModel(model.shape + step[:, :3], slide, model.mean_rotation)
    return model


def _normal_equations(
    model: LandmarkModel, poses: Bundle, pixels: np.ndarray, weight: np.ndarray, landmark_px: float
) -> tuple[np.ndarray, np.ndarray]:
    """``[P, 12, 12]`` and ``[P, 12]``: shape, then the slide column by column."""
    posed = Bundle(poses.rotation, poses.translation, model.points(poses.rotation), poses.log_focal)
    points, projected = projection(posed)
    residual = np.where(weight[..., None] > 0, projected - pixels, 0.0)
    _, by_head = pose_jacobian(posed, points)
    terms = np.concatenate([np.ones((len(pixels), 1)), model.turn(poses.rotation)], axis=1)  # [n, 4]
    frames, count = weight.shape
    jacobian = (terms[:, None, None, :, None] * by_head[..., None, :]).reshape(frames, count, 2, 12)
    flat = jacobian.transpose(1, 0, 2, 3).reshape(count, 2 * frames, 12)
    robust = np.repeat((weight * soft_l1_weight(residual, landmark_px)).T, 2, axis=1)[..., None]
    weighted = (flat * robust).swapaxes(-1, -2)
    return weighted @ flat, (weighted @ residual.transpose(1, 0, 2).reshape(count, 2 * frames, 1))[..., 0]

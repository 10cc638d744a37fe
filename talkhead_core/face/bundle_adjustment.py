"""Joint fit of one focal length, one person's shape and every frame's pose to landmarks.

Levenberg-Marquardt on the normal equations, which have an arrow form::

    [ A   B ] [poses ]        A: banded (a frame meets its neighbours through the smoothing)
    [ B^T C ] [shared]        C: shape and log focal length, small and dense

so that a step costs one banded Cholesky factorisation, linear in the number of frames.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.linalg import cho_factor, cho_solve, cho_solve_banded, cholesky_banded

from talkhead_core.face.pose_smoothing import SmoothingPrior
from talkhead_core.face.rotations import exp_so3, skew
from talkhead_core.progress import Progress, silent

__all__ = ["Bundle", "BundleWeights", "Observations", "adjust", "projection"]


@dataclass(frozen=True)
class Bundle:
    """The unknowns.

    Args:
        rotation: ``[N, 3, 3]`` head to camera.
        translation: ``[N, 3]`` cm.
        shape: ``[K, 3]`` cm, head frame.
        log_focal: of the focal length in pixels.
    """

    rotation: np.ndarray
    translation: np.ndarray
    shape: np.ndarray
    log_focal: float

    def moved(self, poses: np.ndarray, shape: np.ndarray, log_focal: float) -> Bundle:
        """After a step: ``poses [N, 6]`` (rotation vector applied from the left, translation), ``shape [K, 3]``."""
        return Bundle(
            exp_so3(poses[:, :3]) @ self.rotation,
            self.translation + poses[:, 3:],
            self.shape + shape,
            self.log_focal + log_focal,
        )


@dataclass(frozen=True)
class Observations:
    """What is fitted.

    Args:
        pixels: ``[N, K, 2]`` from the principal point, x right, y *up*; NaN where unseen.
        weight: ``[N, K]``, 0 where unseen.
    """

    pixels: np.ndarray
    weight: np.ndarray


@dataclass(frozen=True, kw_only=True)
class BundleWeights:
    """Standard deviations: what one unit of residual is.

    Args:
        landmark_px: of a landmark; beyond it the loss grows linearly (soft L1).
        shape_cm: of the shape about its prior, ``[3]`` for x, y, z, counted once per observed frame.
        log_focal: of the log focal length about its prior, counted once per observed frame.
    """

    landmark_px: float
    shape_cm: tuple[float, float, float]
    log_focal: float


def projection(bundle: Bundle) -> tuple[np.ndarray, np.ndarray]:
    """Camera-frame points ``[N, K, 3]`` and their pixels from the principal point, y up ``[N, K, 2]``."""
    points = np.einsum("nij,kj->nki", bundle.rotation, bundle.shape) + bundle.translation[:, None]
    return points, np.exp(bundle.log_focal) * points[..., :2] / -points[..., 2:]


def adjust(
    start: Bundle,
    observations: Observations,
    prior: Bundle,
    weights: BundleWeights,
    smoothing: SmoothingPrior,
    *,
    iterations: int = 25,
    tolerance: float = 1e-5,
    progress: Progress = silent,
) -> Bundle:
    """Minimise landmarks (soft L1) + shape prior + focal prior + smoothing.

    Args:
        start: where to begin.
        observations: landmarks.
        prior: its shape and focal length are what the shared unknowns are pulled to.
        weights: standard deviations.
        smoothing: second differences of the poses within shots.
        iterations: most steps.
        tolerance: stop when a step lowers the cost by less than this fraction.
        progress: told after each step.
    """
    problem = _Problem(observations, prior, weights, smoothing)
    current, damping = start, 1e-4
    cost = problem.cost(current)
    for iteration in range(iterations):
        equations = problem.equations(current)
        while True:
            candidate = current.moved(*equations.step(damping))
            new_cost = problem.cost(candidate)
            if new_cost < cost or damping > 1e6:
                break
            damping *= 10
        progress(iteration + 1, iterations)
        if not new_cost < cost:
            break
        gain, current, cost, damping = (cost - new_cost) / cost, candidate, new_cost, max(damping / 10, 1e-9)
        if gain < tolerance:
            break
    return current


@dataclass
class _NormalEquations:
    poses: np.ndarray  # [bandwidth + 1, 6 N] lower banded
    cross: np.ndarray  # [6 N, G]
    shared: np.ndarray  # [G, G]
    pose_gradient: np.ndarray  # [6 N]
    shared_gradient: np.ndarray  # [G]

    def step(self, damping: float) -> tuple[np.ndarray, np.ndarray, float]:
        poses, shared = self.poses.copy(), self.shared.copy()
        poses[0] = poses[0] * (1 + damping) + 1e-9
        shared[np.diag_indices_from(shared)] *= 1 + damping
        factor = (cholesky_banded(poses, lower=True, check_finite=False), True)
        solved = cho_solve_banded(factor, np.column_stack([self.cross, self.pose_gradient]), check_finite=False)
        inverse_cross, inverse_gradient = solved[:, :-1], solved[:, -1]
        schur = shared - self.cross.T @ inverse_cross
        step_shared = cho_solve(cho_factor(schur), -(self.shared_gradient - self.cross.T @ inverse_gradient))
        step_poses = -inverse_gradient - inverse_cross @ step_shared
        return step_poses.reshape(-1, 6), step_shared[:-1].reshape(-1, 3), float(step_shared[-1])


class _Problem:
    def __init__(self, observations: Observations, prior: Bundle, weights: BundleWeights, smoothing: SmoothingPrior) -> None:
        self._pixels = np.where(observations.weight[..., None] > 0, observations.pixels, 0.0)
        self._weight = observations.weight / weights.landmark_px**2
        self._prior, self._smoothing = prior, smoothing
        frames = float((observations.weight > 0).any(1).sum())
        self._sigma_px = weights.landmark_px
        self._shape_precision = frames / np.square(weights.shape_cm)
        self._focal_precision = frames / weights.log_focal**2

    def cost(self, bundle: Bundle) -> float:
        points, projected = projection(bundle)
        if not np.isfinite(projected).all() or (points[..., 2] > -1.0).any():
            return np.inf
        squared = ((projected - self._pixels) ** 2).sum(-1) / self._sigma_px**2
        landmarks = (self._weight * self._sigma_px**2 * 2 * (np.sqrt(1 + squared) - 1)).sum()
        shape = (self._shape_precision * (bundle.shape - self._prior.shape) ** 2).sum()
        focal = self._focal_precision * (bundle.log_focal - self._prior.log_focal) ** 2
        return float(landmarks + shape + focal + self._smoothing.cost(bundle.rotation, bundle.translation))

    def equations(self, bundle: Bundle) -> _NormalEquations:
        points, projected = projection(bundle)
        residual = projected - self._pixels
        squared = (residual**2).sum(-1) / self._sigma_px**2
        weight = self._weight / np.sqrt(1 + squared)  # soft L1 as iteratively reweighted least squares
        frames, count = weight.shape
        by_point = _projection_jacobian(points, np.exp(bundle.log_focal))  # [N, K, 2, 3]
        turned = points - bundle.translation[:, None]
        by_pose = np.concatenate([-by_point @ skew(turned), by_point], axis=-1)  # [N, K, 2, 6]
        by_shape = by_point @ bundle.rotation[:, None]
        weighted_pose = by_pose * weight[..., None, None]
        flat = by_pose.reshape(frames, 2 * count, 6)
        flat_weighted = weighted_pose.reshape(frames, 2 * count, 6)
        diagonal = flat_weighted.transpose(0, 2, 1) @ flat
        gradient = (flat_weighted.transpose(0, 2, 1) @ residual.reshape(frames, 2 * count, 1))[..., 0]
        cross_shape = (weighted_pose.swapaxes(-1, -2) @ by_shape).transpose(0, 2, 1, 3).reshape(6 * frames, 3 * count)
        cross_focal = (flat_weighted.transpose(0, 2, 1) @ projected.reshape(frames, 2 * count, 1)).reshape(6 * frames, 1)
        poses = self._smoothing.banded(diagonal)
        gradient = gradient + self._smoothing.gradient(bundle.rotation, bundle.translation)
        shared, shared_gradient = self._shared(bundle, weight, by_shape, projected, residual)
        return _NormalEquations(poses, np.hstack([cross_shape, cross_focal]), shared, gradient.ravel(), shared_gradient)

    def _shared(
        self, bundle: Bundle, weight: np.ndarray, by_shape: np.ndarray, projected: np.ndarray, residual: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        count = weight.shape[1]
        weighted = by_shape * weight[..., None, None]
        blocks = np.einsum("nkai,nkaj->kij", weighted, by_shape)
        shared = np.zeros((3 * count + 1, 3 * count + 1))
        for k in range(count):
            shared[3 * k : 3 * k + 3, 3 * k : 3 * k + 3] = blocks[k] + np.diag(self._shape_precision)
        edge = np.einsum("nkai,nka->ki", weighted, projected).ravel()
        shared[:-1, -1] = shared[-1, :-1] = edge
        shared[-1, -1] = (weight[..., None] * projected**2).sum() + self._focal_precision
        gradient = np.empty(3 * count + 1)
        gradient[:-1] = (np.einsum("nkai,nka->ki", weighted, residual) + self._shape_precision * (bundle.shape - self._prior.shape)).ravel()
        gradient[-1] = (weight[..., None] * projected * residual).sum() + self._focal_precision * (bundle.log_focal - self._prior.log_focal)
        return shared, gradient


def _projection_jacobian(points: np.ndarray, focal: float) -> np.ndarray:
    """Of pixels (from the principal point, y up) by camera-frame points: ``[..., 2, 3]``."""
    inverse = focal / -points[..., 2]
    jacobian = np.zeros((*points.shape[:-1], 2, 3))
    jacobian[..., 0, 0] = jacobian[..., 1, 1] = inverse
    jacobian[..., :, 2] = points[..., :2] * (inverse / -points[..., 2])[..., None]
    return jacobian


def with_shape(bundle: Bundle, shape: np.ndarray) -> Bundle:
    """The same poses and focal length with another shape."""
    return replace(bundle, shape=shape)

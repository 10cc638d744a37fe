"""Joint fit of one focal length, one person's shape and the poses of some frames to landmarks; then of any frame's pose alone.

Levenberg-Marquardt on the normal equations, which have an arrow form: every frame's pose meets only the shared unknowns, so
the poses are eliminated frame by frame (Schur complement) and a step solves one small dense system.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from talkhead_core.face.rotations import exp_so3
from talkhead_core.progress import Progress, silent

__all__ = ["Bundle", "BundleWeights", "adjust", "fit_poses", "pose_jacobian", "projection", "soft_l1", "soft_l1_weight"]


@dataclass(frozen=True)
class Bundle:
    """The unknowns.

    Args:
        rotation: ``[N, 3, 3]`` head to camera.
        translation: ``[N, 3]`` cm.
        shape: ``[K, 3]`` cm, head frame; or ``[N, K, 3]``, a shape for every frame.
        log_focal: of the focal length in pixels.
    """

    rotation: np.ndarray
    translation: np.ndarray
    shape: np.ndarray
    log_focal: float

    def moved(self, poses: np.ndarray) -> Bundle:
        """After a step ``[N, 6]``: a rotation vector applied from the left, and a translation."""
        return replace(self, rotation=exp_so3(poses[:, :3]) @ self.rotation, translation=self.translation + poses[:, 3:])

    def part(self, rows: slice | np.ndarray) -> Bundle:
        """The bundle of some frames."""
        shape = self.shape[rows] if self.shape.ndim == 3 else self.shape
        return Bundle(self.rotation[rows], self.translation[rows], shape, self.log_focal)


@dataclass(frozen=True, kw_only=True)
class BundleWeights:
    """Standard deviations: what one unit of residual is.

    Args:
        landmark_px: of a landmark; beyond it the loss grows linearly (soft L1).
        shape_cm: of the shape about its prior, for x, y, z, counted once per frame.
        log_focal: of the log focal length about its prior, counted once per frame.
    """

    landmark_px: float
    shape_cm: tuple[float, float, float]
    log_focal: float


def projection(bundle: Bundle) -> tuple[np.ndarray, np.ndarray]:
    """Camera-frame points ``[N, K, 3]`` and their pixels from the principal point, y up ``[N, K, 2]``."""
    points = bundle.shape @ bundle.rotation.swapaxes(-1, -2) + bundle.translation[:, None]
    return points, np.exp(bundle.log_focal) * points[..., :2] / -points[..., 2:]


def soft_l1(residual: np.ndarray, sigma: float) -> np.ndarray:
    """The loss ``2 (sqrt(1 + r^2 / sigma^2) - 1)`` of residual vectors ``[..., 2]``."""
    return 2 * (np.sqrt(1 + (residual**2).sum(-1) / sigma**2) - 1)


def soft_l1_weight(residual: np.ndarray, sigma: float) -> np.ndarray:
    """The weight of the squared residual that has the loss's slope (iteratively reweighted least squares)."""
    return 1 / (sigma**2 * np.sqrt(1 + (residual**2).sum(-1) / sigma**2))


def pose_jacobian(bundle: Bundle, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Derivatives of the pixels of camera-frame ``points [N, K, 3]``.

    Returns:
        By the pose ``[N, K, 2, 6]`` (rotation vector applied from the left, translation), and by the head-frame point ``[N, K, 2, 3]``.
    """
    inverse = np.exp(bundle.log_focal) / -points[..., 2]
    turned = points - bundle.translation[:, None]
    by_pose = np.empty((*points.shape[:-1], 2, 6))
    for axis in range(2):
        slope = points[..., axis] * inverse / -points[..., 2]
        toward = np.zeros_like(points)  # of the pixel by the camera-frame point
        toward[..., axis], toward[..., 2] = inverse, slope
        by_pose[..., axis, 3:] = toward
        by_pose[..., axis, :3] = _cross(turned, toward)
    return by_pose, by_pose[..., 3:] @ bundle.rotation[:, None]


def _cross(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """``np.cross`` of ``[..., 3]`` arrays without its overhead."""
    result = np.empty_like(first)
    for i, j, k in ((0, 1, 2), (1, 2, 0), (2, 0, 1)):
        result[..., i] = first[..., j] * second[..., k] - first[..., k] * second[..., j]
    return result


def adjust(
    start: Bundle, pixels: np.ndarray, weights: BundleWeights, *, iterations: int = 20, tolerance: float = 1e-4, progress: Progress = silent
) -> Bundle:
    """Minimise landmarks (soft L1) + shape about ``start.shape`` + log focal length about ``start.log_focal``.

    Args:
        start: where to begin, and the prior.
        pixels: ``[N, K, 2]`` from the principal point, x right, y up.
        weights: standard deviations.
        iterations: most steps.
        tolerance: stop when a step lowers the cost by less than this fraction.
        progress: told after each step.
    """
    problem = _Problem(pixels, start, weights)
    current, cost, damping = start, problem.cost(start), 1e-4
    for iteration in range(iterations):
        equations = problem.equations(current)
        while True:
            candidate = equations.moved(current, damping)
            new_cost = problem.cost(candidate)
            if new_cost < cost or damping > 1e4:
                break
            damping *= 10
        progress(iteration + 1, iterations)
        if not new_cost < cost:
            break
        gain, current, cost, damping = (cost - new_cost) / cost, candidate, new_cost, max(damping / 10, 1e-9)
        if gain < tolerance:
            break
    return current


def fit_poses(start: Bundle, pixels: np.ndarray, *, landmark_px: float, iterations: int = 12) -> Bundle:
    """Every frame's pose on its own, with shape and focal length held: landmarks alone.

    Args:
        start: first poses, the shape and the focal length.
        pixels: ``[N, K, 2]`` from the principal point, y up.
        landmark_px: standard deviation of a landmark.
        iterations: Gauss-Newton steps.
    """
    current = start
    for _ in range(iterations):
        points, projected = projection(current)
        residual = projected - pixels
        by_pose, _ = pose_jacobian(current, points)
        weighted = by_pose * soft_l1_weight(residual, landmark_px)[..., None, None]
        normal = np.einsum("nkai,nkaj->nij", weighted, by_pose, optimize=True) + 1e-9 * np.eye(6)
        gradient = np.einsum("nkai,nka->ni", weighted, residual)
        step = -np.linalg.solve(normal, gradient[..., None])[..., 0]
        current = current.moved(step)
        if np.abs(step).max() < 1e-5:
            break
    return current


@dataclass
class _Equations:
    poses: np.ndarray  # [N, 6, 6]
    cross: np.ndarray  # [N, 6, G]
    shared: np.ndarray  # [G, G]
    pose_gradient: np.ndarray  # [N, 6]
    shared_gradient: np.ndarray  # [G]

    def moved(self, bundle: Bundle, damping: float) -> Bundle:
        diagonal = np.arange(6)
        poses, shared = self.poses.copy(), self.shared.copy()
        poses[:, diagonal, diagonal] *= 1 + damping
        shared[np.diag_indices_from(shared)] *= 1 + damping
        solved = np.linalg.solve(poses, np.concatenate([self.cross, self.pose_gradient[..., None]], axis=-1))
        flat = self.cross.reshape(-1, len(shared))
        schur = shared - flat.T @ solved[..., :-1].reshape(-1, len(shared))
        right = self.shared_gradient - flat.T @ solved[..., -1].ravel()
        step = -np.linalg.solve(schur, right)
        stepped = bundle.moved(-solved[..., -1] - solved[..., :-1] @ step)
        return replace(stepped, shape=bundle.shape + step[:-1].reshape(-1, 3), log_focal=bundle.log_focal + float(step[-1]))


class _Problem:
    def __init__(self, pixels: np.ndarray, prior: Bundle, weights: BundleWeights) -> None:
        self._pixels, self._prior, self._sigma = pixels, prior, weights.landmark_px
        self._shape_precision = len(pixels) / np.square(weights.shape_cm)
        self._focal_precision = len(pixels) / weights.log_focal**2

    def cost(self, bundle: Bundle) -> float:
        points, projected = projection(bundle)
        if not np.isfinite(projected).all() or (points[..., 2] > -1.0).any():
            return np.inf
        shape = (self._shape_precision * (bundle.shape - self._prior.shape) ** 2).sum()
        focal = self._focal_precision * (bundle.log_focal - self._prior.log_focal) ** 2
        return float(soft_l1(projected - self._pixels, self._sigma).sum() + shape + focal)

    def equations(self, bundle: Bundle) -> _Equations:
        points, projected = projection(bundle)
        residual = projected - self._pixels
        weight = soft_l1_weight(residual, self._sigma)
        by_pose, by_shape = pose_jacobian(bundle, points)
        frames, count = weight.shape
        weighted_pose = by_pose * weight[..., None, None]
        poses = np.einsum("nkai,nkaj->nij", weighted_pose, by_pose, optimize=True)
        pose_gradient = np.einsum("nkai,nka->ni", weighted_pose, residual)
        cross_shape = (weighted_pose.swapaxes(-1, -2) @ by_shape).transpose(0, 2, 1, 3).reshape(frames, 6, 3 * count)
        cross_focal = np.einsum("nkai,nka->ni", weighted_pose, projected)[..., None]
        weighted_shape = by_shape * weight[..., None, None]
        blocks = np.einsum("nkai,nkaj->kij", weighted_shape, by_shape, optimize=True)
        shared = np.zeros((3 * count + 1, 3 * count + 1))
        for k in range(count):
            shared[3 * k : 3 * k + 3, 3 * k : 3 * k + 3] = blocks[k] + np.diag(self._shape_precision)
        shared[:-1, -1] = shared[-1, :-1] = np.einsum("nkai,nka->ki", weighted_shape, projected).ravel()
        shared[-1, -1] = (weight[..., None] * projected**2).sum() + self._focal_precision
        shape_gradient = np.einsum("nkai,nka->ki", weighted_shape, residual)
        shape_gradient += self._shape_precision * (bundle.shape - self._prior.shape)
        focal_gradient = (weight[..., None] * projected * residual).sum()
        focal_gradient += self._focal_precision * (bundle.log_focal - self._prior.log_focal)
        cross = np.concatenate([cross_shape, cross_focal], axis=-1)
        return _Equations(poses, cross, shared, pose_gradient, np.append(shape_gradient.ravel(), focal_gradient))

"""Every frame's pose from landmarks and point tracks together, with the person's shape and the focal length held.

The position of each tracked point on the head is an unknown too; it is eliminated (Schur complement), which joins the poses
of the frames in which it was seen: the system stays banded, as wide as a track is long.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import cho_solve_banded, cholesky_banded

from talkhead_core.face.bundle_adjustment import Bundle, pose_jacobian, projection, soft_l1, soft_l1_weight
from talkhead_core.face.pose_smoothing import SmoothingPrior
from talkhead_core.face.stable_points import PointTracks
from talkhead_core.progress import Progress, silent
from talkhead_core.types import Camera

__all__ = ["RefinementWeights", "refine_poses", "track_residual_px"]


@dataclass(frozen=True, kw_only=True)
class RefinementWeights:
    """Standard deviations: what one unit of residual is.

    Args:
        landmark_px: of a landmark; its errors last for many frames, so more than their size.
        track_px: of a tracked point; beyond it the loss grows linearly (soft L1).
        point_cm: ``[3]`` of a tracked point about the person's shape, for x, y, z.
    """

    landmark_px: float
    track_px: float
    point_cm: tuple[float, float, float]


@dataclass
class _Group:
    tracks: PointTracks
    target: np.ndarray  # [L, T, 2] from the principal point, y up
    points: np.ndarray  # [T, 3]

    @property
    def rows(self) -> slice:
        return slice(self.tracks.first, self.tracks.first + len(self.target))


def refine_poses(
    start: Bundle,
    pixels: np.ndarray,
    seen: np.ndarray,
    tracks: list[PointTracks],
    camera: Camera,
    weights: RefinementWeights,
    smoothing: SmoothingPrior,
    *,
    iterations: int = 10,
    tolerance: float = 1e-3,
    progress: Progress = silent,
) -> tuple[Bundle, list[np.ndarray]]:
    """Minimise landmarks + tracks (both soft L1) + surface prior + smoothing over poses and tracked points.

    Args:
        start: first poses; shape (one, or one a frame) and focal length are held.
        pixels: ``[N, K, 2]`` landmarks from the principal point, y up.
        seen: ``[N]`` bool: frames whose landmarks count.
        tracks: stable points.
        camera: the clip's.
        weights: standard deviations.
        smoothing: second differences of the poses within shots.
        iterations: most Levenberg-Marquardt steps.
        tolerance: stop when a step lowers the cost by less than this fraction.
        progress: told after each step.

    Returns:
        The bundle with refined poses, and each group's points ``[T, 3]`` in cm.
    """
    problem = _Refinement(start, pixels, seen, tracks, camera, weights, smoothing)
    current, points = start, [group.points for group in problem.groups]
    cost, damping = problem.cost(current, points), 1e-4
    for iteration in range(iterations):
        problem.linearise(current, points)
        while True:
            candidate, new_points = problem.step(current, points, damping)
            new_cost = problem.cost(candidate, new_points)
            if new_cost < cost or damping > 1e4:
                break
            damping *= 10
        progress(iteration + 1, iterations)
        if not new_cost < cost:
            break
        gain = (cost - new_cost) / cost
        current, points, cost, damping = candidate, new_points, new_cost, max(damping / 10, 1e-9)
        if gain < tolerance:
            break
    return current, points


def track_residual_px(bundle: Bundle, tracks: list[PointTracks], points: list[np.ndarray], camera: Camera) -> float:
    """Median distance in pixels between tracked points and where the poses put them."""
    distances = []
    for group, located in zip(tracks, points, strict=True):
        rows = slice(group.first, group.first + len(group.pixels))
        projected = projection(_with_points(bundle, rows, located))[1]
        distances.append(np.linalg.norm(projected - _centred(group.pixels, camera), axis=-1)[group.weight > 0])
    return float(np.median(np.concatenate(distances))) if distances else 0.0


class _Refinement:
    def __init__(
        self,
        start: Bundle,
        pixels: np.ndarray,
        seen: np.ndarray,
        tracks: list[PointTracks],
        camera: Camera,
        weights: RefinementWeights,
        smoothing: SmoothingPrior,
    ) -> None:
        self._weights, self._smoothing = weights, smoothing
        self._seen = np.repeat(seen[:, None].astype(np.float64), pixels.shape[1], axis=1)
        self._pixels = np.where(self._seen[..., None] > 0, pixels, 0.0)
        self.groups = [_Group(t, _centred(t.pixels, camera), t.points_cm) for t in tracks]
        self._precision = 1.0 / np.square(weights.point_cm)
        self._width = max(18, 6 * max((len(group.target) for group in self.groups), default=1))

    def cost(self, bundle: Bundle, points: list[np.ndarray]) -> float:
        total = self._smoothing.cost(bundle.rotation, bundle.translation)
        total += float((self._seen * soft_l1(projection(bundle)[1] - self._pixels, self._weights.landmark_px)).sum())
        for group, located in zip(self.groups, points, strict=True):
            residual = projection(_with_points(bundle, group.rows, located))[1] - group.target
            total += float((group.tracks.weight * soft_l1(residual, self._weights.track_px)).sum())
            total += float((self._precision * (located - group.tracks.points_cm) ** 2).sum())
        return total if np.isfinite(total) else np.inf

    def linearise(self, bundle: Bundle, points: list[np.ndarray]) -> None:
        """Form the poses' banded system with every tracked point eliminated."""
        landmarks = _terms(bundle, self._pixels, self._seen, self._weights.landmark_px)
        blocks = landmarks.poses
        gradient = landmarks.gradient + self._smoothing.gradient(bundle.rotation, bundle.translation)
        eliminated = []
        for group, located in zip(self.groups, points, strict=True):
            terms = _terms(_with_points(bundle, group.rows, located), group.target, group.tracks.weight, self._weights.track_px)
            blocks[group.rows] += terms.poses
            gradient[group.rows] += terms.gradient
            eliminated.append(self._eliminated(group, located, terms))
        banded = np.zeros((self._width, 6 * len(blocks)))
        banded[:18] = self._smoothing.banded(blocks)
        flat = gradient.ravel()
        for group, (whitened, reduced, _) in zip(self.groups, eliminated, strict=True):
            start, fill = 6 * group.tracks.first, whitened @ whitened.T
            size = len(fill)
            for offset in range(size):
                banded[offset, start : start + size - offset] -= fill.diagonal(-offset)
            flat[start : start + size] -= whitened @ reduced
        self._system = banded, flat, eliminated

    def step(self, bundle: Bundle, points: list[np.ndarray], damping: float) -> tuple[Bundle, list[np.ndarray]]:
        banded, gradient, eliminated = self._system
        damped = banded.copy()
        damped[0] = damped[0] * (1 + damping) + 1e-9
        factor = (cholesky_banded(damped, lower=True, check_finite=False), True)
        change = -cho_solve_banded(factor, gradient, check_finite=False)
        moved = []
        for group, located, (whitened, reduced, root) in zip(self.groups, points, eliminated, strict=True):
            part = change[6 * group.tracks.first : 6 * group.tracks.first + len(whitened)]
            moved.append(located - (root @ (reduced + whitened.T @ part).reshape(-1, 3, 1))[..., 0])
        return bundle.moved(change.reshape(-1, 6)), moved

    def _eliminated(self, group: _Group, located: np.ndarray, terms: _Terms) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """``W [6 L, 3 T]`` with ``W W^T`` the fill, the reduced point gradient ``[3 T]``, the root of the point blocks' inverse."""
        summed = terms.point.sum(0)
        block = summed[..., :3] + np.diag(self._precision)
        gradient = summed[..., 3] + self._precision * (located - group.tracks.points_cm)
        root = np.linalg.inv(np.linalg.cholesky(block)).swapaxes(-1, -2)  # block^-1 = root @ root^T
        whitened = (terms.cross @ root).transpose(0, 2, 1, 3).reshape(6 * len(terms.cross), -1)
        return whitened, (root.swapaxes(-1, -2) @ gradient[..., None]).ravel(), root


@dataclass
class _Terms:
    poses: np.ndarray  # [L, 6, 6]
    gradient: np.ndarray  # [L, 6]
    cross: np.ndarray  # [L, T, 6, 3] pose by point
    point: np.ndarray  # [L, T, 3, 4] point block, and its gradient


def _terms(bundle: Bundle, target: np.ndarray, seen: np.ndarray, sigma_px: float) -> _Terms:
    points, projected = projection(bundle)
    residual = projected - target
    weight = seen * soft_l1_weight(residual, sigma_px)
    by_pose, by_head = pose_jacobian(bundle, points)
    frames, count = weight.shape
    weighted = (by_pose * weight[..., None, None]).swapaxes(-1, -2)  # [L, T, 6, 2]
    flat = weighted.swapaxes(1, 2).reshape(frames, 6, 2 * count)
    right = np.concatenate([by_head, residual[..., None]], axis=-1)
    return _Terms(
        poses=flat @ by_pose.reshape(frames, 2 * count, 6),
        gradient=(flat @ residual.reshape(frames, 2 * count, 1))[..., 0],
        cross=weighted @ by_head,
        point=(by_head * weight[..., None, None]).swapaxes(-1, -2) @ right,
    )


def _with_points(bundle: Bundle, rows: slice, points: np.ndarray) -> Bundle:
    return Bundle(bundle.rotation[rows], bundle.translation[rows], points, bundle.log_focal)


def _centred(pixels: np.ndarray, camera: Camera) -> np.ndarray:
    return np.stack([pixels[..., 0] - camera.width / 2, camera.height / 2 - pixels[..., 1]], axis=-1)

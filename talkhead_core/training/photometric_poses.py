"""Head poses refined on the picture that the trained field itself makes of them.

Landmarks and optical flow leave a frame's pose wrong by a fraction of a pixel, and a field that is trained on such frames learns
their blur. Once it has learned a face, each training frame is moved to where its render and the recording agree best on skin that
speech does not move: Gauss-Newton on colour, with the recording's own gradients (Lucas and Kanade 1981), held near the tracked pose.

Held-out frames come with tracked poses. So whatever part of the corrections a linear function of the head's slow motion explains is
left out: it is the tracker's own frame of reference, which all frames share, and no error of one frame.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy.ndimage import uniform_filter1d

from talkhead_core.face.rotations import log_so3, skew
from talkhead_core.face.stable_points import stable_triangles
from talkhead_core.parameters import require
from talkhead_core.rendering.pose_correction import corrected_poses
from talkhead_core.rendering.shell_cache import ShellCache
from talkhead_core.rendering.talking_head import TalkingHead
from talkhead_core.training.portrait_dataset import PortraitDataset
from talkhead_core.types import FloatArray, Label

__all__ = ["PoseRefinementConfig", "refined_corrections"]

_FRAMES_AT_A_TIME = 32
_DAMPING = 1e-6
_SLOW_FRAMES = 25


@dataclass(frozen=True, kw_only=True)
class PoseRefinementConfig:
    """How training poses are refined.

    Args:
        rounds: how often during a training, evenly spread; 0 never.
        iterations: Gauss-Newton steps a round.
        points: points of the upper face a frame.
        colour_std: standard deviation of a point's colour, of [0, 1]; far above sensor noise, because errors of neighbouring points
            go together.
        rotation_std_deg: how far the tracked rotation is trusted.
        shift_std_cm: the same for the position across the view.
        depth_std_cm: the same along it.
        seed: of the points.
    """

    rounds: int = 0
    iterations: int = 3
    points: int = 448
    colour_std: float = 0.15
    rotation_std_deg: float = 0.3
    shift_std_cm: float = 0.05
    depth_std_cm: float = 0.2
    seed: int = 0

    def __post_init__(self) -> None:
        require(0 <= self.rounds <= 10, f"rounds must be 0 to 10, not {self.rounds}")
        require(16 <= self.points <= 10000, f"points must be 16 to 10000, not {self.points}")
        for name in ("colour_std", "rotation_std_deg", "shift_std_cm", "depth_std_cm"):
            require(getattr(self, name) > 0, f"{name} must be above 0")

    def steps(self, iterations: int) -> list[int]:
        """After which of ``iterations`` optimiser steps poses are refined."""
        return [iterations * (number + 1) // (self.rounds + 2) for number in range(self.rounds)]

    @property
    def precision(self) -> FloatArray:
        """Inverse variances of the six numbers of a correction."""
        shift, depth = self.shift_std_cm, self.depth_std_cm
        return np.array([np.radians(self.rotation_std_deg)] * 3 + [shift, shift, depth]) ** -2.0


def refined_corrections(
    head: TalkingHead, cache: ShellCache, dataset: PortraitDataset, conditions: torch.Tensor, config: PoseRefinementConfig
) -> FloatArray:
    """Corrections of every frame's tracked pose, ``[N, 6]``; zero for frames that are not trained on.

    Args:
        head: as trained so far; its corrections are where the search starts.
        cache: the shell's maps; its poses are changed.
        dataset: the speaker.
        conditions: the field's, ``[N, channels]``.
        config: how.
    """
    train, track = dataset.train_ids, dataset.track
    triangles, weights = _points(track.shape_cm, config)
    corrections = head.pose_correction.cpu().numpy().astype(np.float64)
    for _ in range(config.iterations):
        rotation, translation = corrected_poses(track.rotation, track.translation_cm, corrections)
        cache.set_poses(rotation, translation)
        for start in range(0, len(train), _FRAMES_AT_A_TIME):
            rows = train[start : start + _FRAMES_AT_A_TIME]
            places = np.einsum("pk,npkx->npx", weights, track.mesh_cm[rows][:, triangles])
            seen = _Seen.of(dataset, rows, places, rotation[rows], translation[rows])
            rendered = _rendered(head, cache, rows, seen.pixel, conditions)
            corrections[rows] += _step(seen, rendered, corrections[rows], config)
    corrections[train] -= _shared_part(corrections[train], track.rotation[train], track.translation_cm[train], track.shot[train])
    return corrections.astype(np.float32)


@dataclass(frozen=True, kw_only=True)
class _Seen:
    """Points of some frames as the recording shows them.

    Args:
        pixel: ``[F, P, 2]`` pixel centres.
        colour: ``[F, P, 3]`` in [0, 1].
        slope: ``[F, P, 3, 6]``, change of the colour there when the head moves by each number of a correction.
        weight: ``[F, P]``, 0 where the point is covered or outside.
    """

    pixel: FloatArray
    colour: FloatArray
    slope: FloatArray
    weight: FloatArray

    @classmethod
    def of(cls, dataset: PortraitDataset, rows: np.ndarray, places_cm: FloatArray, rotation: FloatArray, translation: FloatArray) -> _Seen:
        size, camera = dataset.size_px, dataset.track.camera(dataset.size_px)
        turned = np.einsum("nij,npj->npi", rotation, places_cm)
        in_camera = turned + translation[:, None]
        pixel = np.floor(camera.project(in_camera))
        inside = ((pixel >= 1) & (pixel < size - 1)).all(axis=2)
        u, v = np.clip(pixel, 1, size - 2).astype(int).transpose(2, 0, 1)
        row = rows[:, None]
        frames = dataset.frames
        colour = frames[row, v, u] / 255.0
        by_u = (frames[row, v, u + 1].astype(np.float64) - frames[row, v, u - 1]) / 510.0
        by_v = (frames[row, v + 1, u].astype(np.float64) - frames[row, v - 1, u]) / 510.0
        motion = _pixel_motion(turned, in_camera, camera.focal_px)
        slope = -(by_u[..., None] * motion[..., None, 0, :] + by_v[..., None] * motion[..., None, 1, :])
        weight = (inside & (dataset.labels[row, v, u] == Label.HEAD)).astype(np.float64)
        return cls(pixel=np.stack([u, v], axis=2) + 0.5, colour=colour, slope=slope, weight=weight)


def _points(shape_cm: FloatArray, config: PoseRefinementConfig) -> tuple[np.ndarray, FloatArray]:
    """Triangles ``[P, 3]`` and barycentric weights ``[P, 3]`` of points spread evenly over the skin that speech moves least."""
    triangles = stable_triangles(shape_cm)
    corners = shape_cm[triangles]
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    random = np.random.default_rng(config.seed)
    chosen = random.choice(len(triangles), config.points, p=area / area.sum())
    return triangles[chosen], random.dirichlet(np.ones(3), config.points)


def _pixel_motion(turned_cm: FloatArray, in_camera_cm: FloatArray, focal_px: float) -> FloatArray:
    """How a point's pixel moves with each number of a correction, ``[..., 2, 6]``: turns about the head's origin, then shifts."""
    x, y, z = np.moveaxis(in_camera_cm, -1, 0)
    zero = np.zeros_like(x)
    of_u = np.stack([-focal_px / z, zero, focal_px * x / z**2], axis=-1)
    of_v = np.stack([zero, focal_px / z, -focal_px * y / z**2], axis=-1)
    by_point = np.stack([of_u, of_v], axis=-2)
    return np.concatenate([by_point @ -skew(turned_cm), by_point], axis=-1)


def _rendered(head: TalkingHead, cache: ShellCache, rows: np.ndarray, pixel: FloatArray, conditions: torch.Tensor) -> FloatArray:
    """Colours ``[F, P, 3]`` of the head at ``pixel``; where it lets something through, that much is missing."""
    frames, points = pixel.shape[:2]
    row = torch.from_numpy(rows.astype(np.int64)).to(head.device)
    with torch.no_grad():
        colour, _ = head.rays(
            cache,
            row.repeat_interleave(points),
            torch.from_numpy(pixel.reshape(-1, 2).astype(np.float32)).to(head.device),
            torch.full((frames * points, 3), 0.5, device=head.device),
            conditions[row],
        )
    return colour.view(frames, points, 3).double().cpu().numpy()


def _step(seen: _Seen, rendered: FloatArray, corrections: FloatArray, config: PoseRefinementConfig) -> FloatArray:
    """One Gauss-Newton step ``[F, 6]`` on colour (Cauchy's robust weight) and the distance to the tracked pose."""
    difference = np.nan_to_num(seen.colour - rendered)  # a field that went wrong says nothing; its trainer rolls back
    squared = (difference**2).mean(axis=2)
    weight = seen.weight / (1.0 + squared / config.colour_std**2) / config.colour_std**2
    weighted = seen.slope * weight[..., None, None]
    normal = np.einsum("fpci,fpcj->fij", weighted, seen.slope) + np.diag(config.precision + _DAMPING)
    gradient = np.einsum("fpci,fpc->fi", weighted, difference) - config.precision * corrections
    return np.asarray(np.linalg.solve(normal, gradient[..., None])[..., 0])


def _shared_part(corrections: FloatArray, rotation: FloatArray, translation_cm: FloatArray, shot: np.ndarray) -> FloatArray:
    """What a linear function of the slow motion, with an offset for each shot, says of corrections ``[F, 6]``.

    Of the tracked pose itself, errors included, a linear function would explain a still head's errors entirely.
    """
    pose = np.concatenate([log_so3(rotation[0].T @ rotation), translation_cm], axis=1)
    for one in np.unique(shot):
        pose[shot == one] = uniform_filter1d(pose[shot == one], _SLOW_FRAMES, axis=0, mode="nearest")
    offsets = (shot[:, None] == np.unique(shot)).astype(np.float64)
    inputs = np.concatenate([pose - pose.mean(axis=0), offsets], axis=1)
    solution, *_ = np.linalg.lstsq(inputs, corrections, rcond=1e-6)
    return np.asarray(inputs @ solution)

"""Head pose, person's shape and per-frame mesh from landmarks: bundle adjustment over the whole clip."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from talkhead_core.errors import InputError
from talkhead_core.face.bundle_adjustment import Bundle, BundleWeights, Observations, adjust, projection
from talkhead_core.face.expression import EXPRESSION_NAMES, expression
from talkhead_core.face.mesh_topology import INNER_LIP_LOWER, INNER_LIP_UPPER, JAW, LIPS, MESH_POINTS, RIGID
from talkhead_core.face.person_shape import frontal_transform, self_shape, unproject_at_depth
from talkhead_core.face.pose_smoothing import SmoothingPrior, fill_gaps, jitter_deg
from talkhead_core.face.triangulation import triangulate
from talkhead_core.parameters import require
from talkhead_core.progress import Progress, silent
from talkhead_core.types import Camera

__all__ = ["Track", "TrackHeadConfig", "track_head"]


@dataclass(frozen=True, kw_only=True)
class TrackHeadConfig:
    """How the head is tracked.

    Args:
        camera_distance_cm: where the camera is expected; sets the prior of the focal length.
        smoothing_deg: expected second difference of the head's rotation, degrees a frame squared; larger follows faster.
        smoothing_cm: the same for the translation across the view.
        landmark_px: expected error of a landmark in a 512-pixel clip; beyond it the loss is linear.
        outlier_factor: a frame that reprojects this many times worse than the median is taken as occluded.
        min_confidence: landmarks below it are not used.
    """

    camera_distance_cm: float = 90.0
    smoothing_deg: float = 0.15
    smoothing_cm: float = 0.03
    landmark_px: float = 1.0
    outlier_factor: float = 3.0
    min_confidence: float = 0.2

    def __post_init__(self) -> None:
        for name in ("camera_distance_cm", "smoothing_deg", "smoothing_cm", "landmark_px"):
            require(getattr(self, name) > 0, f"{name} must be positive, not {getattr(self, name)}")
        require(self.outlier_factor > 1, f"outlier_factor must be above 1, not {self.outlier_factor}")
        require(0 <= self.min_confidence < 1, f"min_confidence must be in [0, 1), not {self.min_confidence}")


@dataclass(frozen=True, kw_only=True)
class Track:
    """A tracked clip; the fields are those of ``track.safetensors``."""

    frame_id: np.ndarray
    rotation: np.ndarray
    translation_cm: np.ndarray
    focal_px: float
    shape_cm: np.ndarray
    mesh_cm: np.ndarray
    expression: np.ndarray
    status: np.ndarray
    reprojection_px: np.ndarray
    shot: np.ndarray
    face_width_px: float

    def arrays(self) -> dict[str, np.ndarray]:
        """The arrays of ``track.safetensors``."""
        single = {
            name: getattr(self, name).astype(np.float32)
            for name in ("rotation", "translation_cm", "shape_cm", "mesh_cm", "expression", "reprojection_px")
        }
        return {
            "frame_id": self.frame_id.astype(np.int64),
            **single,
            "focal_px": np.array([self.focal_px], np.float32),
            "status": self.status.astype(np.uint8),
            "shot": self.shot.astype(np.int32),
        }

    def summary(self) -> dict[str, object]:
        """The figures of ``track.json``."""
        tracked = self.status == 0
        mean_px = float(self.reprojection_px[tracked].mean())
        return {
            "focal_px": self.focal_px,
            "reprojection_px_mean": mean_px,
            "reprojection_percent_of_face_width": 100 * mean_px / self.face_width_px,
            "jitter_deg": jitter_deg(self.rotation, self.shot, tracked),
            "interpolated_frames": self.frame_id[~tracked].tolist(),
            "expression_names": list(EXPRESSION_NAMES),
        }


def track_head(
    landmarks: dict[str, np.ndarray],
    shot: np.ndarray,
    *,
    width: int,
    height: int,
    config: TrackHeadConfig | None = None,
    progress: Progress = silent,
) -> Track:
    """Fit one focal length, one shape and every frame's pose.

    Args:
        landmarks: the arrays of ``landmarks.safetensors``.
        shot: ``[N]`` shot index of every frame; nothing is smoothed across shots.
        width: of the clip, pixels.
        height: of the clip, pixels.
        config: how.
        progress: told of every step.

    Raises:
        InputError: no frame has a face.
    """
    config = config or TrackHeadConfig()
    points = landmarks["points"].astype(np.float64)
    good = landmarks["detected"].astype(bool) & (landmarks["confidence"] >= config.min_confidence)
    if not good.any():
        raise InputError("no frame has a face to track; check that the crop holds the speaker's face")
    bundle, prior_shape = _initial(points, good, shot, width, height, config)
    unit = config.landmark_px * max(width, height) / 512
    weights = BundleWeights(landmark_px=unit, shape_cm=(1.0, 1.0, 0.7), log_focal=0.5)
    smoothing = SmoothingPrior(
        shot, rotation_deg=config.smoothing_deg, translation_cm=(config.smoothing_cm, config.smoothing_cm, 8 * config.smoothing_cm)
    )
    rigid = list(RIGID)
    centred = np.stack([points[:, rigid, 0] - width / 2, height / 2 - points[:, rigid, 1]], axis=-1)
    prior = Bundle(bundle.rotation, bundle.translation, prior_shape[rigid], bundle.log_focal)
    for _ in range(2):
        observations = Observations(centred, np.repeat(good[:, None].astype(float), len(rigid), axis=1))
        bundle = adjust(bundle, observations, prior, weights, smoothing, progress=progress)
        error = _reprojection(bundle, centred)
        occluded = good & (error > config.outlier_factor * np.median(error[good]))
        if not occluded.any():
            break
        good = good & ~occluded
    rotation, translation = fill_gaps(bundle.rotation, bundle.translation, good, shot)
    return _finished(landmarks["frame_id"], points, good, shot, rotation, translation, bundle, prior_shape, width, height, unit)


def _initial(
    points: np.ndarray, good: np.ndarray, shot: np.ndarray, width: int, height: int, config: TrackHeadConfig
) -> tuple[Bundle, np.ndarray]:
    """Weak-perspective poses against the self-shape; the focal length puts the face at the expected distance."""
    shape, rotation_good, scale_good = self_shape(points[good])
    rigid = list(RIGID)
    focal = config.camera_distance_cm * float(np.median(scale_good))
    centre = points[good][:, rigid, :2].mean(1)
    offset = np.einsum("nij,j->ni", rotation_good, shape[rigid].mean(0))
    translation_good = np.stack(
        [(centre[:, 0] - width / 2) / scale_good, (height / 2 - centre[:, 1]) / scale_good, -focal / scale_good], axis=1
    )
    rotation = np.tile(np.eye(3), (len(good), 1, 1))
    translation = np.zeros((len(good), 3))
    rotation[good], translation[good] = rotation_good, translation_good - offset
    rotation, translation = fill_gaps(rotation, translation, good, shot)
    return Bundle(rotation, translation, shape[rigid], float(np.log(focal))), shape


def _reprojection(bundle: Bundle, centred: np.ndarray) -> np.ndarray:
    return np.linalg.norm(projection(bundle)[1] - centred, axis=-1).mean(1)


def _finished(
    frame_id: np.ndarray,
    points: np.ndarray,
    good: np.ndarray,
    shot: np.ndarray,
    rotation: np.ndarray,
    translation: np.ndarray,
    bundle: Bundle,
    prior_shape: np.ndarray,
    width: int,
    height: int,
    unit: float,
) -> Track:
    rigid = list(RIGID)
    camera = Camera(focal_px=float(np.exp(bundle.log_focal)), width=width, height=height)
    pixels = points[:, :MESH_POINTS, :2]
    shape = triangulate(
        pixels[good], rotation[good], translation[good], camera, _registered(prior_shape, prior_shape[rigid], bundle.shape),
        weight=_neutral_weight(points[good]), landmark_px=unit, prior_sigma_cm=(1.0, 1.0, 0.7),
    )  # fmt: skip
    axes, scale, centre = frontal_transform(shape)
    shape = scale * (shape - centre) @ axes.T
    translation = scale * (rotation @ centre + translation)
    rotation = rotation @ axes.T
    mesh = unproject_at_depth(pixels, shape, rotation, translation, camera)
    mesh[~good] = _interpolated_rows(mesh, good, shot)[~good]
    projected = camera.project(np.einsum("nij,kj->nki", rotation, shape[rigid]) + translation[:, None])
    error = np.linalg.norm(projected - pixels[:, rigid], axis=-1).mean(1)
    return Track(
        frame_id=frame_id,
        rotation=rotation,
        translation_cm=translation,
        focal_px=camera.focal_px,
        shape_cm=shape,
        mesh_cm=mesh,
        expression=expression(mesh),
        status=np.where(good, 0, 1),
        reprojection_px=np.where(good, error, 0.0),
        shot=shot,
        face_width_px=float(np.median(np.linalg.norm(pixels[good, 234] - pixels[good, 454], axis=-1))),
    )


def _registered(shape: np.ndarray, source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """``shape`` under the affine map that takes ``source`` to ``target`` in least squares."""
    ones = np.ones((len(source), 1))
    affine, *_ = np.linalg.lstsq(np.hstack([source, ones]), target, rcond=None)
    return np.hstack([shape, np.ones((len(shape), 1))]) @ affine


def _neutral_weight(points: np.ndarray) -> np.ndarray:
    """``[N, 468]``: lips and jaw count only in the third of the frames with the mouth most closed."""
    opening = np.linalg.norm(points[:, INNER_LIP_UPPER, :2] - points[:, INNER_LIP_LOWER, :2], axis=-1)
    opening /= np.linalg.norm(points[:, 33, :2] - points[:, 263, :2], axis=-1)
    weight = np.ones((len(points), MESH_POINTS))
    weight[np.ix_(opening > np.quantile(opening, 1 / 3), list(LIPS + JAW))] = 0
    return weight


def _interpolated_rows(values: np.ndarray, good: np.ndarray, shot: np.ndarray) -> np.ndarray:
    """Rows of bad frames interpolated linearly between good ones of the same shot, held at its ends."""
    result = values.copy()
    known = np.flatnonzero(good)
    for frame in np.flatnonzero(~good):
        near = known[shot[known] == shot[frame]]
        near = near if len(near) else known[[np.abs(known - frame).argmin()]]
        position = int(np.searchsorted(near, frame))
        before, after = near[max(position - 1, 0)], near[min(position, len(near) - 1)]
        fraction = np.clip((frame - before) / (after - before), 0, 1) if after > before else 0.0
        result[frame] = values[before] + fraction * (values[after] - values[before])
    return result

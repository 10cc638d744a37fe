"""The parts of head tracking that do not depend on where the poses come from: a clip's landmarks, its shape, the finished track."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from talkhead_core.errors import InputError
from talkhead_core.face.bundle_adjustment import Bundle, BundleWeights, adjust, fit_poses, projection
from talkhead_core.face.expression import ExpressionConfig, measured_expression
from talkhead_core.face.head_track import HeadTrack, TrackQuality
from talkhead_core.face.landmark_model import LandmarkModel, LandmarkPriors, fit_landmark_model
from talkhead_core.face.mesh_topology import INNER_LIP_LOWER, INNER_LIP_UPPER, JAW, LIPS, MESH_POINTS, OUTER_EYE_CORNERS, RIGID
from talkhead_core.face.person_shape import frontal_shape, frontal_transform, registered, self_shape, unproject_at_depth
from talkhead_core.face.pose_smoothing import fill_gaps, fill_rows
from talkhead_core.face.stable_points import StablePointConfig
from talkhead_core.parameters import require
from talkhead_core.types import Camera

__all__ = ["TrackHeadConfig", "TrackedClip", "assembled_track", "clip_landmark_model", "poses_of_landmarks"]

_RIGID = list(RIGID)
_FACE_SIDES = (234, 454)
_SHAPE_FRAMES, _MODEL_FRAMES = 300, 400  # shape and slide are no better for more
_OCCLUDED_SHARE = 0.015  # of the face width: below it no residual means an occlusion


@dataclass(frozen=True, kw_only=True)
class TrackHeadConfig:
    """How the head is tracked.

    Args:
        stabilise: whether optical flow of stable points and smoothness over time join the landmarks; without, every frame's
            landmarks stand alone.
        smoothing_deg: expected second difference of the head's rotation, degrees a frame squared; larger follows faster.
        landmark_px: trust in landmarks: their standard deviation in a clip whose longer side is 512 pixels.
        flow_px: trust in optical flow, the same.
        outlier_factor: a frame that reprojects this many times worse than the median is taken as occluded.
        min_confidence: landmarks below it are not used.
        camera_distance_cm: where the camera is expected; sets the prior of the focal length.
        stable_points: how stable points are followed.
        expression: what conditions the upper face.
    """

    stabilise: bool = True
    smoothing_deg: float = 0.15
    landmark_px: float = 1.0
    flow_px: float = 0.35
    outlier_factor: float = 3.0
    min_confidence: float = 0.2
    camera_distance_cm: float = 120.0
    stable_points: StablePointConfig = field(default_factory=StablePointConfig)
    expression: ExpressionConfig = field(default_factory=ExpressionConfig)

    def __post_init__(self) -> None:
        for name in ("smoothing_deg", "landmark_px", "flow_px", "camera_distance_cm"):
            require(getattr(self, name) > 0, f"{name} must be positive, not {getattr(self, name)}")
        require(self.outlier_factor > 1, f"outlier_factor must be above 1, not {self.outlier_factor}")
        require(0 <= self.min_confidence < 1, f"min_confidence must be in [0, 1), not {self.min_confidence}")


class TrackedClip:
    """The landmarks as the adjustment wants them, and which frames are good."""

    def __init__(self, landmarks: dict[str, np.ndarray], shot: np.ndarray, width: int, height: int, config: TrackHeadConfig) -> None:
        self.landmarks, self.frame_id, self.shot, self.config = landmarks, landmarks["frame_id"], shot, config
        self.points = landmarks["points"][:, :MESH_POINTS].astype(np.float64)
        self.good = landmarks["detected"].astype(bool) & (landmarks["confidence"] >= config.min_confidence)
        if not self.good.any():
            raise InputError("no frame has a face to track; check that the crop holds the speaker's face")
        self.centred = (self.points[..., :2] - [width / 2, height / 2]) * [1.0, -1.0]
        self.unit = max(width, height) / 512
        sides = self.points[self.good][:, list(_FACE_SIDES), :2]
        self.face_width_px = float(np.median(np.linalg.norm(sides[:, 0] - sides[:, 1], axis=-1)))

    def error_px(self, bundle: Bundle) -> np.ndarray:
        """Mean distance ``[N]`` of the rigid landmarks from the posed shape."""
        return np.linalg.norm(projection(bundle)[1] - self.centred[:, _RIGID], axis=-1).mean(1)

    def drop_occluded(self, error_px: np.ndarray) -> bool:
        """Mark frames that reproject far worse than the others; whether there are any."""
        limit = max(self.config.outlier_factor * np.median(error_px[self.good]), _OCCLUDED_SHARE * self.face_width_px)
        occluded = self.good & (error_px > limit)
        self.good = self.good & ~occluded
        return bool(occluded.any())

    def without_gaps(self, bundle: Bundle) -> Bundle:
        """The poses with those of bad frames interpolated."""
        rotation, translation = fill_gaps(bundle.rotation, bundle.translation, self.good, self.shot)
        return replace(bundle, rotation=rotation, translation=translation)

    def some(self, most: int) -> np.ndarray:
        """Rows of at most ``most`` good frames, spread evenly."""
        rows = np.flatnonzero(self.good)
        return rows[np.unique(np.linspace(0, len(rows) - 1, min(most, len(rows))).astype(int))]


def poses_of_landmarks(clip: TrackedClip) -> tuple[Bundle, np.ndarray]:
    """Poses of all frames from landmarks alone (frames without a face filled), and the shape ``[468, 3]``, in the head frame."""
    shape, turned, scale = self_shape(clip.points[clip.good])
    focal = clip.config.camera_distance_cm * float(np.median(scale))
    centre = clip.centred[clip.good][:, _RIGID].mean(1)
    translation = np.concatenate([centre, np.full((len(scale), 1), -focal)], axis=1) / scale[:, None] - turned @ shape[_RIGID].mean(0)
    start = Bundle(turned, translation, shape[_RIGID], float(np.log(focal)))
    pixels = clip.centred[clip.good][:, _RIGID]
    chosen = np.searchsorted(np.flatnonzero(clip.good), clip.some(_SHAPE_FRAMES))
    weights = BundleWeights(landmark_px=clip.unit, shape_cm=(1.0, 1.0, 0.7), log_focal=0.5)
    shared = adjust(start.part(chosen), pixels[chosen], weights)
    found = fit_poses(replace(start, shape=shared.shape, log_focal=shared.log_focal), pixels, landmark_px=clip.unit)
    shape = registered(shape, shape[_RIGID], shared.shape)
    bundle = _in_head_frame(found, shape)
    shape = frontal_shape(shape)
    everywhere = np.tile(np.eye(3), (len(clip.good), 1, 1)), np.zeros((len(clip.good), 3))
    everywhere[0][clip.good], everywhere[1][clip.good] = bundle.rotation, bundle.translation
    rotation, translation = fill_gaps(*everywhere, clip.good, clip.shot)
    return Bundle(rotation, translation, shape[_RIGID], bundle.log_focal), shape


def clip_landmark_model(
    clip: TrackedClip, bundle: Bundle, prior_shape: np.ndarray, vertices: list[int], *, slides: bool, weight: np.ndarray | None = None
) -> LandmarkModel:
    """Shape and slide of some vertices for known poses; ``weight [N, P]`` says which landmarks count."""
    rows = clip.some(_MODEL_FRAMES)
    weight = np.ones((len(clip.good), len(vertices))) if weight is None else weight
    priors = LandmarkPriors(landmark_px=clip.unit, slide_cm=10.0 if slides else 1e-3)
    return fit_landmark_model(bundle.part(rows), clip.centred[rows][:, vertices], weight[rows], prior_shape[vertices], priors)


def assembled_track(
    clip: TrackedClip,
    bundle: Bundle,
    prior_shape: np.ndarray,
    camera: Camera,
    quality: TrackQuality,
    *,
    slides: bool,
    settle: bool = True,
) -> HeadTrack:
    """The track of known poses: the neutral shape, and every frame's face in the head frame.

    Args:
        clip: the landmarks.
        bundle: poses of all frames.
        prior_shape: ``[468, 3]`` cm, head frame.
        camera: the clip's.
        quality: figures of the poses.
        slides: whether landmarks may slide over the skin as the head turns, which takes poses that do not come from them.
        settle: move the poses into the head frame that the shape defines; else they stay as they are.
    """
    everything = list(range(MESH_POINTS))
    model = clip_landmark_model(clip, bundle, prior_shape, everything, slides=slides, weight=_neutral_weight(clip.points))
    bundle, shape = replace(bundle, shape=model.points(bundle.rotation)), model.shape
    if settle:
        bundle, shape = _in_head_frame(bundle, shape), frontal_shape(shape)
    mesh = unproject_at_depth(clip.points[..., :2], shape, bundle.rotation, bundle.translation, camera)
    mesh = fill_rows(mesh, clip.good, clip.shot)
    rigid = replace(bundle, shape=bundle.shape[:, _RIGID])
    still = replace(bundle, shape=shape[_RIGID])
    error = clip.error_px(rigid)
    return HeadTrack(
        frame_id=clip.frame_id,
        rotation=bundle.rotation,
        translation_cm=bundle.translation,
        focal_px=camera.focal_px,
        shape_cm=shape,
        mesh_cm=mesh,
        expression=measured_expression(clip.config.expression, clip.landmarks, mesh, clip.good, clip.shot),
        expression_names=clip.config.expression.names,
        status=np.where(clip.good, 0, 1),
        reprojection_px=np.where(clip.good, error, 0.0),
        shot=clip.shot,
        quality=replace(quality, reprojection_without_slide_px=float(clip.error_px(still)[clip.good].mean())),
    )


def _in_head_frame(bundle: Bundle, shape: np.ndarray) -> Bundle:
    """The same view with the head frame moved to where ``shape`` defines it; lengths are rescaled with it."""
    axes, scale, centre = frontal_transform(shape)
    return Bundle(
        bundle.rotation @ axes.T,
        scale * (bundle.rotation @ centre + bundle.translation),
        scale * (bundle.shape - centre) @ axes.T,
        bundle.log_focal,
    )


def _neutral_weight(points: np.ndarray) -> np.ndarray:
    """``[N, 468]``: lips and jaw count only in the 15 % of the frames with the mouth most closed."""
    opening = np.linalg.norm(points[:, INNER_LIP_UPPER, :2] - points[:, INNER_LIP_LOWER, :2], axis=-1)
    right, left = OUTER_EYE_CORNERS
    opening = opening / np.linalg.norm(points[:, right, :2] - points[:, left, :2], axis=-1)
    weight = np.ones((len(points), MESH_POINTS))
    closed = opening <= np.nanquantile(opening, 0.15)
    weight[np.ix_(~closed, list(LIPS + JAW))] = 0
    return weight

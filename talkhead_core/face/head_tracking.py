"""Head pose, person's shape and per-frame mesh: landmarks and optical flow of stable points, adjusted over the whole clip.

1. Landmarks alone: bundle adjustment of some frames gives focal length and shape, then every frame its own pose.
2. Stable points are followed by optical flow (``stable_points``).
3. All poses are refined to both (``pose_refinement``), in turn with how the landmarks slide over the skin (``landmark_model``).
4. The neutral shape, and every frame's mesh taken back to the head frame.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
from threadpoolctl import threadpool_limits

from talkhead_core.face.bundle_adjustment import Bundle
from talkhead_core.face.head_track import HeadTrack, TrackQuality
from talkhead_core.face.mesh_topology import RIGID
from talkhead_core.face.pose_refinement import RefinementWeights, refine_poses, track_residual_px
from talkhead_core.face.pose_smoothing import SmoothingPrior, jitter_deg
from talkhead_core.face.stable_points import PointTracks, track_stable_points
from talkhead_core.face.track_assembly import TrackedClip, TrackHeadConfig, assembled_track, clip_landmark_model, poses_of_landmarks
from talkhead_core.progress import Progress, silent
from talkhead_core.types import Camera

__all__ = ["TrackHeadConfig", "track_head"]

_RIGID = list(RIGID)
_ROUNDS = 2


def track_head(
    landmarks: dict[str, np.ndarray],
    shot: np.ndarray,
    *,
    width: int,
    height: int,
    frames: Iterable[np.ndarray] | None = None,
    config: TrackHeadConfig | None = None,
    progress: Progress = silent,
) -> HeadTrack:
    """Fit one focal length, one shape and every frame's pose.

    Args:
        landmarks: the arrays of ``landmarks.safetensors``.
        shot: ``[N]`` shot index of every frame; nothing is smoothed or followed across shots.
        width: of the clip, pixels.
        height: of the clip, pixels.
        frames: the clip in gray, ``[H, W]`` uint8, one a row of ``landmarks``; without it there is no flow.
        config: how.
        progress: told of every frame followed.

    Raises:
        InputError: no frame has a face.
    """
    with threadpool_limits(1):  # many small products: threads only wait for each other
        return _tracked(landmarks, shot, width, height, frames, config or TrackHeadConfig(), progress)


def _tracked(
    landmarks: dict[str, np.ndarray],
    shot: np.ndarray,
    width: int,
    height: int,
    frames: Iterable[np.ndarray] | None,
    config: TrackHeadConfig,
    progress: Progress,
) -> HeadTrack:
    clip = TrackedClip(landmarks, shot, width, height, config)
    bundle, prior_shape = poses_of_landmarks(clip)
    error = clip.error_px(bundle)
    clip.drop_occluded(error)
    bundle = clip.without_gaps(bundle)
    alone = bundle
    camera = Camera(focal_px=float(np.exp(bundle.log_focal)), width=width, height=height)
    tracks: list[PointTracks] = []
    if frames is not None and config.stabilise:
        tracks = track_stable_points(
            frames, rotation=bundle.rotation, translation_cm=bundle.translation, shape_cm=prior_shape,
            camera=camera, shot=shot, good=clip.good, config=config.stable_points, progress=progress,
        )  # fmt: skip
    points: list[np.ndarray] = []
    if config.stabilise:
        bundle, points = _refined(clip, bundle, prior_shape, tracks, camera)
        bundle = clip.without_gaps(bundle)
    quality = TrackQuality(
        jitter_deg=jitter_deg(bundle.rotation, shot, clip.good),
        jitter_landmarks_alone_deg=jitter_deg(alone.rotation, shot, clip.good),
        flow_residual_px=track_residual_px(bundle, tracks, points, camera),
        flow_residual_landmarks_alone_px=track_residual_px(alone, tracks, [t.points_cm for t in tracks], camera),
        face_width_px=clip.face_width_px,
    )
    return assembled_track(clip, bundle, prior_shape, camera, quality, slides=bool(tracks))


def _refined(
    clip: TrackedClip, bundle: Bundle, prior_shape: np.ndarray, tracks: list[PointTracks], camera: Camera
) -> tuple[Bundle, list[np.ndarray]]:
    """Poses from landmarks and flow, in turn with the rigid landmarks' shape and, where there is flow to tell, their slide."""
    config, across = clip.config, 0.2 * clip.config.smoothing_deg
    smoothing = SmoothingPrior(clip.shot, rotation_deg=config.smoothing_deg, translation_cm=(across, across, 8 * across))
    weights = RefinementWeights(landmark_px=config.landmark_px * clip.unit, track_px=config.flow_px * clip.unit, point_cm=(1.0, 1.0, 0.3))
    pixels = clip.centred[:, _RIGID]
    points: list[np.ndarray] = []
    for last in [False] * (_ROUNDS - 1) + [True]:
        bundle, points = refine_poses(bundle, pixels, clip.good, tracks, camera, weights, smoothing)
        model = clip_landmark_model(clip, bundle, prior_shape, _RIGID, slides=bool(tracks))
        bundle = replace(bundle, shape=model.points(bundle.rotation))
        if clip.drop_occluded(clip.error_px(bundle)) and last:
            bundle, points = refine_poses(bundle, pixels, clip.good, tracks, camera, weights, smoothing)
    return bundle, points

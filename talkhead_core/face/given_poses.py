"""A track from poses that came with the recording: only the person's shape and every frame's face are found.

Their head frame may be any (a 3D morphable model's, say): the similarity that takes talkhead's own to it is fitted to the
landmarks. Poses that are in talkhead's own frame already stay as they are, to the last digit.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from threadpoolctl import threadpool_limits

from talkhead_core.errors import InputError
from talkhead_core.face.bundle_adjustment import Bundle
from talkhead_core.face.head_poses import HeadPoses
from talkhead_core.face.head_track import HeadTrack, TrackQuality
from talkhead_core.face.mesh_topology import RIGID
from talkhead_core.face.pose_smoothing import fill_gaps, jitter_deg
from talkhead_core.face.rotations import exp_so3, log_so3
from talkhead_core.face.track_assembly import TrackedClip, TrackHeadConfig, assembled_track, poses_of_landmarks
from talkhead_core.types import Camera

__all__ = ["track_given_poses"]

_RIGID = list(RIGID)
_FIT_FRAMES = 60
_ORIGIN_CM = 6.0  # how far another head frame's origin is expected from ours
_SAME_FRAME = (0.05, 0.03, 1.0)  # radians, log scale, cm: closer than this two shapes of one head agree no better


@dataclass(frozen=True)
class _FrameChange:
    """``X_given = scale * turn @ X_head + origin``."""

    turn: np.ndarray
    scale: float
    origin: np.ndarray

    @property
    def negligible(self) -> bool:
        angle, log_scale, distance = np.linalg.norm(log_so3(self.turn)), abs(np.log(self.scale)), np.linalg.norm(self.origin)
        return bool(angle < _SAME_FRAME[0] and log_scale < _SAME_FRAME[1] and distance < _SAME_FRAME[2])


def track_given_poses(
    landmarks: dict[str, np.ndarray], shot: np.ndarray, poses: HeadPoses, config: TrackHeadConfig | None = None
) -> HeadTrack:
    """The track of a clip whose poses are known; frames without a given pose or without a face are interpolated.

    Args:
        landmarks: the arrays of ``landmarks.safetensors``.
        shot: ``[N]`` shot index of every frame.
        poses: by frame of the clip, for its size.
        config: how.

    Raises:
        InputError: no frame has both a pose and a face, or the poses belong to another recording.
    """
    with threadpool_limits(1):
        clip = TrackedClip(landmarks, shot, poses.width, poses.height, config or TrackHeadConfig())
        known = np.zeros(len(clip.good), bool)
        known[poses.frame_id] = True
        clip.good &= known
        if not clip.good.any():
            raise InputError("no frame has both a face and a given pose; were the poses made for another recording?")
        own, shape = poses_of_landmarks(clip)
        rotation, translation = np.tile(np.eye(3), (len(known), 1, 1)), np.zeros((len(known), 3))
        rotation[known], translation[known] = poses.rotation, poses.translation_cm
        rotation, translation = fill_gaps(rotation, translation, known, clip.shot)
        given = Bundle(rotation, translation, shape[_RIGID], float(np.log(poses.focal_px)))
        change = _frame_change(clip, own, given, shape)
        if not change.negligible:
            given = replace(
                given,
                rotation=rotation @ change.turn,
                translation=(rotation @ change.origin + translation) / change.scale,
            )
        _check_fit(clip, given)
        quality = TrackQuality(
            jitter_deg=jitter_deg(given.rotation, shot, clip.good),
            jitter_landmarks_alone_deg=jitter_deg(own.rotation, shot, clip.good),
            flow_residual_px=0.0,
            flow_residual_landmarks_alone_px=0.0,
            face_width_px=clip.face_width_px,
        )
        camera = Camera(focal_px=poses.focal_px, width=poses.width, height=poses.height)
        return assembled_track(clip, given, shape, camera, quality, slides=True, settle=not change.negligible)


def _frame_change(clip: TrackedClip, own: Bundle, given: Bundle, shape: np.ndarray) -> _FrameChange:
    """The similarity from our head frame to the given one with which the given poses put the shape on the landmarks."""
    rows = clip.some(_FIT_FRAMES)
    u, _, vt = np.linalg.svd(np.einsum("nji,njk->ik", given.rotation[rows], own.rotation[rows]))
    turn = u @ np.diag([1.0, 1.0, np.sign(np.linalg.det(u @ vt))]) @ vt
    nearer = np.median(np.abs(given.translation[rows, 2]) / np.abs(own.translation[rows, 2]))
    scale = float(nearer * np.exp(own.log_focal - given.log_focal))
    from scipy.optimize import least_squares  # slow to load, and few recordings carry poses

    rotation, translation, pixels = given.rotation[rows], given.translation[rows], clip.centred[rows][:, _RIGID]
    focal = np.exp(given.log_focal)

    def residuals(parameters: np.ndarray) -> np.ndarray:
        points = _moved(parameters, turn, scale, shape[_RIGID])
        camera = points @ rotation.swapaxes(-1, -2) + translation[:, None]
        projected = -focal * camera[..., :2] / np.minimum(camera[..., 2:], -1e-3)
        return np.concatenate([(projected - pixels).ravel() / clip.unit, len(rows) * parameters[4:] / _ORIGIN_CM])

    found = least_squares(residuals, np.zeros(7), loss="soft_l1", x_scale=[0.1, 0.1, 0.1, 0.1, 1, 1, 1]).x
    return _FrameChange(turn @ exp_so3(found[:3]), scale * float(np.exp(found[3])), scale * np.exp(found[3]) * found[4:])


def _moved(parameters: np.ndarray, turn: np.ndarray, scale: float, shape: np.ndarray) -> np.ndarray:
    return scale * np.exp(parameters[3]) * (shape @ (turn @ exp_so3(parameters[:3])).T + parameters[4:])


def _check_fit(clip: TrackedClip, given: Bundle) -> None:
    error = float(np.median(clip.error_px(given)[clip.good]))
    limit = 0.1 * clip.face_width_px
    if error > limit:
        raise InputError(
            f"the given poses put the face {error:.0f} px from where it is (at most {limit:.0f} px can be right); "
            "were they made for another recording, or for another size?"
        )

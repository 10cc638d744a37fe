"""A tracked clip: what ``track.safetensors`` and ``track.json`` hold."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from talkhead_core.face.expression import EXPRESSION_NAMES

__all__ = ["HeadTrack", "TrackQuality"]


@dataclass(frozen=True, kw_only=True)
class TrackQuality:
    """How good a track is, over the tracked frames.

    Args:
        jitter_deg: RMS second difference of yaw, pitch and roll, degrees a frame squared.
        jitter_landmarks_alone_deg: the same of poses fitted to each frame's landmarks alone.
        flow_residual_px: median distance of flow tracks from where the poses put them; 0 without flow.
        flow_residual_landmarks_alone_px: the same for poses from landmarks alone.
        face_width_px: from cheek to cheek, median.
        reprojection_without_slide_px: mean distance of the rigid landmarks from the posed neutral shape.
    """

    jitter_deg: float
    jitter_landmarks_alone_deg: float
    flow_residual_px: float
    flow_residual_landmarks_alone_px: float
    face_width_px: float
    reprojection_without_slide_px: float = 0.0


@dataclass(frozen=True, kw_only=True)
class HeadTrack:
    """Every frame's head.

    Args:
        frame_id: ``[N]``.
        rotation: ``[N, 3, 3]`` head to camera.
        translation_cm: ``[N, 3]`` head to camera.
        focal_px: for the clip's size.
        shape_cm: ``[468, 3]`` the person's neutral face, mouth closed, head frame.
        mesh_cm: ``[N, 468, 3]`` every frame's face, head frame.
        expression: ``[N, E]``.
        status: ``[N]`` 0 tracked, 1 interpolated.
        reprojection_px: ``[N]`` mean distance of the rigid landmarks from where pose, shape and slide put them; 0 where interpolated.
        shot: ``[N]``.
        quality: figures of the whole clip.
        expression_names: what the columns of ``expression`` are.
    """

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
    quality: TrackQuality
    expression_names: tuple[str, ...] = EXPRESSION_NAMES

    def arrays(self) -> dict[str, np.ndarray]:
        """The arrays of ``track.safetensors``."""
        single = ("rotation", "translation_cm", "shape_cm", "mesh_cm", "expression", "reprojection_px")
        return {
            "frame_id": self.frame_id.astype(np.int64),
            **{name: getattr(self, name).astype(np.float32) for name in single},
            "focal_px": np.array([self.focal_px], np.float32),
            "status": self.status.astype(np.uint8),
            "shot": self.shot.astype(np.int32),
        }

    def summary(self) -> dict[str, object]:
        """The figures of ``track.json``."""
        tracked = self.status == 0
        mean_px = float(self.reprojection_px[tracked].mean())
        percent = 100 / self.quality.face_width_px
        return {
            "focal_px": self.focal_px,
            "reprojection_px_mean": mean_px,
            "reprojection_percent_of_face_width": percent * mean_px,
            "reprojection_without_slide_percent_of_face_width": percent * self.quality.reprojection_without_slide_px,
            "face_width_px": self.quality.face_width_px,
            "jitter_deg": self.quality.jitter_deg,
            "jitter_landmarks_alone_deg": self.quality.jitter_landmarks_alone_deg,
            "flow_residual_px": self.quality.flow_residual_px,
            "flow_residual_landmarks_alone_px": self.quality.flow_residual_landmarks_alone_px,
            "interpolated_frames": self.frame_id[~tracked].tolist(),
            "expression_names": list(self.expression_names),
        }

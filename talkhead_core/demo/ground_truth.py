"""What is known about the demo speaker, as the arrays and the description that tests read."""

from __future__ import annotations

import numpy as np

from talkhead_core.demo.figure import Face, Figure, HeadPose
from talkhead_core.demo.hand import Gesture, hand_path
from talkhead_core.demo.motion import BodyMotion
from talkhead_core.demo.soundtrack import Soundtrack
from talkhead_core.demo.visemes import VISEMES, MouthTrack
from talkhead_core.types import FloatArray

__all__ = ["described", "hand_truth", "truth_arrays"]


def truth_arrays(figure: Figure, poses: list[HeadPose], faces: list[Face], motion: BodyMotion, mouth: MouthTrack) -> dict[str, np.ndarray]:
    """Pose, mesh, mouth and eyes of every frame; see :class:`talkhead_core.demo.speaker.DemoSpeaker` for the shapes."""
    mesh_cm = np.stack([figure.face_cm(face) for face in faces])
    return {
        "frame_id": np.arange(len(poses)),
        "rotation": np.stack([pose.rotation for pose in poses]).astype(np.float32),
        "translation_cm": np.stack([pose.translation_cm for pose in poses]).astype(np.float32),
        "focal_px": np.array([figure.camera.focal_px], np.float32),
        "shape_cm": figure.mesh.expressions.neutral_cm.astype(np.float32),
        "mesh_cm": mesh_cm.astype(np.float32),
        "mouth_opening_cm": np.linalg.norm(mesh_cm[:, 13] - mesh_cm[:, 14], axis=1).astype(np.float32),
        "eye_openness": np.array([[1 - amount for amount in face.blink] for face in faces], np.float32),
        "viseme": mouth.viseme,
        "yaw_pitch_roll_deg": motion.yaw_pitch_roll_deg.astype(np.float32),
    }


def hand_truth(visits: tuple[Gesture, ...], frames: int, fps: float, size_px: int) -> tuple[np.ndarray, FloatArray]:
    """Whether the hand is on its way ``[N]`` bool, and how far its wrist moves from frame to frame ``[N]`` pixels."""
    times_s = (np.arange(frames) + 0.5) / fps
    visible, speed_px = np.zeros(frames, bool), np.zeros(frames, np.float32)
    for visit in visits:
        for frame in np.flatnonzero((times_s > visit.start_s) & (times_s < visit.end_s)):
            before, _ = hand_path(visit, times_s[frame] - 0.5 / fps)
            after, _ = hand_path(visit, times_s[frame] + 0.5 / fps)
            visible[frame], speed_px[frame] = True, float(np.linalg.norm(after - before)) * size_px
    return visible, speed_px


def described(track: Soundtrack, visits: tuple[Gesture, ...]) -> dict[str, object]:
    """What is said and when, and when the hand comes."""
    return {
        "text": track.text,
        "phonemes": [[round(p.start_s, 5), round(p.end_s, 5), p.symbol] for p in track.phonemes],
        "visemes": list(VISEMES),
        "gestures": [{"start_s": visit.start_s, "end_s": visit.end_s, "shape": visit.shape} for visit in visits],
    }

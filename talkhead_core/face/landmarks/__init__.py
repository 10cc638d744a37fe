"""Landmarkers by name."""

from __future__ import annotations

from talkhead_core.face.frame_landmarks import FrameLandmarks, Landmarker, Shots
from talkhead_core.face.landmarks.repeated_looks import look_repeatedly
from talkhead_core.face.landmarks.selection import LANDMARKERS, LandmarksConfig, build_landmarker

__all__ = [
    "LANDMARKERS",
    "FrameLandmarks",
    "Landmarker",
    "LandmarksConfig",
    "Shots",
    "build_landmarker",
    "look_repeatedly",
]

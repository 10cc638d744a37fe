"""Landmarkers by name."""

from __future__ import annotations

from talkhead_core.face.frame_landmarks import FrameLandmarks, Landmarker, Shots
from talkhead_core.face.landmarks.selection import LANDMARKERS, LandmarksConfig, build_landmarker

__all__ = ["LANDMARKERS", "FrameLandmarks", "Landmarker", "LandmarksConfig", "Shots", "build_landmarker"]

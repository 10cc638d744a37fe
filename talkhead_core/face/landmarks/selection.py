"""Choice of the landmarker: the registry and its configuration."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from talkhead_core.face.frame_landmarks import Landmarker
from talkhead_core.face.landmarks.repeated_looks import RepeatedLooks
from talkhead_core.parameters import require
from talkhead_core.registry import Registry

__all__ = ["LANDMARKERS", "LandmarksConfig", "build_landmarker"]


@dataclass(frozen=True, kw_only=True)
class LandmarksConfig:
    """How faces are found.

    Args:
        landmarker: a name of ``LANDMARKERS``.
        min_detection_confidence: below it a frame has no face, in (0, 1).
        min_tracking_confidence: below it the face is searched for anew, in (0, 1).
        follow: look for a frame's face where the frame before had it, which is smoother; otherwise every frame is searched by
            itself, and its points do not depend on other frames.
        looks: at each frame, slightly moved, turned and scaled; points are their mean, and no face is followed where there are several.
        weights: path of the weight file for the landmarkers that need one.
    """

    landmarker: str = "mediapipe_face_mesh"
    min_detection_confidence: float = 0.5
    min_tracking_confidence: float = 0.5
    follow: bool = True
    looks: int = 1
    weights: str | None = None

    def __post_init__(self) -> None:
        for name in ("min_detection_confidence", "min_tracking_confidence"):
            require(0.0 < getattr(self, name) < 1.0, f"{name} must be between 0 and 1, not {getattr(self, name)}")
        require(self.looks >= 1, f"looks must be at least 1, not {self.looks}")


LANDMARKERS: Registry[Callable[[LandmarksConfig], Landmarker]] = Registry(
    "landmarker",
    {
        "mediapipe_face_mesh": "talkhead_core.face.landmarks.mediapipe_face_mesh:MediaPipeFaceMesh",
        "face_landmarker": "talkhead_core.face.landmarks.face_landmarker:FaceLandmarkerTask",
        "fan": "talkhead_core.face.landmarks.fan:Fan",
    },
)


def build_landmarker(config: LandmarksConfig) -> Landmarker:
    """The landmarker that ``config`` names.

    Raises:
        ParameterError: no such landmarker.
        NotAvailableError: its package or weights are missing.
    """
    if config.looks == 1:
        return LANDMARKERS.get(config.landmarker)(config)
    return RepeatedLooks(LANDMARKERS.get(config.landmarker)(replace(config, follow=False)), config.looks)

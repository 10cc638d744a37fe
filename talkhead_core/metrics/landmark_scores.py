"""The per-frame columns that come from landmarks of reference and render."""

from __future__ import annotations

import numpy as np

from talkhead_core.metrics.lip_sync import landmark_distance_percent, landmark_distance_px512, mouth_opening
from talkhead_core.metrics.motion import eye_opening, jitter_px512
from talkhead_core.types import FloatArray

__all__ = ["landmark_columns"]


def landmark_columns(reference_px: FloatArray, rendered_px: FloatArray, size_px: int) -> dict[str, np.ndarray]:
    """Columns ``[frames]``; NaN where the face was not found in the video that a column is about.

    Args:
        reference_px: ``[frames, 468 or more, 2 or more]`` in pixels of a frame of ``size_px``, NaN rows without a face.
        rendered_px: as ``reference_px``, found by the same landmarker in the same way.
        size_px: side of the frame that the pixels belong to.
    """
    return {
        "lmd_px512": landmark_distance_px512(reference_px, rendered_px, size_px),
        "lmd_percent": landmark_distance_percent(reference_px, rendered_px),
        "lmd_uncentred_px512": landmark_distance_px512(reference_px, rendered_px, size_px, centred=False),
        "mouth_opening": mouth_opening(rendered_px),
        "mouth_opening_reference": mouth_opening(reference_px),
        "eye_opening": eye_opening(rendered_px),
        "eye_opening_reference": eye_opening(reference_px),
        "jitter_px512": jitter_px512(rendered_px, size_px),
        "jitter_reference_px512": jitter_px512(reference_px, size_px),
    }

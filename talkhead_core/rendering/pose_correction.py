"""Small changes of tracked head poses, learned with the head: six numbers a frame."""

from __future__ import annotations

import numpy as np

from talkhead_core.face.rotations import exp_so3
from talkhead_core.types import FloatArray

__all__ = ["corrected_poses"]


def corrected_poses(rotation: FloatArray, translation_cm: FloatArray, correction: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Poses after their corrections: the head turned about its origin in the camera's axes, then shifted.

    Args:
        rotation: ``[N, 3, 3]``.
        translation_cm: ``[N, 3]``.
        correction: ``[N, 6]``: rotation vector in radians, shift in cm.

    Returns:
        Rotations ``[N, 3, 3]`` and translations ``[N, 3]``, float32.
    """
    turned = exp_so3(correction[:, :3]) @ rotation
    return turned.astype(np.float32), (translation_cm + correction[:, 3:]).astype(np.float32)

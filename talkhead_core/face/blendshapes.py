"""ARKit-style blendshape coefficients, as MediaPipe's FaceLandmarker gives them."""

from __future__ import annotations

import numpy as np

from talkhead_core.errors import InputError

__all__ = ["BLENDSHAPE_NAMES", "UPPER_FACE_BLENDSHAPES", "upper_face_coefficients"]

BLENDSHAPE_NAMES = (
    "_neutral", "browDownLeft", "browDownRight", "browInnerUp", "browOuterUpLeft", "browOuterUpRight", "cheekPuff", "cheekSquintLeft",
    "cheekSquintRight", "eyeBlinkLeft", "eyeBlinkRight", "eyeLookDownLeft", "eyeLookDownRight", "eyeLookInLeft", "eyeLookInRight",
    "eyeLookOutLeft", "eyeLookOutRight", "eyeLookUpLeft", "eyeLookUpRight", "eyeSquintLeft", "eyeSquintRight", "eyeWideLeft",
    "eyeWideRight", "jawForward", "jawLeft", "jawOpen", "jawRight", "mouthClose", "mouthDimpleLeft", "mouthDimpleRight",
    "mouthFrownLeft", "mouthFrownRight", "mouthFunnel", "mouthLeft", "mouthLowerDownLeft", "mouthLowerDownRight", "mouthPressLeft",
    "mouthPressRight", "mouthPucker", "mouthRight", "mouthRollLower", "mouthRollUpper", "mouthShrugLower", "mouthShrugUpper",
    "mouthSmileLeft", "mouthSmileRight", "mouthStretchLeft", "mouthStretchRight", "mouthUpperUpLeft", "mouthUpperUpRight",
    "noseSneerLeft", "noseSneerRight",
)  # fmt: skip
"""The 52 scores, in the order of the arrays; left is the person's left."""

UPPER_FACE_BLENDSHAPES = (
    "browDownLeft", "browDownRight", "browInnerUp", "browOuterUpLeft", "browOuterUpRight", "eyeBlinkLeft", "eyeBlinkRight",
)  # fmt: skip
"""What drives the upper face (SyncTalk, Peng et al., CVPR 2024, section 3.2: seven coefficients)."""


def upper_face_coefficients(landmarks: dict[str, np.ndarray]) -> np.ndarray:
    """The seven coefficients ``[N, 7]`` float32 in [0, 1], NaN in frames without a face.

    Args:
        landmarks: the arrays of ``landmarks.safetensors``.

    Raises:
        InputError: the landmarker gave no blendshapes.
    """
    if "blendshapes" not in landmarks:
        raise InputError(
            "track_head.expression.source is 'blendshapes', and the landmarks hold none; set landmarks: "
            "{landmarker: face_landmarker, weights: weights/face_landmarker.task}"
        )
    columns = [BLENDSHAPE_NAMES.index(name) for name in UPPER_FACE_BLENDSHAPES]
    return landmarks["blendshapes"][:, columns].astype(np.float32)

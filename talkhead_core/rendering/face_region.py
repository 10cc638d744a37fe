"""Where the face is seen: the region that is pasted onto a recorded frame in the ``portrait`` protocol."""

from __future__ import annotations

import cv2
import numpy as np

from talkhead_core.face.mesh_topology import FACE_OVAL
from talkhead_core.rendering.head_shell import HeadShell
from talkhead_core.types import Camera, FloatArray

__all__ = ["face_region"]

_SUBPIXEL_BITS = 4


def face_region(
    shell: HeadShell, camera: Camera, rotation: FloatArray, translation_cm: FloatArray, codes: FloatArray, feather_px: float
) -> FloatArray:
    """Weight of the rendered face ``[height, width, 1]`` in [0, 1]: 1 inside the face oval, soft within ``feather_px`` of its edge.

    The oval is that of the posed model, so that nothing of the frame that is pasted onto is used.

    Args:
        shell: of the speaker.
        camera: of the frame.
        rotation: ``[3, 3]`` head to camera.
        translation_cm: ``[3]``.
        codes: the shell's codes of the frame.
        feather_px: width of the soft edge, inside the oval.
    """
    oval = shell.displaced(codes)[list(FACE_OVAL)] @ rotation.T + translation_cm
    # pixel centres lie at .5 in our convention and at integers in OpenCV's
    pixels = np.round((camera.project(oval) - 0.5) * 2**_SUBPIXEL_BITS).astype(np.int32)
    mask = np.zeros((camera.height, camera.width), np.uint8)
    cv2.fillConvexPoly(mask, cv2.convexHull(pixels), (1,), shift=_SUBPIXEL_BITS)
    distance = cv2.distanceTransform(np.pad(mask, 1, mode="edge"), cv2.DIST_L2, 5)[1:-1, 1:-1]
    return np.asarray(np.clip(distance / feather_px, 0.0, 1.0)[..., None], dtype=np.float32)

"""Where the face is seen, and where clothes are: what of a render is pasted onto a recorded frame, in evaluation and in dubs."""

from __future__ import annotations

import cv2
import numpy as np

from talkhead_core.face.mesh_topology import CHEEKS, FACE_OVAL, JAW, LIPS
from talkhead_core.media.mask_morphology import grown
from talkhead_core.rendering.head_shell import HeadShell
from talkhead_core.types import Camera, FloatArray, Label

__all__ = ["clothes_region", "face_region", "speaking_region"]

_SUBPIXEL_BITS = 4
_LOWER_FACE = sorted({*LIPS, *JAW, *CHEEKS})
_NOSE_TIP, _CHIN = 4, 152
_BELOW_THE_CHIN = 0.3  # of the way from the tip of the nose to the chin: further than a jaw drops


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
    pixels = _projected(shell.displaced(codes)[list(FACE_OVAL)], camera, rotation, translation_cm)
    return _soft_hull(pixels, camera, feather_px)


def speaking_region(
    shell: HeadShell,
    camera: Camera,
    rotation: FloatArray,
    translation_cm: FloatArray,
    codes: FloatArray,
    recorded_cm: FloatArray,
    feather_px: float,
) -> FloatArray:
    """Weight ``[height, width, 1]`` in [0, 1] of what other words change: the lower face and what its jaw hides or shows.

    It holds the lower face as it is driven and as it was recorded, both extended below the chin, or one chin would show below the other.

    Args:
        shell: of the speaker.
        camera: of the frame.
        rotation: ``[3, 3]`` head to camera.
        translation_cm: ``[3]``.
        codes: the shell's codes of the frame.
        recorded_cm: the tracked mesh ``[V, 3]`` in the recorded frame that plays around.
        feather_px: width of the soft edge, inside.
    """
    parts = [_projected(mesh[_LOWER_FACE], camera, rotation, translation_cm) for mesh in (shell.displaced(codes), recorded_cm)]
    nose, chin = _projected(recorded_cm[[_NOSE_TIP, _CHIN]], camera, rotation, translation_cm)
    pixels = np.concatenate(parts)
    return _soft_hull(np.concatenate([pixels, pixels + _BELOW_THE_CHIN * (chin - nose)]), camera, feather_px)


def clothes_region(labels: np.ndarray, face: FloatArray, feather_px: float) -> FloatArray:
    """Weight ``[height, width, 1]`` in [0, 1] of the recorded clothes that a head which is rendered over them leaves as they are.

    A head region reaches below the chin, where collar and lapels lie that do not turn with the head. They stay the recording's, but
    for the place that the driven face takes.

    Args:
        labels: ``[height, width]`` of :class:`talkhead_core.types.Label`, of the recorded frame that plays around.
        face: ``[height, width, 1]``, the :func:`face_region` as driven.
        feather_px: how far from the driven face clothes begin, and how wide their soft edge is, inside them.
    """
    clothes = (labels == Label.TORSO) & ~grown(face[..., 0] > 0, feather_px)
    return _soft(clothes.astype(np.uint8), feather_px)


def _projected(points_cm: FloatArray, camera: Camera, rotation: FloatArray, translation_cm: FloatArray) -> FloatArray:
    return camera.project(points_cm @ rotation.T + translation_cm)


def _soft_hull(pixels: FloatArray, camera: Camera, feather_px: float) -> FloatArray:
    # pixel centres lie at .5 in our convention and at integers in OpenCV's
    corners = np.round((pixels - 0.5) * 2**_SUBPIXEL_BITS).astype(np.int32)
    mask = np.zeros((camera.height, camera.width), np.uint8)
    cv2.fillConvexPoly(mask, cv2.convexHull(corners), (1,), shift=_SUBPIXEL_BITS)
    return _soft(mask, feather_px)


def _soft(mask: np.ndarray, feather_px: float) -> FloatArray:
    distance = cv2.distanceTransform(np.pad(mask, 1, mode="edge"), cv2.DIST_L2, 5)[1:-1, 1:-1]
    return np.asarray(np.clip(distance / feather_px, 0.0, 1.0)[..., None], dtype=np.float32)

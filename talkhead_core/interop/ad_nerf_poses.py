"""Head poses as the AD-NeRF family writes them.

``transform_matrix`` is camera-to-world in the frame of the head, ``[R^T | -R^T t]`` for a head-to-camera pose ``R, t``; the camera
looks down -Z with y up, as talkhead's does. Lengths are metres.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from talkhead_core.errors import InputError
from talkhead_core.face.head_poses import HeadPoses
from talkhead_core.types import FloatArray

__all__ = ["euler_angles", "poses_of_transforms", "transforms_document"]

_CM_A_METRE = 100.0
_HELD_OUT = 11
"""The last eleventh of the frames is for validation."""


def transforms_document(poses: HeadPoses) -> tuple[dict[str, Any], dict[str, Any]]:
    """The content of ``transforms_train.json`` and ``transforms_val.json``: the first 10/11 of the posed frames, and the rest."""
    inverse = poses.rotation.swapaxes(-1, -2)
    matrices = np.tile(np.eye(4), (len(poses.frame_id), 1, 1))
    matrices[:, :3, :3] = inverse
    matrices[:, :3, 3] = -np.einsum("nij,nj->ni", inverse, poses.translation_cm / _CM_A_METRE)
    frames = [
        {"img_id": int(number), "aud_id": int(number), "transform_matrix": matrix.tolist()}
        for number, matrix in zip(poses.frame_id, matrices, strict=True)
    ]
    # h and w beside cx and cy: the family's loaders take int(cx) * 2 where they are missing, which fails on odd sizes
    camera = {"focal_len": poses.focal_px, "cx": poses.width / 2, "cy": poses.height / 2, "w": poses.width, "h": poses.height}
    first_held_out = len(frames) * (_HELD_OUT - 1) // _HELD_OUT
    return {**camera, "frames": frames[:first_held_out]}, {**camera, "frames": frames[first_held_out:]}


def poses_of_transforms(documents: list[dict[str, Any]], *, width: int, height: int, where: str) -> HeadPoses:
    """The poses of one or both of the files, by frame number.

    Args:
        documents: their contents.
        width: of the images, pixels.
        height: of the images, pixels.
        where: the folder, for error messages.

    Raises:
        InputError: a key is missing, a matrix is no pose, a frame stands twice, or the camera's axis misses the image's middle.
    """
    try:
        frames = {int(frame["img_id"]): np.array(frame["transform_matrix"], float) for part in documents for frame in part["frames"]}
        numbers = np.array(sorted(frames), np.int64)
        count = sum(len(part["frames"]) for part in documents)
        focal, centre = float(documents[0]["focal_len"]), (float(documents[0]["cx"]), float(documents[0]["cy"]))
    except (LookupError, TypeError, ValueError, OverflowError) as error:
        raise InputError(
            f"{where}: the transforms lack focal_len, cx, cy or frames with img_id and transform_matrix ({error!r})"
        ) from error
    if not frames:
        raise InputError(f"{where}: the transforms hold no frame")
    if count != len(frames):
        raise InputError(f"{where}: the transforms name a frame twice; export the dataset again")
    # the family computes cx and cy as w // 2 and h // 2 in places
    if not (abs(centre[0] - width / 2) <= 0.51 and abs(centre[1] - height / 2) <= 0.51):  # NaN is nowhere
        raise InputError(
            f"{where}: the camera's centre {centre} is not the middle of the {width} x {height} images; "
            "crop them around it before the import"
        )
    misshapen = [number for number, matrix in frames.items() if matrix.shape not in ((4, 4), (3, 4)) or not np.isfinite(matrix).all()]
    if misshapen or not focal > 0 or not np.isfinite(focal) or numbers[0] < 0:
        wrong = (
            f"the transform_matrix of frame {misshapen[0]} is not 4 x 4 numbers" if misshapen else "focal_len or an img_id is out of range"
        )
        raise InputError(f"{where}: {wrong}; export the dataset again")
    matrices = np.stack([frames[int(number)][:3] for number in numbers])
    to_world = matrices[:, :, :3]
    skewed = np.abs(to_world @ to_world.swapaxes(-1, -2) - np.eye(3)).max(axis=(1, 2)) > 1e-2
    if skewed.any() or (np.linalg.det(to_world) < 0).any():
        raise InputError(f"{where}: the transform_matrix of frame {numbers[np.argmax(skewed)]} is no rotation and shift")
    rotation = to_world.swapaxes(-1, -2)
    return HeadPoses(
        frame_id=numbers,
        rotation=rotation,
        translation_cm=-np.einsum("nij,nj->ni", rotation, matrices[:, :, 3]) * _CM_A_METRE,
        focal_px=focal,
        width=width,
        height=height,
    )


def euler_angles(rotation: FloatArray) -> FloatArray:
    """Angles ``(theta, phi, psi)`` ``[N, 3]`` in radians with ``R = Rx(theta) Ry(phi) Rz(-psi)``, as ``track_params.pt`` holds them."""
    phi = np.arcsin(np.clip(rotation[:, 0, 2], -1.0, 1.0))
    theta = np.arctan2(-rotation[:, 1, 2], rotation[:, 2, 2])
    psi = np.arctan2(rotation[:, 0, 1], rotation[:, 0, 0])
    return np.stack([theta, phi, psi], axis=1)

"""The conventions that every part shares, written down once.

Frames
    A *frame id* is the index of a frame in ``clip.mkv``, from 0. Every row of every artifact carries its frame id;
    rows are joined by id, never by position. Frame ``i`` is shown during ``[i / fps, (i + 1) / fps)``.

Pixels
    ``u`` runs right, ``v`` runs down, the centre of the first pixel is ``(0.5, 0.5)``; images are ``uint8`` RGB
    ``[height, width, 3]``. Landmarks are in pixels of the clip.

Camera (that of the AD-NeRF family)
    x right, y up, looking down -Z, so that a point in front of the camera has ``Z < 0``::

        u = -f X / Z + cx        v = f Y / Z + cy        cx = width / 2, cy = height / 2

Head
    The head frame has x to the image's right for a frontal face (the person's left), y up, z out of the face towards
    the camera, in centimetres; a frontal head has ``R = I``. A pose takes head to camera:
    ``X_camera = R @ X_head + t``. The scale is fixed by taking the outer eye corners 9.0 cm apart.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Protocol

import numpy as np
import numpy.typing as npt

__all__ = ["OUTER_EYE_DISTANCE_CM", "Camera", "FloatArray", "FrameRows", "Image", "Label"]

FloatArray = npt.NDArray[np.floating]
Image = npt.NDArray[np.uint8]


class FrameRows(Protocol):
    """Consecutive frames' rows, which may be made only when they are asked for; an array is one."""

    def __len__(self) -> int: ...

    def __getitem__(self, frames: slice, /) -> FloatArray: ...


OUTER_EYE_DISTANCE_CM = 9.0
"""Outer eye corner to outer eye corner; the adult mean is about 9 cm. Sets the scale of every length in cm."""


class Label(IntEnum):
    """What a pixel of ``labels.mkv`` shows."""

    BACKGROUND = 0
    TORSO = 1
    NECK = 2
    HEAD = 3
    HANDS = 4


@dataclass(frozen=True, kw_only=True)
class Camera:
    """A pinhole camera with its principal point at the image centre.

    Args:
        focal_px: focal length in pixels of an image of this size.
        width: image width in pixels.
        height: image height in pixels.
    """

    focal_px: float
    width: int
    height: int

    def resized(self, width: int, height: int) -> Camera:
        """The same camera for an image scaled to ``width`` x ``height`` (same aspect)."""
        return Camera(focal_px=self.focal_px * width / self.width, width=width, height=height)

    def project(self, points_cm: FloatArray) -> FloatArray:
        """Camera-frame points ``[..., 3]`` in cm to pixels ``[..., 2]``."""
        x, y, z = points_cm[..., 0], points_cm[..., 1], points_cm[..., 2]
        u = -self.focal_px * x / z + self.width / 2
        v = self.focal_px * y / z + self.height / 2
        return np.stack([u, v], axis=-1)

    def directions(self, pixels: FloatArray) -> FloatArray:
        """Pixels ``[..., 2]`` to camera-frame ray directions ``[..., 3]`` with ``z = -1`` (not normalised)."""
        x = (pixels[..., 0] - self.width / 2) / self.focal_px
        y = -(pixels[..., 1] - self.height / 2) / self.focal_px
        return np.stack([x, y, -np.ones_like(x)], axis=-1)

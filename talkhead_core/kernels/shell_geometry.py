"""What the sampling kernels read: the shell's maps and the camera of many frames."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

__all__ = ["DEPTH_SCALE_CM", "ShellGeometry"]

DEPTH_SCALE_CM = 1.0 / 1500.0
"""Maps are stored as int16 in this unit: a range of +-21 cm in steps of 7 micrometres."""


@dataclass(frozen=True, kw_only=True)
class ShellGeometry:
    """Maps and poses of ``frames`` frames, all tensors on one device.

    Args:
        maps: ``[frames, map_px, map_px, 5]`` int16 in units of ``DEPTH_SCALE_CM``: depth relative to ``depth_origin_cm``, half
            thickness, displacement x, y, z.
        depth_origin_cm: ``[frames]``.
        inverse_rotation: ``[frames, 3, 3]`` camera to head.
        camera_centre_cm: ``[frames, 3]`` the camera in the head frame.
        centre_cm: ``[3]``, centre of the canonical box.
        half_extent_cm: half its side.
        focal_px: at ``size_px``.
        size_px: side of the image.
    """

    maps: Tensor
    depth_origin_cm: Tensor
    inverse_rotation: Tensor
    camera_centre_cm: Tensor
    centre_cm: Tensor
    half_extent_cm: float
    focal_px: float
    size_px: int

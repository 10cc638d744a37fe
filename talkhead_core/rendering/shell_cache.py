"""The shell's maps of many frames in the compact form that the sampling kernels read."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import torch
from torch import Tensor

from talkhead_core.kernels import ShellGeometry, select_kernel, shell_kernels
from talkhead_core.kernels.shell_geometry import DEPTH_SCALE_CM
from talkhead_core.progress import Progress, silent
from talkhead_core.rendering.head_shell import MAP_CHANNELS, HeadShell, ShellMaps
from talkhead_core.types import Camera, FloatArray

__all__ = ["ShellCache"]


class ShellCache:
    """Maps and poses of ``frames`` frames; rows are in the order given.

    Args:
        shell: the person's shell.
        camera: for the images that are sampled.
        rotation: ``[frames, 3, 3]``.
        translation_cm: ``[frames, 3]``.
        lip_codes: ``[frames, codes]``.
        progress: listener.
        device: where rays are sampled.
    """

    def __init__(
        self,
        shell: HeadShell,
        camera: Camera,
        rotation: FloatArray,
        translation_cm: FloatArray,
        lip_codes: FloatArray,
        progress: Progress = silent,
        device: torch.device | str = "cpu",
    ) -> None:
        count, side = len(rotation), shell.config.map_px
        self.shell, self.camera, self.device = shell, camera, torch.device(device)
        self.covered = np.empty((count, side, side), dtype=bool)
        depth_origin_cm = -translation_cm[:, 2].astype(np.float32)
        packed = np.empty((count, side, side, len(MAP_CHANNELS)), dtype=np.int16)
        for row in range(count):
            maps = shell.maps(rotation[row], translation_cm[row], lip_codes[row], camera)
            packed[row], self.covered[row] = _packed(maps, depth_origin_cm[row]), maps.covered
            progress(row + 1, count, "shell")
        self.geometry = ShellGeometry(
            maps=torch.from_numpy(packed).to(self.device),
            **self._of_poses(rotation, translation_cm),
            centre_cm=torch.from_numpy(np.array(shell.centre_cm, dtype=np.float32)).to(self.device),
            half_extent_cm=shell.half_extent_cm,
            focal_px=camera.focal_px,
            size_px=camera.width,
        )

    def set_poses(self, rotation: FloatArray, translation_cm: FloatArray) -> None:
        """Use these poses for the rays; maps stay, which small refinements of a pose allow."""
        poses: dict[str, Any] = dict(self._of_poses(rotation, translation_cm))
        self.geometry = dataclasses.replace(self.geometry, **poses)

    def points(self, row: Tensor, pixel: Tensor, jitter: Tensor) -> tuple[Tensor, Tensor]:
        """Canonical sample positions ``[3, rays * samples]`` and steps ``[rays]`` cm; see ``kernels.shell_torch``."""
        _, kernel = select_kernel(shell_kernels, "auto", self.device.type)
        return kernel(self.geometry, row, pixel, jitter)  # type: ignore[no-any-return]

    def directions(self) -> FloatArray:
        """Unit vector from the head to the camera in the head frame, ``[frames, 3]``."""
        centre = self.geometry.camera_centre_cm.cpu().numpy()
        return centre / np.linalg.norm(centre, axis=1, keepdims=True)  # type: ignore[no-any-return]

    def _of_poses(self, rotation: FloatArray, translation_cm: FloatArray) -> dict[str, Tensor]:
        inverse = np.ascontiguousarray(rotation.transpose(0, 2, 1), dtype=np.float32)
        centre = np.einsum("nij,nj->ni", inverse, -translation_cm).astype(np.float32)
        origin = -translation_cm[:, 2].astype(np.float32)
        arrays = {"inverse_rotation": inverse, "camera_centre_cm": centre, "depth_origin_cm": origin}
        return {name: torch.from_numpy(array).to(self.device) for name, array in arrays.items()}


def _packed(maps: ShellMaps, depth_origin_cm: float) -> np.ndarray:
    values = maps.values.copy()
    values[..., 0] -= depth_origin_cm
    return np.clip(np.rint(values / DEPTH_SCALE_CM), -32768, 32767).astype(np.int16)

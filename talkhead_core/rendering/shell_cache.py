"""The shell's maps of many frames in the compact form that the sampling kernel reads."""

from __future__ import annotations

import numpy as np

from talkhead_core.kernels.shell_numba import DEPTH_SCALE_CM, shell_points
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
    """

    def __init__(
        self,
        shell: HeadShell,
        camera: Camera,
        rotation: FloatArray,
        translation_cm: FloatArray,
        lip_codes: FloatArray,
        progress: Progress = silent,
    ) -> None:
        count, side = len(rotation), shell.config.map_px
        self.shell, self.camera = shell, camera
        self.maps = np.empty((count, side, side, len(MAP_CHANNELS)), dtype=np.int16)
        self.covered = np.empty((count, side, side), dtype=bool)
        self.set_poses(rotation, translation_cm)
        for row in range(count):
            maps = shell.maps(rotation[row], translation_cm[row], lip_codes[row], camera)
            self.maps[row], self.covered[row] = self._packed(maps, row), maps.covered
            progress(row + 1, count, "shell")

    def set_poses(self, rotation: FloatArray, translation_cm: FloatArray) -> None:
        """Use these poses for the rays; maps stay, which small refinements of a pose allow."""
        self.inverse_rotation = np.ascontiguousarray(rotation.transpose(0, 2, 1), dtype=np.float32)
        self.camera_centre_cm = np.einsum("nij,nj->ni", self.inverse_rotation, -translation_cm).astype(np.float32)
        self.depth_origin_cm = np.ascontiguousarray(-translation_cm[:, 2], dtype=np.float32)

    def points(self, row: np.ndarray, pixel: FloatArray, jitter: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Canonical sample positions ``[3, rays * samples]`` and steps ``[rays]`` cm; see ``shell_points``."""
        return shell_points(
            self.maps, self.depth_origin_cm, self.inverse_rotation, self.camera_centre_cm, row, pixel, jitter,
            self.camera.focal_px, self.camera.width, self.shell.centre_cm, self.shell.half_extent_cm,
        )  # fmt: skip

    def directions(self) -> FloatArray:
        """Unit vector from the head to the camera in the head frame, ``[frames, 3]``."""
        return self.camera_centre_cm / np.linalg.norm(self.camera_centre_cm, axis=1, keepdims=True)

    def _packed(self, maps: ShellMaps, row: int) -> np.ndarray:
        values = maps.values.copy()
        values[..., 0] -= self.depth_origin_cm[row]
        return np.clip(np.rint(values / DEPTH_SCALE_CM), -32768, 32767).astype(np.int16)

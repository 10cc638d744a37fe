"""Head poses that come with a recording, instead of being found in it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from talkhead_core.errors import FootageError
from talkhead_core.face.source_frames import source_frames
from talkhead_core.media.attachments import attached_file

__all__ = ["POSES_FILE", "HeadPoses", "attached_poses"]

POSES_FILE = "head_poses.safetensors"
"""The name under which a Matroska video carries its poses."""


@dataclass(frozen=True, kw_only=True, eq=False)
class HeadPoses:
    """Poses of some frames of a video, in the camera convention of :mod:`talkhead_core.types`.

    The head frame may be any that is fixed to the head, at any scale: tracking finds what takes it to talkhead's own.

    Args:
        frame_id: ``[K]`` int64, ascending; frames without a face are left out.
        rotation: ``[K, 3, 3]`` head to camera.
        translation_cm: ``[K, 3]`` head to camera.
        focal_px: for an image of ``width`` x ``height``.
        width: pixels.
        height: pixels.
    """

    frame_id: np.ndarray
    rotation: np.ndarray
    translation_cm: np.ndarray
    focal_px: float
    width: int
    height: int

    def to_bytes(self) -> bytes:
        """As a safetensors file."""
        arrays = {name: np.ascontiguousarray(getattr(self, name)) for name in ("frame_id", "rotation", "translation_cm")}
        camera = np.array([self.focal_px, self.width, self.height], np.float64)
        return save({**arrays, "focal_width_height_px": camera})

    @classmethod
    def from_bytes(cls, content: bytes) -> HeadPoses:
        """What :meth:`to_bytes` gave.

        Raises:
            ValueError: it is something else.
        """
        try:
            arrays = load(content)
            focal, width, height = arrays.pop("focal_width_height_px")
            poses = cls(**arrays, focal_px=float(focal), width=int(width), height=int(height))
        except (SafetensorError, KeyError, TypeError, OverflowError) as error:
            raise ValueError(f"not head poses ({error})") from error
        poses._check()
        return poses

    def _check(self) -> None:
        """Raise ``ValueError`` unless everything has the shape and the range that it must have."""
        count = len(self.frame_id) if self.frame_id.ndim == 1 else 0
        shapes = (self.rotation.shape, self.translation_cm.shape)
        if not count or shapes != ((count, 3, 3), (count, 3)) or not np.issubdtype(self.frame_id.dtype, np.integer):
            raise ValueError(f"not head poses (shapes {self.frame_id.shape}, {shapes[0]}, {shapes[1]})")
        values = np.concatenate([self.rotation.ravel(), self.translation_cm.ravel(), [self.focal_px]])
        if not np.isfinite(values).all() or min(self.focal_px, self.width, self.height) <= 0 or self.frame_id[0] < 0:
            raise ValueError("not head poses (values out of range)")
        if (np.diff(self.frame_id) <= 0).any():
            raise ValueError("not head poses (frames out of order)")

    def of_clip(self, ingest: dict[str, Any]) -> HeadPoses:
        """The same poses by the frames and in the pixels of the clip that was cut from the video.

        Args:
            ingest: the content of ``ingest.json``; the crop is centred on the image, as ``ingest`` cuts it where poses are attached.
        """
        source = source_frames(ingest)
        row = np.clip(np.searchsorted(self.frame_id, source), 0, len(self.frame_id) - 1)
        frames = np.flatnonzero(self.frame_id[row] == source)
        clip, scale = ingest["clip"], ingest["clip"]["width"] / ingest["crop"]["size"]
        return replace(
            self,
            frame_id=frames.astype(np.int64),
            rotation=self.rotation[row[frames]],
            translation_cm=self.translation_cm[row[frames]],
            focal_px=self.focal_px * scale,
            width=int(clip["width"]),
            height=int(clip["height"]),
        )


def attached_poses(video: str | Path) -> HeadPoses | None:
    """The poses that a video carries; None where it carries none.

    Raises:
        FootageError: not a video, or what it carries are no poses.
    """
    content = attached_file(video, POSES_FILE)
    if content is None:
        return None
    try:
        return HeadPoses.from_bytes(content)
    except ValueError as error:
        raise FootageError(video, f"carries {POSES_FILE}, which holds no poses ({error})", "import the dataset again") from error

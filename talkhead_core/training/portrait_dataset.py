"""Everything about one speaker that training and rendering read, at the size they work at."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np

from talkhead_core.artifacts import read_arrays
from talkhead_core.errors import InputError
from talkhead_core.types import Camera, FloatArray

__all__ = ["HELD_OUT_FRACTION", "HeadTrack", "PortraitDataset", "held_out_start", "load_track", "resized_frames"]

HELD_OUT_FRACTION = 11
"""The last eleventh of the frames is never trained on (the AD-NeRF family's split)."""


def held_out_start(frames: int) -> int:
    """First held-out frame id of a clip of ``frames`` frames."""
    return frames * (HELD_OUT_FRACTION - 1) // HELD_OUT_FRACTION


@dataclass(frozen=True, kw_only=True)
class HeadTrack:
    """What ``track_head`` found; every array's rows are the frame ids from 0.

    Args:
        rotation: ``[N, 3, 3]`` head to camera.
        translation_cm: ``[N, 3]``.
        focal_px: for a clip of ``clip_px``.
        clip_px: side of the clip.
        shape_cm: ``[468, 3]``.
        mesh_cm: ``[N, 468, 3]``.
        expression: ``[N, E]``.
        tracked: ``[N]`` bool, false where the pose is interpolated.
        shot: ``[N]``.
    """

    rotation: FloatArray
    translation_cm: FloatArray
    focal_px: float
    clip_px: int
    shape_cm: FloatArray
    mesh_cm: FloatArray
    expression: FloatArray
    tracked: np.ndarray
    shot: np.ndarray

    def camera(self, size_px: int) -> Camera:
        """The camera for frames scaled to ``size_px``."""
        return Camera(focal_px=self.focal_px, width=self.clip_px, height=self.clip_px).resized(size_px, size_px)


def load_track(path: str | Path, clip_px: int) -> HeadTrack:
    """Read ``track.safetensors``.

    Raises:
        InputError: its rows are not the frame ids 0 to N - 1.
    """
    arrays = read_arrays(path)
    order = np.argsort(arrays["frame_id"])
    if not np.array_equal(arrays["frame_id"][order], np.arange(len(order))):
        raise InputError(f"{path}: frame ids are not 0 to {len(order) - 1}; rerun track_head")
    return HeadTrack(
        rotation=arrays["rotation"][order].astype(np.float32),
        translation_cm=arrays["translation_cm"][order].astype(np.float32),
        focal_px=float(arrays["focal_px"][0]),
        clip_px=clip_px,
        shape_cm=arrays["shape_cm"].astype(np.float32),
        mesh_cm=arrays["mesh_cm"][order].astype(np.float32),
        expression=np.nan_to_num(arrays["expression"][order].astype(np.float32)),
        tracked=arrays["status"][order] == 0,
        shot=arrays["shot"][order],
    )


def resized_frames(path: str | Path, size_px: int) -> Iterator[np.ndarray]:
    """Stream a square video's RGB frames scaled to ``size_px`` by area."""
    from talkhead_core.media.video_reader import read_frames  # here, so that a packed speaker trains where nothing reads videos

    for frame in read_frames(path):
        yield frame if frame.shape[0] == size_px else cv2.resize(frame, (size_px, size_px), interpolation=cv2.INTER_AREA)


@dataclass(frozen=True, kw_only=True)
class PortraitDataset:
    """A speaker's frames and track in memory; row ``i`` is frame id ``i``.

    Args:
        frames: ``[N, size, size, 3]`` uint8, the clip.
        labels: ``[N, size, size]`` uint8, ``types.Label``.
        plate: ``[size, size, 3]`` uint8, the clean background.
        track: the head track.
        fps: of the clip.
    """

    frames: np.ndarray
    labels: np.ndarray
    plate: np.ndarray
    track: HeadTrack
    fps: Fraction

    @property
    def size_px(self) -> int:
        """Side of the frames."""
        return int(self.frames.shape[1])

    @property
    def train_ids(self) -> np.ndarray:
        """Frame ids that may be trained on: before the held-out part, pose tracked."""
        ids = np.arange(held_out_start(len(self.frames)))
        return ids[self.track.tracked[ids]]

    @property
    def held_out_ids(self) -> np.ndarray:
        """Frame ids never trained on."""
        return np.arange(held_out_start(len(self.frames)), len(self.frames))

    @classmethod
    def load(cls, *, clip: Path, labels: Path, plate: Path, track: Path, size_px: int) -> PortraitDataset:
        """Read the stages' artifacts.

        Raises:
            InputError: they disagree in their number of frames.
        """
        from talkhead_core.media.video_reader import read_gray_frames, video_info

        info = video_info(clip)
        frames = np.empty((info.frames, size_px, size_px, 3), dtype=np.uint8)
        count = 0
        for count, frame in enumerate(resized_frames(clip, size_px), start=1):
            frames[count - 1] = frame
        label_frames = np.stack([_nearest(label, size_px) for label in read_gray_frames(labels)])
        head = load_track(track, info.width)
        lengths = {"clip": count, "labels": len(label_frames), "track": len(head.rotation)}
        if len(set(lengths.values())) != 1:
            raise InputError(f"the stages disagree in their number of frames ({lengths}); run 'dvc repro' to bring them up to date")
        background = cv2.cvtColor(cv2.imread(str(plate)), cv2.COLOR_BGR2RGB)
        background = cv2.resize(background, (size_px, size_px), interpolation=cv2.INTER_AREA)
        return cls(frames=frames, labels=label_frames, plate=background, track=head, fps=info.fps)


def _nearest(label: np.ndarray, size_px: int) -> np.ndarray:
    return label if label.shape[0] == size_px else cv2.resize(label, (size_px, size_px), interpolation=cv2.INTER_NEAREST)

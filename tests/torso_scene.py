"""A textured torso below a head, a textured object that crosses it, and the truth about both; and a workspace for mask stages."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np

from talkhead_core.artifacts import write_arrays, write_json
from talkhead_core.media.video_writer import VideoWriter
from talkhead_core.types import Label
from tasks.stage import Stage

__all__ = ["TorsoScene", "intersection_over_union", "mask_stage", "texture", "write_video"]


def texture(height: int, width: int, seed: int, low: int = 20, high: int = 235, grain_px: int = 8) -> np.ndarray:
    """Smooth colour noise ``[height, width, 3]`` uint8."""
    noise = np.random.default_rng(seed).uniform(low, high, (max(2, height // grain_px), max(2, width // grain_px), 3))
    return np.clip(cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC), 0, 255).astype(np.uint8)


class TorsoScene:
    """Background above, torso below row ``height // 3``, a head in its middle, and an object where it is asked for."""

    def __init__(self, height: int = 161, width: int = 175, object_px: int = 46, seed: int = 0) -> None:
        self.height, self.width, self.object_px = height, width, object_px
        self.clean = texture(height, width, seed)
        self.object = texture(object_px, object_px, seed + 1, low=150, high=255)
        self.labels = np.full((height, width), Label.BACKGROUND, np.uint8)
        self.labels[height // 3 :] = Label.TORSO
        self.head = np.s_[height // 12 : height // 3, width // 2 - 20 : width // 2 + 20]
        self.labels[self.head] = Label.HEAD

    def frame(self, corner: tuple[int, int] | None = None, sway_px: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
        """Image and where the object is; its ``corner`` is (row, column), the rest sways sideways."""
        motion = np.array([[1, 0, sway_px], [0, 1, 0]], np.float32)
        image = cv2.warpAffine(self.clean, motion, (self.width, self.height), borderMode=cv2.BORDER_REFLECT)
        truth = np.zeros((self.height, self.width), bool)
        if corner is not None:
            row, column = corner
            rows, columns = (slice(max(0, first), max(0, first + self.object_px)) for first in (row, column))
            truth[rows, columns] = True
            shape = truth[rows, columns].shape
            image[rows, columns] = self.object[max(0, -row) :, max(0, -column) :][: shape[0], : shape[1]]
        return image, truth


def intersection_over_union(one: np.ndarray, other: np.ndarray) -> float:
    return float((one & other).sum() / max(1, (one | other).sum()))


def write_video(path: Path, frames: Sequence[np.ndarray], encoding: str) -> None:
    height, width = frames[0].shape[:2]
    with VideoWriter(path, width=width, height=height, fps=Fraction(25), encoding=encoding) as video:  # type: ignore[arg-type]
        for frame in frames:
            video.write(frame)


def mask_stage(
    root: Path,
    name: str,
    frames: Sequence[np.ndarray],
    *,
    labels: Sequence[np.ndarray] | None = None,
    transient: Sequence[np.ndarray] | None = None,
    points: np.ndarray | None = None,
    shots: list[list[int]] | None = None,
    parameters: dict[str, object] | None = None,
) -> Stage:
    """A workspace in ``root`` that holds what the stage ``name`` reads."""
    write_json(root / "params.yaml", {name: parameters or {}, "profiles": {"smoke": {}}, "configs": {"talkhead": {}}})
    write_json(root / "speakers.yaml", {"speakers": {"ann": {"video": "ann.mp4", "profile": "smoke", "config": "talkhead"}}})
    data = root / "data" / "ann"
    data.mkdir(parents=True, exist_ok=True)
    for folder in ("ingest", "segment", "flow_masks", "landmarks"):
        (data / folder).mkdir(exist_ok=True)
    write_video(data / "ingest" / "clip.mkv", frames, "near_lossless")
    write_json(data / "ingest" / "ingest.json", {"shots": shots or [[0, len(frames)]]})
    if labels is not None:
        write_video(data / "segment" / "labels.mkv", labels, "lossless_gray")
    if transient is not None:
        write_video(data / "flow_masks" / "transient.mkv", transient, "lossless_gray")
    if points is not None:
        known = np.isfinite(points).all(axis=(1, 2))
        rows = {"frame_id": np.arange(len(points)), "points": points, "detected": known, "confidence": known.astype(np.float32)}
        write_arrays(data / "landmarks" / "landmarks.safetensors", rows)
    return Stage(name=name, speaker="ann", root=root)

"""FAN (Bulat and Tzimiropoulos 2017): the 68-point landmarks of the literature, through the package face-alignment.

Its points are not a mesh: use it for LMD figures that compare with papers, not for head tracking.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from talkhead_core.errors import NotAvailableError
from talkhead_core.face.frame_landmarks import FrameLandmarks, Shots
from talkhead_core.face.landmarks.selection import LandmarksConfig
from talkhead_core.types import Image

__all__ = ["Fan"]

_FILES = ("2DFAN4-cd938726ad.zip", "s3fd-619a316812.pth")


class Fan:
    """68 points per frame (z is 0), each frame on its own.

    Args:
        config: ``weights`` is the folder that holds the network and its face detector.

    Raises:
        NotAvailableError: the package or a weight file is missing.
    """

    point_count = 68

    def __init__(self, config: LandmarksConfig) -> None:
        folder = Path(config.weights) if config.weights else None
        missing = [name for name in _FILES if folder is None or not (folder / name).is_file()]
        if missing:
            raise NotAvailableError(
                f"landmarker 'fan' needs {' and '.join(missing)} in {folder or 'the weights folder'}; run 'talkhead models pull fan'"
            )
        self._network = _network(folder)

    def detect(self, frames: Iterable[Image], shots: Shots) -> Iterator[FrameLandmarks]:
        """Yield one row per frame, in order."""
        for frame_id, frame in enumerate(frames):
            found, scores, _ = self._network.get_landmarks_from_image(frame, return_landmark_score=True) or (None, None, None)
            if not found:
                yield FrameLandmarks.missing(frame_id, self.point_count)
                continue
            largest = int(np.argmax([np.ptp(face, axis=0).prod() for face in found]))
            points = np.zeros((self.point_count, 3), np.float32)
            points[:, :2] = found[largest][:, :2]
            yield FrameLandmarks(frame_id, points, True, float(np.clip(np.mean(scores[largest]), 0.0, 1.0)))


def _network(folder: Path | None) -> Any:
    try:
        import face_alignment
    except ImportError as error:
        raise NotAvailableError("landmarker 'fan' needs the package face-alignment; run 'pip install talkhead[fan]'") from error
    assert folder is not None
    import torch

    torch.hub.set_dir(str(folder))
    return face_alignment.FaceAlignment(face_alignment.LandmarksType.TWO_D, device="cpu")

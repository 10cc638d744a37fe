"""FAN (Bulat and Tzimiropoulos 2017): the 68-point landmarks of the literature, through the package face-alignment.

Its points are not a mesh: they are for LMD figures that compare with papers, not for head tracking.
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

__all__ = ["FAN_FILE", "S3FD_FILE", "Fan"]

FAN_FILE = "2DFAN4-11f355bf06.pth.tar"
S3FD_FILE = "s3fd-619a316812.pth"


class Fan:
    """68 points per frame (z is 0), each frame on its own.

    Args:
        config: ``weights`` is the folder that holds ``FAN_FILE`` and the face detector ``S3FD_FILE``.

    Raises:
        NotAvailableError: the package or a weight file is missing.
    """

    point_count = 68

    def __init__(self, config: LandmarksConfig) -> None:
        folder = Path(config.weights) if config.weights else Path()
        missing = [name for name in (FAN_FILE, S3FD_FILE) if config.weights is None or not (folder / name).is_file()]
        if missing:
            place = config.weights or "the weights folder"
            raise NotAvailableError(f"landmarker 'fan' needs {' and '.join(missing)} in {place}; run 'talkhead models pull fan'")
        self._network = _network(folder)

    def detect(self, frames: Iterable[Image], shots: Shots) -> Iterator[FrameLandmarks]:
        """Yield one row per frame, in order."""
        for frame_id, frame in enumerate(frames):
            faces, scores, _ = self._network.get_landmarks_from_image(frame, return_landmark_score=True)
            if not faces:
                yield FrameLandmarks.missing(frame_id, self.point_count)
                continue
            largest = int(np.argmax([np.ptp(face, axis=0).prod() for face in faces]))
            points = np.zeros((self.point_count, 3), np.float32)
            points[:, :2] = faces[largest][:, :2]
            yield FrameLandmarks(frame_id, points, True, float(np.clip(np.mean(scores[largest]), 0.0, 1.0)))


def _network(folder: Path) -> Any:
    """The package's network with its weights from ``folder``: left to itself it would download them."""
    try:
        import torch
        from face_alignment import FaceAlignment, LandmarksType
        from face_alignment.models import FAN
    except ImportError as error:
        raise NotAvailableError("landmarker 'fan' needs the package face-alignment; run \"pip install -e '.[fan]'\"") from error

    class LocalFaceAlignment(FaceAlignment):  # type: ignore[misc]
        def _load_native(self, network_name: str, network_size: int, device: str, dtype: Any) -> Any:
            network = FAN(network_size)
            network.load_state_dict(torch.load(folder / FAN_FILE, map_location=device, weights_only=True))
            return network.to(device, dtype=dtype).eval()

    return LocalFaceAlignment(
        LandmarksType.TWO_D, device="cpu", face_detector_kwargs={"path_to_detector": str(folder / S3FD_FILE)}, compile=False
    )

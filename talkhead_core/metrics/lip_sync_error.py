"""LSE-D and LSE-C (Prajwal et al., A lip sync expert is all you need, ACM MM 2020): how far and how surely sound and lips agree.

Both rest on SyncNet's distances between 0.2 s of sound and five frames of the face, at offsets of up to 15 frames: LSE-D is the smallest
mean distance, LSE-C by how much it lies below the median. Faces are cut out by S3FD's boxes as SyncNet's authors do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from scipy.signal import medfilt

from talkhead_core.types import FloatArray, Image
from talkhead_core.weights.official_file import fill, official_file, read_state

if TYPE_CHECKING:
    from talkhead_core.metrics.face_detector_network import FaceDetector
    from talkhead_core.metrics.syncnet_network import SyncNet

__all__ = ["FACE_DETECTOR_FILE", "SYNCNET_FILE", "LipSyncError", "cut_faces", "face_boxes", "load_lip_sync_error", "sync_figures"]

SYNCNET_FILE, FACE_DETECTOR_FILE = "syncnet_v2.model", "sfd_face.pth"

_DETECTION_SCALE = 0.25
_DETECTION_MEAN = (123.0, 117.0, 104.0)
_LEAST_SCORE = 0.9
_SMOOTHING_FRAMES = 13
_MARGIN = 0.4
_PADDING_LEVEL = 110
_FACE_PX, _WINDOW, _COLUMNS_A_FRAME = 224, 5, 4
_SHIFT = 15
_EPSILON = 1e-6  # of torch's pairwise distance
_BATCH = 8


class LipSyncError:
    """SyncNet with its face detector.

    Args:
        syncnet: with the official weights.
        detector: with the official weights.
    """

    def __init__(self, syncnet: SyncNet, detector: FaceDetector) -> None:
        self._syncnet, self._detector = syncnet, detector

    def figures(self, frames: Callable[[], Iterable[Image]], cepstra: FloatArray) -> dict[str, float]:
        """``lse_d``, ``lse_c`` and ``lse_offset_frames`` of one video; nothing where it is too short or shows no face.

        Args:
            frames: opens the video: RGB ``[H, W, 3]`` at 25 a second; called twice.
            cepstra: of its sound, ``[columns, 13]``, 100 a second (``python_speech_features``'s).
        """
        lips = self.lips(frames)
        return {} if lips is None else self.agreement(lips, cepstra)

    def lips(self, frames: Callable[[], Iterable[Image]]) -> FloatArray | None:
        """The embedded lips of one video, ``[windows, 1024]``, for any number of sounds; None where no face is shown.

        Args:
            frames: as for :meth:`figures`.
        """
        boxes = face_boxes(frames(), self._detector)
        return None if boxes is None else self._lips(cut_faces(frames(), boxes))

    def agreement(self, lips: FloatArray, cepstra: FloatArray) -> dict[str, float]:
        """:meth:`figures` of embedded lips and a sound."""
        count = min(len(lips), (len(cepstra) - _COLUMNS_A_FRAME * _WINDOW) // _COLUMNS_A_FRAME + 1)
        if count < 1:
            return {}
        return sync_figures(lips[:count], self._sound(cepstra, count))

    def _lips(self, faces: Iterator[Image]) -> FloatArray:
        import torch

        window: list[Image] = []
        waiting: list[np.ndarray] = []
        found: list[FloatArray] = [np.zeros((0, 1024), np.float32)]

        def embed() -> None:
            batch = torch.from_numpy(np.stack(waiting)).float()
            with torch.inference_mode():
                found.append(self._syncnet.lips(batch).numpy())
            waiting.clear()

        for face in faces:
            window = [*window[-(_WINDOW - 1) :], face[..., ::-1]]
            if len(window) == _WINDOW:
                waiting.append(np.stack(window).transpose(3, 0, 1, 2))
            if len(waiting) == _BATCH:
                embed()
        if waiting:
            embed()
        return np.concatenate(found)

    def _sound(self, cepstra: FloatArray, count: int) -> FloatArray:
        import torch

        width = _COLUMNS_A_FRAME * _WINDOW
        windows = np.stack([cepstra[_COLUMNS_A_FRAME * i : _COLUMNS_A_FRAME * i + width].T for i in range(count)])
        with torch.inference_mode():
            return self._syncnet.sound(torch.from_numpy(np.ascontiguousarray(windows, np.float32))[:, None]).numpy()


def face_boxes(frames: Iterable[Image], detector: FaceDetector) -> FloatArray | None:
    """The largest face of every frame, smoothed over 13 frames: centre and half the longer side ``[frames, 3]`` in pixels.

    Frames without one are interpolated; None where no frame has one.
    """
    import torch

    rows: list[tuple[float, float, float]] = []
    for frame in frames:
        small = cv2.resize(frame, None, fx=_DETECTION_SCALE, fy=_DETECTION_SCALE, interpolation=cv2.INTER_LINEAR)
        values = np.ascontiguousarray((small.astype(np.float32) - np.array(_DETECTION_MEAN, np.float32)).transpose(2, 0, 1))
        with torch.inference_mode():
            boxes, scores = detector(torch.from_numpy(values)[None])
        sure = boxes[scores > _LEAST_SCORE].numpy() / _DETECTION_SCALE
        if not len(sure):
            rows.append((np.nan, np.nan, np.nan))
            continue
        left, top, right, bottom = sure[np.argmax((sure[:, 2] - sure[:, 0]) * (sure[:, 3] - sure[:, 1]))]
        rows.append(((left + right) / 2, (top + bottom) / 2, max(right - left, bottom - top) / 2))
    table = np.array(rows).reshape(-1, 3)
    known = np.isfinite(table[:, 0])
    if not known.any():
        return None
    filled = np.stack([np.interp(np.arange(len(table)), np.flatnonzero(known), column[known]) for column in table.T], axis=1)
    if len(filled) < _SMOOTHING_FRAMES:
        return filled
    return np.stack([medfilt(column, _SMOOTHING_FRAMES) for column in filled.T], axis=1)


def cut_faces(frames: Iterable[Image], boxes: FloatArray) -> Iterator[Image]:
    """Each frame's face, RGB ``[224, 224, 3]``: the box with 40 % more at the sides and 80 % below, gray beyond the image."""
    for frame, (x, y, half) in zip(frames, boxes, strict=False):
        border = int(half * (1 + 2 * _MARGIN))
        padded = np.pad(frame, ((border, border), (border, border), (0, 0)), constant_values=_PADDING_LEVEL)
        x, y = x + border, y + border
        rows = slice(int(y - half), int(y + half * (1 + 2 * _MARGIN)))
        columns = slice(int(x - half * (1 + _MARGIN)), int(x + half * (1 + _MARGIN)))
        yield np.asarray(cv2.resize(padded[rows, columns], (_FACE_PX, _FACE_PX)), np.uint8)


def sync_figures(lips: FloatArray, sound: FloatArray) -> dict[str, float]:
    """``lse_d``, ``lse_c`` and the offset in frames (positive: the sound is late) of two tracks of embeddings ``[frames, channels]``."""
    padded = np.pad(sound, ((_SHIFT, _SHIFT), (0, 0)))
    distance = np.stack(
        [np.linalg.norm(lips - padded[shift : shift + len(lips)] + _EPSILON, axis=1).mean() for shift in range(2 * _SHIFT + 1)]
    )
    least = float(distance.min())
    return {"lse_d": least, "lse_c": float(np.median(distance)) - least, "lse_offset_frames": float(distance.argmin() - _SHIFT)}


def load_lip_sync_error(weights: Path) -> LipSyncError:
    """SyncNet and S3FD with the official weights.

    Args:
        weights: the folder of the weight store.

    Raises:
        NotAvailableError: a file is missing or is another network's.
    """
    files = [official_file("metric 'lse'", weights, (name,), "syncnet") for name in (SYNCNET_FILE, FACE_DETECTOR_FILE)]
    states = [read_state(path, "syncnet") for path in files]
    from talkhead_core.metrics.face_detector_network import FaceDetector
    from talkhead_core.metrics.syncnet_network import SyncNet

    syncnet, detector = SyncNet(), FaceDetector()
    fill(syncnet, states[0], files[0], "SyncNet", "syncnet")
    fill(detector, states[1], files[1], "SyncNet's face detector", "syncnet")
    return LipSyncError(syncnet, detector)

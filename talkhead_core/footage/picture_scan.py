"""One pass over the source's frames: cuts, light, faces, hands, and how the face moves."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import av
import numpy as np

from talkhead_core.errors import FootageError
from talkhead_core.face.face_motion import FaceMotion, FaceMotionMeter
from talkhead_core.face.face_scan import FaceBox, FaceDetector
from talkhead_core.media.container import open_video, video_stream
from talkhead_core.media.mediapipe_solutions import mediapipe_package
from talkhead_core.media.probe import VideoProbe
from talkhead_core.media.shots import LUMA_THUMBNAIL_PX, ShotDetector
from talkhead_core.media.shown_frame import ShownFrame
from talkhead_core.progress import Progress, silent
from talkhead_core.types import FloatArray, Image

__all__ = ["HandSample", "PictureScan", "SampledFaces", "scan_picture"]

_FACE_SAMPLES_PER_S = 4.0
_HAND_SAMPLES_PER_S = 2.0
_MESH_MAX_FPS = 30.0
_THOROUGH_EVERY = 4  # samples: once a second the whole frame is searched for a face that the quick look missed
_DETECTION_PX = 640
_WAITING = 8
_MESH_PX = 192
_MESH_MARGIN = 0.35  # of the face's height, on each side
_MESH_DRIFT = 0.2  # of the face's height


@dataclass(frozen=True, kw_only=True)
class SampledFaces:
    """The faces of one sampled frame, the largest first; boxes in pixels of the source as shown."""

    frame: int
    boxes: list[FaceBox]


@dataclass(frozen=True, kw_only=True)
class HandSample:
    """The hands in one sampled frame."""

    frame: int
    centres: list[tuple[float, float]]  # px of the source as shown


@dataclass(frozen=True, kw_only=True, eq=False)
class PictureScan:
    """What one pass over the picture saw.

    Args:
        decoded: frames that could be decoded.
        damaged: decoded frames that the decoder marks as damaged.
        shots: half-open ranges of source frames without a cut.
        change: ``[decoded]`` mean luma change against the frame before, levels.
        light_change: ``[decoded]`` change of the light against the frame before (median over blocks), levels.
        brightness: ``[decoded]`` mean luma, 0 to 255 whatever the stored range.
        faces: one entry a sampled frame.
        hands: one entry a sampled frame.
        motion: the speaker's mouth, eyes and pose.
    """

    decoded: int
    damaged: int
    shots: list[tuple[int, int]]
    change: FloatArray
    light_change: FloatArray
    brightness: FloatArray
    faces: list[SampledFaces]
    hands: list[HandSample]
    motion: FaceMotion


def scan_picture(probe: VideoProbe, progress: Progress = silent) -> PictureScan:
    """Decode every frame once.

    Raises:
        FootageError: decoding stops before the last frame.
    """
    index = 0
    with open_video(probe.path) as container, _Eyes(probe) as eyes:
        stream = video_stream(container)
        assert stream is not None
        stream.thread_type = "AUTO"
        try:
            for index, frame in enumerate(container.decode(stream), start=1):
                eyes.see(index - 1, frame)
                progress(min(index, probe.frames), probe.frames)
        except av.FFmpegError as error:
            raise FootageError(
                probe.path, f"cannot be decoded beyond frame {index} ({error.strerror or error})", "export it again", f"frame {index}"
            ) from error
        return eyes.scan()


class _Eyes:
    """Collects what is seen, frame by frame; mesh and hands are looked for in a second thread."""

    def __init__(self, probe: VideoProbe) -> None:
        self._probe = probe
        self._damaged = 0
        self._brightness: list[float] = []
        self._faces: list[SampledFaces] = []
        self._hands: dict[int, list[tuple[float, float]]] = {}
        self._measures: dict[int, FloatArray | None] = {}
        fps = float(probe.fps)
        self._face_step = max(1, round(fps / _FACE_SAMPLES_PER_S))
        self._hand_step = max(1, round(fps / _HAND_SAMPLES_PER_S))
        self._mesh_step = max(1, int(np.ceil(fps / _MESH_MAX_FPS - 0.01)))
        self._shots = ShotDetector()
        self._stored: tuple[int, int] | None = None
        self._speaker: FaceBox | None = None
        self._window: tuple[float, float, float, float] | None = None
        self._under_way: deque[Future[None]] = deque()

    def __enter__(self) -> _Eyes:
        self._detector, self._meter = FaceDetector().__enter__(), FaceMotionMeter().__enter__()
        self._hand_detector: Any = mediapipe_package().solutions.hands.Hands(
            static_image_mode=True, max_num_hands=2, model_complexity=0, min_detection_confidence=0.6
        )
        self._second_thread = ThreadPoolExecutor(1)
        return self

    def __exit__(self, *failure: Any) -> None:
        self._second_thread.shutdown(cancel_futures=True)
        self._detector.__exit__(*failure)
        self._meter.__exit__(*failure)
        self._hand_detector.close()

    def see(self, index: int, frame: av.VideoFrame) -> None:
        self._stored = self._stored or (frame.width, frame.height)
        if (frame.width, frame.height) != self._stored:
            raise FootageError(self._probe.path, "changes its size on the way", "export it at one size", f"frame {index}")
        self._damaged += bool(frame.is_corrupt)
        shown = ShownFrame(frame, self._probe)
        luma = shown.luma(LUMA_THUMBNAIL_PX)
        self._shots.add(luma)
        level = float(luma.mean())
        self._brightness.append(level if self._probe.full_range else max(level - 16, 0.0) * 255 / 219)
        if index % self._face_step == 0:
            self._find_faces(index, shown)
        if self._speaker is None:
            return
        if index % self._mesh_step == 0:
            self._measure(index, shown, self._speaker)
        if index % self._hand_step == self._hand_step // 2:
            self._later(self._find_hands, index, shown.picture(_DETECTION_PX))

    def scan(self) -> PictureScan:
        while self._under_way:
            self._under_way.popleft().result()
        frames = np.arange(0, len(self._brightness), self._mesh_step)
        unknown = np.full(5, np.nan)
        found = [self._measures.get(int(frame)) for frame in frames]
        rows = np.asarray([unknown if measured is None else measured for measured in found]).reshape(-1, 5)
        return PictureScan(
            decoded=len(self._brightness),
            damaged=self._damaged,
            shots=self._shots.shots(),
            change=self._shots.changes(),
            light_change=self._shots.light_changes(),
            brightness=np.asarray(self._brightness),
            faces=self._faces,
            hands=[HandSample(frame=frame, centres=centres) for frame, centres in sorted(self._hands.items())],
            motion=FaceMotion(frame=frames, mouth_opening=rows[:, 0], eye_opening=rows[:, 1], pose_deg=rows[:, 2:]),
        )

    def _later(self, work: Callable[[int, Image], None], index: int, picture: Image) -> None:
        """In the second thread, in order; a few pictures wait at most, so that memory stays flat."""
        while len(self._under_way) >= _WAITING:
            self._under_way.popleft().result()
        self._under_way.append(self._second_thread.submit(work, index, picture))

    def _find_faces(self, index: int, shown: ShownFrame) -> None:
        picture = shown.picture(_DETECTION_PX)
        scale = self._probe.width / picture.shape[1]
        boxes = [box.scaled(scale) for box in self._detector.find(picture)]
        if not boxes and len(self._faces) % _THOROUGH_EVERY == 0:
            boxes = self._detector.find(shown.picture(), thorough=True)
        self._faces.append(SampledFaces(frame=index, boxes=boxes))
        if boxes:
            self._speaker = boxes[0]

    def _measure(self, index: int, shown: ShownFrame, box: FaceBox) -> None:
        wanted = self._around(box)
        if self._window is None or np.abs(np.subtract(wanted, self._window)).max() > _MESH_DRIFT * box.height:
            self._window = wanted
            restart = True
        else:
            restart = False
        x, y, width, height = self._window
        scale = _MESH_PX / max(width, height)
        picture = shown.region(x, y, width, height, round(width * scale), round(height * scale))
        self._later(self._measure_anew if restart else self._measure_on, index, picture)

    def _measure_anew(self, index: int, picture: Image) -> None:
        self._meter.restart()
        self._measure_on(index, picture)

    def _measure_on(self, index: int, picture: Image) -> None:
        self._measures[index] = self._meter.measure(picture)

    def _find_hands(self, index: int, picture: Image) -> None:
        found = self._hand_detector.process(picture).multi_hand_landmarks or []
        centres = [np.mean([(point.x, point.y) for point in hand.landmark], axis=0) for hand in found]
        self._hands[index] = [(float(u) * self._probe.width, float(v) * self._probe.height) for u, v in centres]

    def _around(self, box: FaceBox) -> tuple[float, float, float, float]:
        """``x, y, width, height`` of the face and its margin, inside the frame."""
        (u, v), reach = box.centre, (0.5 + _MESH_MARGIN) * box.height
        left, right = max(0.0, u - reach), min(float(self._probe.width), u + reach)
        top, bottom = max(0.0, v - reach), min(float(self._probe.height), v + reach)
        return left, top, max(right - left, 2.0), max(bottom - top, 2.0)

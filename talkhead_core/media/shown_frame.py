"""A decoded source frame as it is shown, of which small parts can be had cheaply."""

from __future__ import annotations

import av
import cv2
import numpy as np
import numpy.typing as npt

from talkhead_core.media.frame_pixels import plane
from talkhead_core.media.probe import VideoProbe
from talkhead_core.types import Image

__all__ = ["ShownFrame"]

_DIRECT = ("yuv420p", "yuvj420p", "yuv422p", "yuvj422p", "yuv444p", "yuvj444p")


class ShownFrame:
    """For looking, not for keeping: colours are near enough (BT.601, no tone mapping), fields are not taken apart.

    Args:
        frame: as decoded.
        probe: how the source is shown.
    """

    def __init__(self, frame: av.VideoFrame, probe: VideoProbe) -> None:
        self._frame = frame if frame.format.name in _DIRECT else frame.reformat(format="yuv420p")
        self._probe = probe

    def luma(self, shorter_px: int) -> npt.NDArray[np.uint8]:
        """Small luma picture ``[h, w]`` as stored (not turned), its shorter side ``shorter_px``."""
        scale = shorter_px / min(self._frame.width, self._frame.height)
        return _resized(plane(self._frame, 0), round(self._frame.width * scale), round(self._frame.height * scale))

    def picture(self, longest_px: int | None = None) -> Image:
        """The whole frame, RGB ``[h, w, 3]``, at most ``longest_px`` on its longer side."""
        width, height = self._probe.width, self._probe.height
        scale = min(1.0, (longest_px or max(width, height)) / max(width, height))
        return self.region(0, 0, width, height, round(width * scale), round(height * scale))

    def region(self, x: float, y: float, width: float, height: float, to_width: int, to_height: int) -> Image:
        """The part ``[x, x + width) x [y, y + height)`` (px as shown, inside the frame), RGB ``[to_height, to_width, 3]``."""
        turn = self._probe.rotation_deg
        left, top, right, bottom = self._stored(x, y, x + width, y + height)
        size = (to_width, to_height) if turn % 180 == 0 else (to_height, to_width)
        planes: list[npt.NDArray[np.uint8]] = []
        for index in range(3):
            part = plane(self._frame, index)
            across, down = part.shape[1] / self._frame.width, part.shape[0] / self._frame.height
            rows = slice(int(top * down), max(int(np.ceil(bottom * down)), int(top * down) + 1))
            columns = slice(int(left * across), max(int(np.ceil(right * across)), int(left * across) + 1))
            planes.append(_resized(part[rows, columns], *size))
        if not self._probe.full_range:
            planes[0] = np.asarray(cv2.convertScaleAbs(np.maximum(planes[0], 16) - 16, alpha=255 / 219), np.uint8)
        # OpenCV orders chroma red first.
        picture = cv2.cvtColor(cv2.merge([planes[0], planes[2], planes[1]]), cv2.COLOR_YCrCb2RGB)
        return np.ascontiguousarray(np.rot90(picture, k=-turn // 90), np.uint8) if turn else np.asarray(picture, np.uint8)

    def _stored(self, x0: float, y0: float, x1: float, y1: float) -> tuple[float, float, float, float]:
        """A box as shown, in stored pixels."""
        width, height, turn = self._probe.width, self._probe.height, self._probe.rotation_deg
        if turn == 90:
            x0, y0, x1, y1 = y0, width - x1, y1, width - x0
        elif turn == 180:
            x0, y0, x1, y1 = width - x1, height - y1, width - x0, height - y0
        elif turn == 270:
            x0, y0, x1, y1 = height - y1, x0, height - y0, x1
        upright = turn % 180 == 0
        across = self._frame.width / (width if upright else height)
        down = self._frame.height / (height if upright else width)
        return x0 * across, y0 * down, x1 * across, y1 * down


def _resized(part: npt.NDArray[np.uint8], width: int, height: int) -> npt.NDArray[np.uint8]:
    shrinks = width <= part.shape[1] and height <= part.shape[0]
    return np.asarray(cv2.resize(part, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR), np.uint8)

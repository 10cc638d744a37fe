"""Fast marching inpainting (Telea, An Image Inpainting Technique Based on the Fast Marching Method, 2004)."""

from __future__ import annotations

from collections.abc import Iterable

import cv2
import numpy as np

from talkhead_core.inpaint.inpainter import Filled
from talkhead_core.types import Image

__all__ = ["TeleaInpainter"]

_RADIUS_PX = 3


class TeleaInpainter:
    """Continues the colours around the hole into it; knows nothing of other frames."""

    def __init__(self, weights: str | None = None) -> None:
        del weights  # it has none

    def begin_shot(self, samples: Iterable[tuple[Image, np.ndarray]]) -> None:
        """Nothing to learn."""

    def __call__(self, image: Image, hole: np.ndarray) -> Filled:
        """Fill the boolean ``hole`` ``[H, W]`` of an RGB frame ``[H, W, 3]``."""
        nothing = np.zeros(hole.shape, bool)
        rows, columns = np.flatnonzero(hole.any(axis=1)), np.flatnonzero(hole.any(axis=0))
        if not len(rows):
            return Filled(image=image, recovered=nothing)
        margin = 4 * _RADIUS_PX
        box = np.s_[max(0, rows[0] - margin) : rows[-1] + margin + 1, max(0, columns[0] - margin) : columns[-1] + margin + 1]
        result = image.copy()
        result[box] = cv2.inpaint(np.ascontiguousarray(image[box]), hole[box].astype(np.uint8), _RADIUS_PX, cv2.INPAINT_TELEA)
        return Filled(image=result, recovered=nothing, invented_by="telea")

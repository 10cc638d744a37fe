"""How the body moved between two frames behind what hides it: the motion around a hole, continued into it."""

from __future__ import annotations

import cv2
import numpy as np

from talkhead_core.media.mask_morphology import grown
from talkhead_core.media.push_pull import filled_smoothly
from talkhead_core.types import FloatArray, Image

__all__ = ["SurroundingMotion", "moved"]

_WORKING_SIZE_PX = 256
_BLEED_PX = 4  # at the working size: how far what is in the hole falsifies the flow around it


class SurroundingMotion:
    """Dense inverse search flow (medium preset) outside a hole, its smooth continuation inside."""

    def __init__(self) -> None:
        self._flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)

    def __call__(self, target: Image, source: Image, hole: np.ndarray) -> FloatArray:
        """Where each pixel of ``target`` lies in ``source``, as displacement ``[H, W, 2]`` float32 in pixels.

        Args:
            target: RGB ``[H, W, 3]``.
            source: RGB ``[H, W, 3]``.
            hole: boolean ``[H, W]`` on the target's grid, where the flow is not to be trusted.
        """
        height, width = hole.shape
        scale = min(1.0, _WORKING_SIZE_PX / max(height, width))
        size = (max(32, round(width * scale)), max(32, round(height * scale)))
        one, two = (cv2.cvtColor(cv2.resize(image, size, interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2GRAY) for image in (target, source))
        hidden = grown(cv2.resize(hole.astype(np.float32), size, interpolation=cv2.INTER_AREA) > 0, 2)
        # The same picture in the hole of both: what hides the body would drag the flow around it along.
        flow = self._flow.calc(np.where(hidden, two, one), two, None)  # type: ignore[call-overload]
        flow = filled_smoothly(flow, ~grown(hidden, _BLEED_PX)) * np.array([width / size[0], height / size[1]], np.float32)
        return np.asarray(cv2.resize(flow, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)


def moved(source: np.ndarray, flow: FloatArray, box: tuple[slice, slice] = np.s_[:, :]) -> np.ndarray:
    """``source`` taken along ``flow``: inside ``box`` of the target's grid, each pixel's value from where it lies in ``source``."""
    height, width = flow.shape[:2]
    rows, columns = np.mgrid[box[0].indices(height)[0] : box[0].indices(height)[1], box[1].indices(width)[0] : box[1].indices(width)[1]]
    positions = (flow[box] + np.stack([columns, rows], axis=-1)).astype(np.float32)
    interpolation = cv2.INTER_CUBIC if source.ndim == 3 else cv2.INTER_LINEAR
    border = cv2.BORDER_REPLICATE if source.ndim == 3 else cv2.BORDER_CONSTANT
    return cv2.remap(source, positions, None, interpolation, borderMode=border)  # type: ignore[call-overload]

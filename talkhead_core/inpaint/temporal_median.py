"""What hands hide, recovered from the frames of the shot that show it."""

from __future__ import annotations

from collections.abc import Iterable

import cv2
import numpy as np

from talkhead_core.inpaint.inpainter import Filled, Inpainter
from talkhead_core.inpaint.lama import LamaInpainter
from talkhead_core.inpaint.surrounding_motion import SurroundingMotion, moved
from talkhead_core.inpaint.telea import TeleaInpainter
from talkhead_core.media.push_pull import filled_smoothly
from talkhead_core.types import FloatArray, Image

__all__ = ["TemporalMedianInpainter", "TemporalMedianLamaInpainter"]

# Grey levels: light changes much in brightness and little in colour; edges that miss each other change in both.
_MAX_CORRECTION, _MAX_TINT = 24.0, 8.0
_CORRECTION_SCALE = 4
_BORDER_PX = 24


class TemporalMedianInpainter:
    """Median over frames of the shot in which a pixel is not hidden, moved to where the body is now.

    Each shot has one template: the sample frame that hides least, completed by the per-pixel median of the other
    samples, all aligned to it by optical flow. A frame's hole is filled from the template moved along the flow around
    the hole, with its colour matched along the hole's border. Pixels that no sample shows are left to Telea.
    """

    def __init__(self, weights: str | None = None) -> None:
        del weights  # it has none
        self._motion = SurroundingMotion()
        self._unseen: Inpainter = TeleaInpainter()
        self._template: Image | None = None
        self._known = np.zeros((0, 0), bool)

    def begin_shot(self, samples: Iterable[tuple[Image, np.ndarray]]) -> None:
        """Build the template from ``samples``: frames with their holes, boolean ``[H, W]``."""
        frames = list(samples)
        self._template = None
        if not frames:
            return
        reference, hole = frames[int(np.argmin([np.count_nonzero(hole) for _, hole in frames]))]
        self._template, self._known = reference.copy(), ~hole
        # Every sample's hole may fall on the template's when a later frame asks for it.
        wanted = np.any([hole for _, hole in frames], axis=0)
        if not wanted.any():
            return
        rows, columns = np.nonzero(wanted)
        colours = np.zeros((len(rows), 3, len(frames)), np.uint8)
        visible = np.zeros((len(rows), len(frames)), bool)
        for index, (frame, frame_hole) in enumerate(frames):
            flow = self._motion(reference, frame, hole | frame_hole)
            colours[..., index] = moved(frame, flow)[rows, columns]
            visible[:, index] = _moved_mask(~frame_hole, flow)[rows, columns]
        median, seen = _median_of_visible(colours, visible)
        self._template[rows[seen], columns[seen]] = median[seen]
        self._known[rows, columns] = seen

    def __call__(self, image: Image, hole: np.ndarray) -> Filled:
        """Fill the boolean ``hole`` ``[H, W]`` of an RGB frame ``[H, W, 3]``."""
        if not hole.any() or self._template is None:
            return self._unseen(image, hole)
        flow = self._motion(image, self._template, hole)
        box = _box_around(hole, _BORDER_PX)
        part, part_hole = image[box], hole[box]
        known = _moved_mask(self._known, flow, box)
        source = moved(self._template, flow, box)
        recovered = part_hole & known
        matched = _matched_at_border(source, part, part_hole, known)
        result = image.copy()
        result[box] = np.where(recovered[..., None], matched, part)
        rest = np.zeros(hole.shape, bool)
        rest[box] = part_hole & ~known
        completed = self._unseen(result, rest)
        everywhere = np.zeros(hole.shape, bool)
        everywhere[box] = recovered
        return Filled(image=completed.image, recovered=everywhere, invented_by=completed.invented_by)


class TemporalMedianLamaInpainter(TemporalMedianInpainter):
    """The same, pixels that no sample shows left to LaMa.

    Args:
        weights: as :class:`talkhead_core.inpaint.lama.LamaInpainter`, which says what is raised without them.
    """

    def __init__(self, weights: str | None = None) -> None:
        super().__init__()
        self._unseen = LamaInpainter(weights)


def _box_around(hole: np.ndarray, border_px: int) -> tuple[slice, slice]:
    rows, columns = np.flatnonzero(hole.any(axis=1)), np.flatnonzero(hole.any(axis=0))
    return np.s_[max(0, rows[0] - border_px) : rows[-1] + 1 + border_px, max(0, columns[0] - border_px) : columns[-1] + 1 + border_px]


def _moved_mask(mask: np.ndarray, flow: FloatArray, box: tuple[slice, slice] = np.s_[:, :]) -> np.ndarray:
    """Where all the pixels that ``moved`` blends lie inside ``mask``."""
    return moved(mask.astype(np.uint8) * 255, flow, box) == 255


def _median_of_visible(colours: np.ndarray, visible: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Median ``[n, 3]`` over the visible of ``colours`` ``[n, 3, k]``, and which of the ``n`` have one."""
    count = visible.sum(axis=1)
    median = np.zeros(colours.shape[:2], np.uint8)
    # By the number of visible samples: a median over a fixed number is one partition, and invalid entries sort last.
    for number in np.unique(count[count > 0]):
        here = np.flatnonzero(count == number)
        values = np.where(visible[here, None, :], colours[here].astype(np.int16), 256)
        middle = np.partition(values, [(number - 1) // 2, number // 2], axis=-1)
        median[here] = (middle[..., (number - 1) // 2] + middle[..., number // 2] + 1) // 2
    return median, count > 0


def _matched_at_border(source: Image, image: Image, hole: np.ndarray, known: np.ndarray) -> FloatArray:
    """``source`` plus the smooth continuation into the hole of its difference from ``image`` along the hole's border."""
    size = (max(1, hole.shape[1] // _CORRECTION_SCALE), max(1, hole.shape[0] // _CORRECTION_SCALE))
    usable = cv2.resize((known & ~hole).astype(np.float32), size, interpolation=cv2.INTER_AREA) == 1.0
    small_source, small_image = (cv2.resize(part, size, interpolation=cv2.INTER_AREA).astype(np.float32) for part in (source, image))
    difference = small_image - small_source
    usable &= np.abs(difference).max(axis=-1) < _MAX_CORRECTION
    usable &= np.ptp(difference, axis=-1) < _MAX_TINT
    if not usable.any():
        return source.astype(np.float32)
    correction = filled_smoothly(difference, usable)
    return np.clip(source + cv2.resize(correction, (hole.shape[1], hole.shape[0]), interpolation=cv2.INTER_LINEAR), 0, 255)

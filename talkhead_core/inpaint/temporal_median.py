"""What hands hide, recovered from the frames of the shot that show it."""

from __future__ import annotations

from collections.abc import Iterable

import cv2
import numpy as np

from talkhead_core.inpaint.inpainter import Filled
from talkhead_core.inpaint.telea import TeleaInpainter
from talkhead_core.media.push_pull import filled_smoothly
from talkhead_core.types import FloatArray, Image

__all__ = ["TemporalMedianInpainter"]

_ALIGNMENT_SIZE_PX = 256
_MAX_CORRECTION = 24.0  # grey levels: light changes, not edges that miss each other


class TemporalMedianInpainter:
    """Median over frames of the shot in which a pixel is not hidden, moved to where the body is now.

    Each shot has one template: a sample frame, completed in what its hole hides by the per-pixel median of the other
    samples, all aligned to it by optical flow. Each frame's hole is filled from the template moved along the flow around
    the hole, with its colour matched along the hole's border. Pixels that no sample shows are left to Telea.
    """

    def __init__(self) -> None:
        self._flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
        self._unseen = TeleaInpainter()
        self._template: Image | None = None
        self._known = np.zeros((0, 0), bool)

    def begin_shot(self, samples: Iterable[tuple[Image, np.ndarray]]) -> None:
        """Build the template from ``samples``: frames with their holes, boolean ``[H, W]``."""
        frames = list(samples)
        self._template = None
        if not frames:
            return
        sizes = [np.count_nonzero(hole) for _, hole in frames]
        reference, hole = frames[int(np.argmin(sizes))]
        self._template, self._known = reference.copy(), ~hole
        union = np.any([hole for _, hole in frames], axis=0)
        if not union.any():
            return
        rows, columns = np.nonzero(union)
        colours = np.zeros((len(frames), len(rows), 3), np.uint8)
        valid = np.zeros((len(frames), len(rows)), bool)
        for index, (frame, frame_hole) in enumerate(frames):
            moved, visible = self._moved(frame, ~frame_hole, reference, hole | frame_hole)
            colours[index], valid[index] = moved[rows, columns], visible[rows, columns]
        median, seen = _masked_median(colours, valid)
        self._template[rows[seen], columns[seen]] = median[seen]
        self._known[rows[seen], columns[seen]] = True

    def __call__(self, image: Image, hole: np.ndarray) -> Filled:
        """Fill the boolean ``hole`` ``[H, W]`` of an RGB frame ``[H, W, 3]``."""
        if not hole.any() or self._template is None:
            return self._unseen(image, hole)
        moved, known = self._moved(self._template, self._known, image, hole)
        recovered = hole & known
        matched = _matched_at_border(moved, image, hole, known)
        result = np.where(recovered[..., None], matched, image)
        rest = hole & ~known
        if rest.any():
            result = self._unseen(result, rest).image
        return Filled(image=_feathered(image, result, hole), recovered=recovered)

    def _moved(self, source: Image, valid: np.ndarray, target: Image, hidden: np.ndarray) -> tuple[Image, np.ndarray]:
        """``source`` and its ``valid`` pixels moved onto ``target``; the motion inside ``hidden`` continues that around it."""
        height, width = hidden.shape
        scale = min(1.0, _ALIGNMENT_SIZE_PX / max(height, width))
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        small = [cv2.resize(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), size, interpolation=cv2.INTER_AREA) for image in (target, source)]
        flow = self._flow.calc(small[0], small[1], None)
        unknown = cv2.resize(hidden.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST)
        unknown = cv2.dilate(unknown, np.ones((9, 9), np.uint8)).astype(bool)
        flow = cv2.resize(filled_smoothly(flow, ~unknown), (width, height), interpolation=cv2.INTER_LINEAR)
        flow *= np.array([width / size[0], height / size[1]], np.float32)
        positions = _grid(height, width) + flow
        moved = cv2.remap(source, positions, None, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
        visible = cv2.remap(valid.astype(np.uint8) * 255, positions, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
        return moved, visible == 255


def _grid(height: int, width: int) -> FloatArray:
    columns, rows = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    return np.stack([columns, rows], axis=-1)


def _masked_median(colours: np.ndarray, valid: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Median ``[n, 3]`` over the valid of ``[k, n, 3]``, and which pixels have one ``[n]``."""
    count = valid.sum(axis=0)
    # Invalid entries sort to the end, so that the median of the first `count` is a lookup.
    ordered = np.sort(np.where(valid[..., None], colours.astype(np.int16), 256), axis=0)
    low, high = np.maximum(count - 1, 0) // 2, count // 2
    index = np.arange(len(count))
    high = np.minimum(high, len(valid) - 1)
    median = (ordered[low, index] + ordered[high, index] + 1) // 2
    return np.clip(median, 0, 255).astype(np.uint8), count > 0


def _matched_at_border(moved: Image, image: Image, hole: np.ndarray, known: np.ndarray) -> Image:
    """``moved`` plus the smooth continuation into the hole of its difference from ``image`` along the hole's border."""
    ring = cv2.dilate(hole.astype(np.uint8), np.ones((9, 9), np.uint8)).astype(bool) & ~hole & known
    if not ring.any():
        return moved
    difference = cv2.blur(image.astype(np.float32) - moved, (5, 5))
    steady = ring & (np.abs(difference).max(axis=-1) < _MAX_CORRECTION)
    if not steady.any():
        return moved
    correction = filled_smoothly(difference, steady)
    return np.clip(np.round(moved + correction), 0, 255).astype(np.uint8)


def _feathered(image: Image, filled: Image, hole: np.ndarray) -> Image:
    """``filled`` inside the hole, fading to ``image`` within two pixels of the hole's edge, inside it."""
    inner = cv2.erode(hole.astype(np.uint8), np.ones((3, 3), np.uint8)).astype(np.float32)
    weight = (cv2.blur(inner, (3, 3)) * hole)[..., None]
    return np.round(weight * filled + (1 - weight) * image).astype(np.uint8)

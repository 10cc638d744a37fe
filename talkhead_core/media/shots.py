"""Cuts, also jump cuts between two takes of the same framing."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from talkhead_core.types import FloatArray

__all__ = ["LUMA_THUMBNAIL_PX", "ShotDetector"]

LUMA_THUMBNAIL_PX = 128
"""Shorter side of the pictures that :class:`ShotDetector` looks at."""

_BLOCK_PX = 8
_NEIGHBOURS = 4
_NOISE_LEVELS = 0.5
_CHANGE_RATIO = 1.5
_CHANGED_SHARE = 0.4  # of the blocks; hard cuts of talking-head footage lie above 0.5, gestures below 0.25
_MOVING_PX = 0.05  # a frame, in the median: a still background says nothing about a jump of the person
_MIN_MOVING_BLOCKS = 20
_JERK_PX = 0.4
_JERKED_SHARE = 0.6  # of the moving blocks; jump cuts lie above 0.75, gestures and dropped frames below 0.55

_FLASH_RETURN = 0.5  # the frame after a flash differs from the frame before it by less than this share of the flash


class ShotDetector:
    """Finds cuts in a stream of small luma pictures.

    A gesture moves some blocks of the picture; a cut changes most of them at once, for one frame, by more than they
    changed just before and after. Two signs are enough, either of them: the blocks' luma changes, or (a jump cut
    between near-identical poses) the blocks' motion departs from that of the frames around. A few numbers a block and
    frame are kept, no pictures.
    """

    def __init__(self) -> None:
        self._before: npt.NDArray[np.uint8] | None = None
        self._previous: npt.NDArray[np.uint8] | None = None
        self._changes: list[npt.NDArray[np.float16]] = []
        self._motions: list[npt.NDArray[np.float16]] = []
        self._returns: list[float] = []  # change over two steps: small where a flash has passed
        self._light: list[float] = [0.0]
        self._flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)

    def add(self, luma: npt.NDArray[np.uint8]) -> None:
        """Take the next frame's luma, ``[h, w]`` uint8, its shorter side about ``LUMA_THUMBNAIL_PX``."""
        height, width = (length - length % _BLOCK_PX for length in luma.shape)
        picture = np.ascontiguousarray(luma[:height, :width])
        if self._previous is not None:
            signed = _blocks(picture.astype(np.float32) - self._previous)
            self._light.append(float(np.median(signed)))
            self._changes.append(_blocks(cv2.absdiff(picture, self._previous).astype(np.float32)))
            flow = self._flow.calc(self._previous, picture, None)  # type: ignore[call-overload]
            self._motions.append(_blocks(flow))
            self._returns.append(np.inf if self._before is None else float(cv2.absdiff(picture, self._before).mean()))
        self._before, self._previous = self._previous, picture

    def changes(self) -> FloatArray:
        """Mean luma change of each frame against the one before, ``[frames]``, levels; the first is 0."""
        return np.asarray([0.0] + [float(change.mean(dtype=np.float64)) for change in self._changes])

    def light_changes(self) -> FloatArray:
        """Median over blocks of the luma's change, ``[frames]``, levels: the light's doing, not the person's."""
        return np.asarray(self._light)

    def shots(self) -> list[tuple[int, int]]:
        """Half-open frame ranges without a cut, in order; together they hold every frame."""
        starts = [0, *self._cuts(), len(self._changes) + 1]
        return [(start, end) for start, end in zip(starts, starts[1:], strict=False) if end > start]

    def _cuts(self) -> list[int]:
        if not self._changes:
            return []
        changed = _changed_share(np.asarray(self._changes))
        jerked = _jerked_share(np.asarray(self._motions))
        change, returns = self.changes()[1:], np.asarray([*self._returns[1:], np.inf])
        flash = returns < _FLASH_RETURN * change
        return [int(index) + 1 for index in np.flatnonzero(((changed > _CHANGED_SHARE) | (jerked > _JERKED_SHARE)) & ~flash)]


def _changed_share(changes: npt.NDArray[np.float16]) -> FloatArray:
    """Share of blocks ``[steps]`` whose luma changed more than in any step around, from ``[steps, blocks]``."""
    share = np.zeros(len(changes))
    for index, change in enumerate(changes):
        before, after = changes[max(0, index - _NEIGHBOURS) : index], changes[index + 1 : index + 1 + _NEIGHBOURS]
        usual = np.concatenate([before, after]).astype(np.float32).max(axis=0, initial=0.0) + _NOISE_LEVELS
        share[index] = np.mean(change > _CHANGE_RATIO * usual)
    return share


def _jerked_share(motions: npt.NDArray[np.float16]) -> FloatArray:
    """Share of blocks ``[steps]`` whose motion leaves that of the steps around it, from ``[steps, blocks, 2]`` px."""
    share = np.zeros(len(motions))
    flow = motions.astype(np.float32)
    usual_motion = np.median(np.linalg.norm(flow, axis=-1), axis=0)
    moving = usual_motion > _MOVING_PX
    flow = flow[:, moving] if moving.sum() >= _MIN_MOVING_BLOCKS else flow
    jerks = np.zeros(flow.shape[:2], np.float32)
    jerks[1:-1] = np.linalg.norm(flow[1:-1] - (flow[:-2] + flow[2:]) / 2, axis=-1)
    for index in range(2, len(motions) - 2):
        # A jerk shows in its own step and half of it in the two beside, which are therefore left out.
        before, after = jerks[max(0, index - _NEIGHBOURS) : index - 1], jerks[index + 2 : index + 1 + _NEIGHBOURS]
        share[index] = np.mean(jerks[index] > np.concatenate([before, after]).max(axis=0, initial=0.0) + _JERK_PX)
    return share


def _blocks(values: npt.NDArray[np.float32]) -> npt.NDArray[np.float16]:
    """Block means of ``[h, w, ...]`` as ``[blocks, ...]``."""
    height, width = values.shape[:2]
    means = cv2.resize(values, (width // _BLOCK_PX, height // _BLOCK_PX), interpolation=cv2.INTER_AREA)
    return means.reshape(-1, *values.shape[2:]).astype(np.float16)

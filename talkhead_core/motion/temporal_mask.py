"""Flow-guided temporal masks: what moves in front of the torso, held while it stays (WildTalker, eq. 4)."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction

import cv2
import numpy as np

from talkhead_core.media.mask_morphology import grown, shrunk
from talkhead_core.motion.optical_flow import OPTICAL_FLOWS
from talkhead_core.motion.torso_memory import TorsoMemory
from talkhead_core.parameters import require
from talkhead_core.types import FloatArray, Image, Label

__all__ = ["FlowMaskConfig", "TemporalMask"]

_REFERENCE_SIZE_PX, _REFERENCE_FPS = 512, 25
_OUTLINE_PX = 2.5  # at the size that flow is computed on
_REACH = 0.1  # of the longer side: how far from what flow sees of an object the rest of it may lie, and how far it moves in a frame
_LOOK_BACK = 3  # frames: an object that comes in at full speed is sharp enough for flow by then


@dataclass(frozen=True, kw_only=True)
class FlowMaskConfig:
    """Thresholds and memory of the temporal mask.

    Args:
        method: optical flow back end.
        flow_size_px: the longer side of the images that flow is computed on.
        theta_px: motion beyond this is transient, in pixels a frame of a 512-pixel clip at 25 fps.
        rest_s: time constant of the decay where the torso is seen again.
        hold_s: time constant of the decay where something else than the torso stays in sight.
        weights: path of the flow's weights, where it has any.
    """

    method: str = "dis"
    flow_size_px: int = 256
    theta_px: float = 4.5
    rest_s: float = 0.08
    hold_s: float = 20.0
    weights: str | None = None

    def __post_init__(self) -> None:
        require(self.method in OPTICAL_FLOWS, f"method must be one of {', '.join(OPTICAL_FLOWS)}, not {self.method!r}")
        require(self.flow_size_px >= 32, f"flow_size_px must be at least 32, not {self.flow_size_px}")
        require(self.theta_px > 0, f"theta_px must be positive, not {self.theta_px}")
        require(0 < self.rest_s <= self.hold_s, f"0 < rest_s <= hold_s must hold, not {self.rest_s} and {self.hold_s}")


class TemporalMask:
    """M_i = max(M_(i-1) * delta_i, 1(\\|V_i\\| > theta)) over the frames of a clip (WildTalker, eq. 4).

    The paper leaves open what delta_i is. Here, per pixel: M_(i-1) is first carried along the flow, so that the mask
    moves with its object. Where the pixel looks as the torso did there before (a memory of the unmasked frames), delta_i lets
    the mask go; where it looks different, something still stands in front of the torso, and delta_i holds it; where the torso
    has not been seen yet, delta_i holds as long as there is motion. Motion is counted relative to the torso's own.

    Args:
        config: the settings.
        height: of the clip, pixels.
        width: of the clip, pixels.
        fps: of the clip.
    """

    def __init__(self, config: FlowMaskConfig, *, height: int, width: int, fps: Fraction) -> None:
        self._flow = OPTICAL_FLOWS.get(config.method)(config.weights)
        scale = min(1.0, config.flow_size_px / max(height, width))
        self._clip = (height, width)
        self._shape = (max(1, round(height * scale)), max(1, round(width * scale)))
        # Pixels a frame here to pixels a frame of a 512-pixel clip at 25 fps.
        self._speed = _REFERENCE_SIZE_PX / max(self._shape) * float(fps) / _REFERENCE_FPS
        self._theta = config.theta_px
        self._rest, self._hold = (math.exp(-1 / (float(fps) * seconds)) for seconds in (config.rest_s, config.hold_s))
        columns, rows = np.meshgrid(np.arange(self._shape[1], dtype=np.float32), np.arange(self._shape[0], dtype=np.float32))
        self._grid = np.stack([columns, rows], axis=-1)
        self.cut()

    def cut(self) -> None:
        """A new shot begins with the next frame: nothing is carried over."""
        self._previous: Image | None = None
        self._mask = np.zeros(self._shape, np.float32)
        self._foreign = self._spread = np.zeros(self._shape, bool)
        self._memory = TorsoMemory(self._shape)

    def __call__(self, image: Image, labels: np.ndarray) -> np.ndarray:
        """M_i as ``[H, W]`` uint8, 255 M_i, zero outside torso and hands; from this frame and those before it.

        Args:
            image: RGB ``[H, W, 3]``.
            labels: ``[H, W]`` of :class:`talkhead_core.types.Label`.
        """
        self._advance(image, labels)
        return self._full_size(self._seen(), labels)

    def over(self, frames: Iterable[tuple[Image, np.ndarray]], cuts: Container[int]) -> Iterator[np.ndarray]:
        """M_i of every frame of a clip, three frames behind what is read, objects found from their first frame on.

        Args:
            frames: as :meth:`__call__` takes them.
            cuts: indices of the frames that begin a shot.
        """
        waiting: deque[_Moment] = deque()
        for index, (image, labels) in enumerate(frames):
            if index in cuts:
                yield from (self._full_size(moment.mask, moment.labels) for moment in waiting)
                waiting.clear()
                self.cut()
            self._advance(image, labels)
            hands = cv2.resize(labels, (self._shape[1], self._shape[0]), interpolation=cv2.INTER_NEAREST) == Label.HANDS
            now = _Moment(labels, self._seen(), self._foreign, hands)
            found = now.found
            for earlier in reversed(waiting):
                if not earlier.extend(found, self._reach_px):
                    break
                found = earlier.found
            waiting.append(now)
            if len(waiting) > _LOOK_BACK:
                moment = waiting.popleft()
                yield self._full_size(moment.mask, moment.labels)
        yield from (self._full_size(moment.mask, moment.labels) for moment in waiting)

    def _seen(self) -> FloatArray:
        """M_i with what was seen moving only in part; the memory of the next frames does without, lest one error spreads on."""
        return np.where(self._spread, np.float32(1), self._mask)

    @property
    def _reach_px(self) -> float:
        return _REACH * max(self._shape)

    def _advance(self, image: Image, labels: np.ndarray) -> None:
        size = (self._shape[1], self._shape[0])
        small = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
        small_labels = cv2.resize(labels, size, interpolation=cv2.INTER_NEAREST)
        body = (small_labels == Label.TORSO) | (small_labels == Label.HANDS)
        if self._previous is not None:
            self._step(small, small_labels, body)
        self._memory.learn(small, (small_labels == Label.TORSO) & (self._mask < 0.1))
        self._previous = small

    def _step(self, image: Image, labels: np.ndarray, body: np.ndarray) -> None:
        assert self._previous is not None
        backward = self._backward_flow(image, body)
        carried = cv2.remap(self._mask, self._grid + backward, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)  # type: ignore[call-overload]
        drift = _drift(backward, (labels == Label.TORSO) & (carried < 0.5))
        self._memory.follow(-drift)
        relative = backward - drift
        speed = cv2.magnitude(relative[..., 0], relative[..., 1]) * np.float32(self._speed)
        unlike, known = self._memory.difference(image)
        foreign = np.where(known, unlike, np.minimum(speed / self._theta, 1))
        foreign[labels == Label.HANDS] = 1
        delta = self._rest + (self._hold - self._rest) * foreign
        # Flow bleeds from an object onto the torso around it; there, the pixel still looks like the torso.
        transient = ((speed > self._theta) & (unlike > 0.5)).astype(np.float32)
        transient = np.asarray(cv2.morphologyEx(transient, cv2.MORPH_CLOSE, np.ones((5, 5), np.uint8)), np.float32)
        # The outline of torso and head flickers and moves with the head; only a hand may reach across it.
        inside = shrunk(body, _OUTLINE_PX) | (labels == Label.HANDS)
        self._mask = np.maximum(carried * delta, transient) * inside
        self._foreign = known & (unlike > 0.5) & inside
        self._spread = _parts_seen_moving(self._foreign, transient > 0, self._reach_px)

    def _backward_flow(self, image: Image, body: np.ndarray) -> FloatArray:
        """Flow to the previous frame ``[h, w, 2]`` within a margin of the body, zero elsewhere: a portrait's torso is a part of it."""
        assert self._previous is not None
        flow = np.zeros((*self._shape, 2), np.float32)
        rows, columns = np.flatnonzero(body.any(axis=1)), np.flatnonzero(body.any(axis=0))
        if len(rows):
            top, bottom = _widened(rows, self._shape[0])
            left, right = _widened(columns, self._shape[1])
            box = np.s_[top:bottom, left:right]
            flow[box] = self._flow(np.ascontiguousarray(image[box]), np.ascontiguousarray(self._previous[box]))
        return flow

    def _full_size(self, mask: FloatArray, labels: np.ndarray) -> np.ndarray:
        levels = np.round(255 * mask).astype(np.uint8)
        full = np.asarray(cv2.resize(levels, (self._clip[1], self._clip[0]), interpolation=cv2.INTER_LINEAR))
        full[(labels != Label.TORSO) & (labels != Label.HANDS)] = 0
        return full


@dataclass
class _Moment:
    """A frame that the next ones may still tell something about; masks ``[h, w]`` at the size that flow is computed on."""

    labels: np.ndarray
    mask: FloatArray
    foreign: np.ndarray
    hands: np.ndarray

    @property
    def found(self) -> np.ndarray:
        return np.asarray((self.mask > 0.5) | self.hands)

    def extend(self, found: np.ndarray, reach_px: float) -> bool:
        """Take in what does not look like the torso near what the next frame has ``found``; whether that was anything."""
        if not found.any():
            return False
        new = self.foreign & (self.mask <= 0.5) & grown(found, reach_px)
        self.mask[new] = 1
        return bool(new.any())


def _parts_seen_moving(foreign: np.ndarray, moving: np.ndarray, reach_px: float) -> np.ndarray:
    """Parts of ``foreign [h, w]`` within reach of what moves, a third of which at least was seen ``moving``."""
    if not moving.any():
        return np.zeros(foreign.shape, bool)
    near = foreign & grown(moving, reach_px)
    count, components = cv2.connectedComponents(near.astype(np.uint8), connectivity=4)
    area, seen = (np.bincount(components[where], minlength=count) for where in (near, near & moving))
    believed = 3 * seen >= np.maximum(area, 1)
    believed[0] = False
    return np.asarray(believed[components])


def _drift(flow: FloatArray, resting: np.ndarray) -> FloatArray:
    """The torso's own motion ``[2]``: the median over what is not masked."""
    if np.count_nonzero(resting) < 0.01 * resting.size:
        return np.zeros(2, np.float32)
    return np.median(flow[resting][:: max(1, np.count_nonzero(resting) // 4096)], axis=0).astype(np.float32)


def _widened(indices: np.ndarray, size: int) -> tuple[int, int]:
    """First and last index with a margin, on a coarse raster so that the flow's own pyramid stays the same."""
    return max(0, int(indices[0]) // 16 * 16 - 16), min(size, (int(indices[-1]) // 16 + 2) * 16)

"""Which hands stay in the whole frame: each is followed from its coming to its going, and plays as recorded or is gone throughout.

The rendered head covers what the recording shows of the head, and a hand that crosses it would be cut at the head's edge. The rule:

* A visit is what the removed region shows of one hand, with the arm it hangs on: regions that overlap from frame to frame.
* It is *gone* if it comes near what is rendered and never reaches a side of the crop beyond which the recording goes on: it can be taken
  out whole.
* Else it is *kept*: as recorded, in front of what is rendered. What leaves the crop would end in mid-air at its side if it were taken out
  inside; what never comes near the head is in nobody's way.

One decision for the whole visit, or the hand would vanish and come back as it nears the head.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field

import cv2
import numpy as np
from scipy.cluster.hierarchy import DisjointSet

from talkhead_core.media.mask_morphology import grown
from talkhead_core.media.square_crop import SquareCrop
from talkhead_core.types import FloatArray, Label

__all__ = ["HandVisits", "OpenSides", "RemovedRegion", "around_head"]

_NEAR_HEAD = 0.03  # of the side: the rendered head's soft edge reaches so far beyond the labelled one
_AT_SIDE_PX = 3
_SOFT_EDGE = 0.006  # of the side


@dataclass(frozen=True, kw_only=True)
class OpenSides:
    """Sides of the crop beyond which the recording goes on."""

    top: bool
    bottom: bool
    left: bool
    right: bool

    @classmethod
    def of(cls, crop: SquareCrop, width: int, height: int) -> OpenSides:
        """Those of a crop of a ``width`` x ``height`` source; a last odd row or column that no video holds is nothing to go on."""
        right, bottom = crop.x + crop.size < width - 1, crop.y + crop.size < height - 1
        return cls(top=crop.y > 0, bottom=bottom, left=crop.x > 0, right=right)

    def reached_by(self, mask: np.ndarray) -> bool:
        """Whether ``mask`` ``[H, W]`` bool comes to one of them."""
        edge = _AT_SIDE_PX
        return bool(
            (self.top and mask[:edge].any())
            or (self.bottom and mask[-edge:].any())
            or (self.left and mask[:, :edge].any())
            or (self.right and mask[:, -edge:].any())
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class RemovedRegion:
    """What was removed from one frame of the clip.

    Args:
        frame_id: of the clip.
        hole: ``[H, W]`` bool.
        rendered: ``[H, W]`` bool, where the frame will show what is rendered.
    """

    frame_id: int
    hole: np.ndarray
    rendered: np.ndarray


def around_head(labels: np.ndarray) -> np.ndarray:
    """Where a head rendered into a frame with these labels ``[H, W]`` can lie, with its soft edge, ``[H, W]`` bool."""
    return grown((labels == Label.HEAD) | (labels == Label.NECK), _NEAR_HEAD * max(labels.shape))


@dataclass(frozen=True, kw_only=True)
class _Frame:
    """A frame's parts, compressed to about a thousandth, and the visit that each belongs to."""

    shape: tuple[int, ...]
    parts: bytes
    visits: list[int]

    def labelled(self) -> np.ndarray:
        return np.frombuffer(zlib.decompress(self.parts), np.uint16).reshape(self.shape)


@dataclass
class _Visit:
    near_render: bool
    leaves: bool


@dataclass
class HandVisits:
    """The visits of one shot, and where each frame shows them.

    Args:
        gone: of visits, by number: whether it is taken out.
    """

    gone: list[bool] = field(default_factory=list)
    _frames: dict[int, _Frame] = field(default_factory=dict)

    @classmethod
    def of(cls, regions: Iterable[RemovedRegion], sides: OpenSides) -> HandVisits:
        """Follow what was removed through a shot.

        Args:
            regions: of the frames that have one, in ascending order, all of one shot.
            sides: open sides of the crop.
        """
        visits: list[_Visit] = []
        joined: DisjointSet = DisjointSet()
        frames: dict[int, _Frame] = {}
        before, before_id = None, -2
        for region in regions:
            parts = _parts(region.hole)
            numbers = range(len(visits), len(visits) + int(parts.max()))
            for number, part in zip(numbers, range(1, int(parts.max()) + 1), strict=True):
                mask = parts == part
                visits.append(_Visit(near_render=bool((mask & region.rendered).any()), leaves=sides.reached_by(mask)))
                joined.add(number)
            frames[region.frame_id] = _Frame(shape=parts.shape, parts=zlib.compress(parts.tobytes(), 1), visits=list(numbers))
            if before is not None and region.frame_id == before_id + 1:
                for one, other in _overlapping(before, parts):
                    joined.merge(frames[before_id].visits[one - 1], numbers[other - 1])
            before, before_id = parts, region.frame_id
        gone = [False] * len(visits)
        for together in joined.subsets():
            is_gone = any(visits[number].near_render for number in together) and not any(visits[number].leaves for number in together)
            for number in together:
                gone[number] = is_gone
        return cls(gone=gone, _frames=frames)

    def at(self, position: float) -> tuple[FloatArray, FloatArray] | None:
        """Soft masks ``[H, W]`` in [0, 1] of what is gone and of what is kept; None where nothing was removed.

        Args:
            position: a frame id, or between two of them, where both frames show.
        """
        shown = {int(np.floor(position)), int(np.ceil(position))}
        frames = [self._frames[frame_id] for frame_id in sorted(shown) if frame_id in self._frames]
        if not frames:
            return None
        gone, kept = np.zeros(frames[0].shape, bool), np.zeros(frames[0].shape, bool)
        for frame in frames:
            parts = frame.labelled()
            is_gone = np.array([False, *(self.gone[number] for number in frame.visits)])
            gone |= is_gone[parts]
            kept |= (parts > 0) & ~is_gone[parts]
        return _soft(gone), _soft(kept)


def _parts(hole: np.ndarray) -> np.ndarray:
    _, parts = cv2.connectedComponents(hole.astype(np.uint8), connectivity=8)
    return parts.astype(np.uint16)


def _overlapping(before: np.ndarray, after: np.ndarray) -> list[tuple[int, int]]:
    both = (before > 0) & (after > 0)
    pairs = np.unique(np.stack([before[both], after[both]], axis=1), axis=0)
    return [(int(one), int(other)) for one, other in pairs]


def _soft(mask: np.ndarray) -> FloatArray:
    """1 on the whole mask, falling to 0 outside it: nothing of a hand may shimmer through at its edge."""
    if not mask.any():
        return mask.astype(np.float32)
    width_px = max(1.0, _SOFT_EDGE * max(mask.shape))
    distance = cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, 5)
    ramp = np.clip(1.0 - distance / (2 * width_px), 0.0, 1.0)
    return np.asarray(ramp * ramp * (3 - 2 * ramp), np.float32)

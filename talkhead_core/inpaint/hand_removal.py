"""Removal of hands and passing objects from a whole clip, shot by shot."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np

from talkhead_core.inpaint.inpainter import INPAINTERS, Filled
from talkhead_core.inpaint.removal_mask import removal_mask
from talkhead_core.parameters import require
from talkhead_core.types import Image

__all__ = ["InpaintConfig", "clean_frames", "holes"]


@dataclass(frozen=True, kw_only=True)
class InpaintConfig:
    """What is removed and how it is filled.

    Args:
        method: inpainter.
        margin: how far the removed region reaches beyond what was found, as a share of the longer side.
        transient_threshold: M_i beyond which a torso pixel is removed.
        samples: frames of a shot that are searched for what is hidden.
        weights: path of the inpainter's weights, where it has any.
    """

    method: str = "temporal_median"
    margin: float = 0.014
    transient_threshold: float = 0.5
    samples: int = 48
    weights: str | None = None

    def __post_init__(self) -> None:
        require(self.method in INPAINTERS, f"method must be one of {', '.join(INPAINTERS)}, not {self.method!r}")
        require(0.0 <= self.margin < 0.2, f"margin must be in [0, 0.2), not {self.margin}")
        require(0.0 < self.transient_threshold < 1.0, f"transient_threshold must be in (0, 1), not {self.transient_threshold}")
        require(self.samples >= 1, f"samples must be at least 1, not {self.samples}")


def holes(masks: Iterable[tuple[np.ndarray, np.ndarray]], config: InpaintConfig) -> Iterator[np.ndarray]:
    """Each frame's hole, boolean ``[H, W]``, from its labels ``[H, W]`` and 255 M_i ``[H, W]``."""
    for labels, transient in masks:
        yield removal_mask(labels, transient, config.margin, config.transient_threshold)


def clean_frames(
    frames: Iterator[Image],
    frame_at: Callable[[int], Image],
    open_holes: Callable[[], Iterator[np.ndarray]],
    shots: list[tuple[int, int]],
    config: InpaintConfig,
) -> Iterator[tuple[Filled, np.ndarray]]:
    """Yield every frame filled, with its hole ``[H, W]``.

    The holes of a shot are read twice, once for samples and once for filling, so memory does not grow with its length.

    Args:
        frames: RGB frames in order of frame id.
        frame_at: any frame by its id.
        open_holes: starts reading the holes from the first frame.
        shots: half-open ranges of frame ids that cover the clip.
        config: the settings.

    Raises:
        NotAvailableError: the method needs weights that are not here.
    """
    inpainter = INPAINTERS.get(config.method)(config.weights)
    ahead, current = open_holes(), open_holes()
    for first, last in shots:
        stride = -(-(last - first) // config.samples)
        sampled, anything = [], False
        for index, hole in zip(range(first, last), islice(ahead, last - first), strict=True):
            anything = anything or bool(hole.any())
            if (index - first) % stride == stride // 2:
                sampled.append((index, hole))
        inpainter.begin_shot(((frame_at(index), hole) for index, hole in sampled) if anything else ())
        for image, hole in islice(zip(frames, current, strict=True), last - first):
            yield inpainter(image, hole) if hole.any() else Filled(image=image, recovered=hole), hole

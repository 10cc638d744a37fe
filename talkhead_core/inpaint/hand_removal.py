"""Removal of hands and passing objects from a whole clip, shot by shot."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np

from talkhead_core.inpaint.inpainter import INPAINTERS, Filled
from talkhead_core.inpaint.removal_mask import removal_mask
from talkhead_core.parameters import require
from talkhead_core.types import Image

__all__ = ["InpaintConfig", "clean_frames"]

LabelledFrames = Iterator[tuple[Image, np.ndarray, np.ndarray]]
"""Frames RGB ``[H, W, 3]`` with labels ``[H, W]`` and 255 M_i ``[H, W]``, in order of frame id."""


@dataclass(frozen=True, kw_only=True)
class InpaintConfig:
    """What is removed and how it is filled.

    Args:
        method: inpainter.
        margin: how far the removed region reaches beyond what was found, as a share of the longer side.
        transient_threshold: M_i beyond which a torso pixel is removed.
        samples: frames of a shot that are searched for what is hidden.
    """

    method: str = "temporal_median"
    margin: float = 0.014
    transient_threshold: float = 0.5
    samples: int = 48

    def __post_init__(self) -> None:
        require(self.method in INPAINTERS, f"method must be one of {', '.join(INPAINTERS)}, not {self.method!r}")
        require(0.0 <= self.margin < 0.2, f"margin must be in [0, 0.2), not {self.margin}")
        require(0.0 < self.transient_threshold < 1.0, f"transient_threshold must be in (0, 1), not {self.transient_threshold}")
        require(self.samples >= 1, f"samples must be at least 1, not {self.samples}")


def clean_frames(
    open_frames: Callable[[], LabelledFrames], shots: list[tuple[int, int]], config: InpaintConfig
) -> Iterator[tuple[Filled, np.ndarray]]:
    """Yield every frame filled, with its hole ``[H, W]``.

    Each shot is read twice, once for samples and once for filling, so memory does not grow with its length.

    Args:
        open_frames: starts reading the clip from its first frame.
        shots: half-open ranges of frame ids that cover the clip.
        config: the settings.
    """
    inpainter = INPAINTERS.get(config.method)()
    ahead, frames = open_frames(), open_frames()
    for first, last in shots:
        stride = max(1, -(-(last - first) // config.samples))
        samples = []
        for index, (image, labels, transient) in enumerate(islice(ahead, last - first)):
            if index % stride == stride // 2:
                samples.append((image, removal_mask(labels, transient, config.margin, config.transient_threshold)))
        inpainter.begin_shot(samples)
        for image, labels, transient in islice(frames, last - first):
            hole = removal_mask(labels, transient, config.margin, config.transient_threshold)
            yield inpainter(image, hole), hole

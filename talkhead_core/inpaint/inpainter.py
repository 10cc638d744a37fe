"""Back ends that fill the place of what was removed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from talkhead_core.registry import Registry
from talkhead_core.types import Image

__all__ = ["INPAINTERS", "Filled", "Inpainter"]


@dataclass(frozen=True, kw_only=True)
class Filled:
    """A frame without its hole.

    Args:
        image: RGB ``[H, W, 3]``, unchanged outside the hole.
        recovered: boolean ``[H, W]``: hole pixels that other frames show; the rest of the hole is invented.
        invented_by: name of the inpainter that invented the rest, where there is one.
    """

    image: Image
    recovered: np.ndarray
    invented_by: str | None = None


class Inpainter(Protocol):
    """Fills holes frame by frame, shot by shot."""

    def begin_shot(self, samples: Iterable[tuple[Image, np.ndarray]]) -> None:
        """Learn the coming shot from frames spread over it, each with its hole: boolean ``[H, W]``."""
        ...

    def __call__(self, image: Image, hole: np.ndarray) -> Filled:
        """Fill the boolean ``hole`` ``[H, W]`` of an RGB frame ``[H, W, 3]``."""
        ...


INPAINTERS: Registry[Callable[[str | None], Inpainter]] = Registry(
    "inpainter",
    {
        "temporal_median": "talkhead_core.inpaint.temporal_median:TemporalMedianInpainter",
        "temporal_median_lama": "talkhead_core.inpaint.temporal_median:TemporalMedianLamaInpainter",
        "telea": "talkhead_core.inpaint.telea:TeleaInpainter",
        "lama": "talkhead_core.inpaint.lama:LamaInpainter",
    },
)
"""Name -> what makes one, given the path of its weights (None: none is set)."""

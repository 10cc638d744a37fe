"""Person segmentation back ends."""

from __future__ import annotations

from typing import Protocol

from talkhead_core.registry import Registry
from talkhead_core.types import FloatArray, Image

__all__ = ["SEGMENTERS", "PersonSegmenter"]


class PersonSegmenter(Protocol):
    """Says where the person is in one image after another of a clip."""

    def __call__(self, image: Image) -> FloatArray:
        """RGB ``[H, W, 3]`` to the probability of a person ``[H, W]`` float32 in [0, 1]."""
        ...


SEGMENTERS: Registry[type[PersonSegmenter]] = Registry(
    "segmenter", {"selfie": "talkhead_core.segmentation.selfie_segmenter:SelfieSegmenter"}
)

"""The invisible mark in one picture, such as a page shows: as large as the picture that a person would save."""

from __future__ import annotations

from talkhead_core.provenance.watermark import Watermark
from talkhead_core.provenance.watermark_detector import watermark_in
from talkhead_core.types import Image

__all__ = ["bears_mark", "marked_still"]


def marked_still(image: Image, key: str) -> Image:
    """``image``, RGB ``[H, W, 3]`` uint8, with the mark of ``key``; as it is where it bears that already, as frames of a dub do."""
    return image if bears_mark(image, key) else Watermark(image.shape[1], image.shape[0], key).marked(image)


def bears_mark(image: Image, key: str) -> bool:
    """Whether the mark of ``key`` is found in this picture alone."""
    return watermark_in([image], key).found

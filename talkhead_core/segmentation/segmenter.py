"""Person segmentation back ends."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from talkhead_core.registry import Registry
from talkhead_core.types import FloatArray, Image

__all__ = ["SEGMENTERS", "FaceParser", "PersonParts", "PersonSegmenter"]


@dataclass(frozen=True, kw_only=True, eq=False)
class PersonParts:
    """What of a person is where.

    Args:
        person: probability ``[H, W]`` float32 in [0, 1].
        head: boolean ``[H, W]``, where a pixel of the person is head: face, ears, hair, hat.
        neck: boolean ``[H, W]``, where it is neck.
    """

    person: FloatArray
    head: np.ndarray
    neck: np.ndarray


class PersonSegmenter(Protocol):
    """Says where the person is in one image after another of a clip.

    Args:
        weights: path of the weight file, for the segmenters that need one.
    """

    def __init__(self, weights: str | None = None) -> None: ...

    def __call__(self, image: Image) -> FloatArray:
        """RGB ``[H, W, 3]`` to the probability of a person ``[H, W]`` float32 in [0, 1]."""
        ...


@runtime_checkable
class FaceParser(Protocol):
    """A segmenter that knows head and neck by itself, so that they are not derived from landmarks and colours."""

    def parts(self, image: Image) -> PersonParts:
        """RGB ``[H, W, 3]`` to the person's parts."""
        ...


SEGMENTERS: Registry[type[PersonSegmenter]] = Registry(
    "segmenter",
    {
        "selfie": "talkhead_core.segmentation.selfie_segmenter:SelfieSegmenter",
        "bisenet": "talkhead_core.segmentation.face_parser:BiSeNetSegmenter",
    },
)

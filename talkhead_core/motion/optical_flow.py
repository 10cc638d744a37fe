"""Optical flow back ends."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from talkhead_core.registry import Registry
from talkhead_core.types import FloatArray, Image

__all__ = ["OPTICAL_FLOWS", "OpticalFlow"]


class OpticalFlow(Protocol):
    """Dense motion between two images of one size."""

    def __call__(self, first: Image, second: Image) -> FloatArray:
        """RGB ``[H, W, 3]`` twice to displacement ``[H, W, 2]`` float32 (right, down) in pixels, from ``first`` to ``second``."""
        ...


OPTICAL_FLOWS: Registry[Callable[[str | None], OpticalFlow]] = Registry(
    "optical flow",
    {
        "dis": "talkhead_core.motion.classical_flow:DisFlow",
        "farneback": "talkhead_core.motion.classical_flow:FarnebackFlow",
        "raft_small": "talkhead_core.motion.learnt_flow:raft_small",
        "gmflow": "talkhead_core.motion.learnt_flow:gmflow",
    },
)
"""Name -> what makes one, given the path of its weights (None: none is set)."""

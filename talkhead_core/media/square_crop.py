"""The square of the source that becomes the clip, and the map between the two."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from talkhead_core.types import FloatArray

__all__ = ["SquareCrop"]


@dataclass(frozen=True, kw_only=True)
class SquareCrop:
    """A square in upright, square-pixel source pixels.

    Args:
        x: left edge, px.
        y: top edge, px.
        size: side, px.
    """

    x: int
    y: int
    size: int

    @classmethod
    def central(cls, width: int, height: int) -> SquareCrop:
        """The largest square in the middle of an image; off by half a pixel where one side is odd and the other is not."""
        size = min(width, height)
        return cls(x=(width - size) // 2, y=(height - size) // 2, size=size)

    def to_clip(self, source_px: FloatArray, clip_size_px: int) -> FloatArray:
        """Source pixels ``[..., 2]`` to clip pixels ``[..., 2]``."""
        return (source_px - (self.x, self.y)) * (clip_size_px / self.size)

    def to_source(self, clip_px: FloatArray, clip_size_px: int) -> FloatArray:
        """Clip pixels ``[..., 2]`` to source pixels ``[..., 2]``."""
        return clip_px * (self.size / clip_size_px) + (self.x, self.y)

    def to_json(self) -> dict[str, int]:
        """``{"x", "y", "size"}``, as in ``ingest.json``."""
        return asdict(self)

"""The rendered square back into the full source frame: at its place, in its colours, without a seam."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from talkhead_core.media.square_crop import SquareCrop
from talkhead_core.parameters import require
from talkhead_core.types import FloatArray, Image

__all__ = ["PasteBack", "PasteBackConfig"]

_BAND = (0.02, 0.98)  # mask values between which both pictures should show the same
_MIN_BAND_PX = 64


@dataclass(frozen=True, kw_only=True)
class PasteBackConfig:
    """How the square meets the frame.

    Args:
        edge_share: width of the soft edge along the square's own sides, of its size; sides on the frame's border have none.
        match_colours: shift the rendered colours by what they differ from the source along the mask's edge.
        most_shift_levels: at most by this, per channel.
        shift_inertia: share of the last frame's shift that is kept, so that the colour does not flicker.
    """

    edge_share: float = 0.03
    match_colours: bool = True
    most_shift_levels: float = 12.0
    shift_inertia: float = 0.9

    def __post_init__(self) -> None:
        require(0.0 <= self.edge_share <= 0.25, f"edge_share must be 0 to 0.25, not {self.edge_share}")
        require(self.most_shift_levels >= 0, f"most_shift_levels must not be negative, not {self.most_shift_levels}")
        require(0.0 <= self.shift_inertia < 1.0, f"shift_inertia must be 0 to 1, not {self.shift_inertia}")


class PasteBack:
    """Pastes one frame after another; only the last colour shift is remembered.

    Args:
        crop: the square of the source that became the clip.
        width: of the source frames, px.
        height: of the source frames, px.
        config: how the square meets the frame.
    """

    def __init__(self, crop: SquareCrop, *, width: int, height: int, config: PasteBackConfig | None = None) -> None:
        self._config = config or PasteBackConfig()
        self._crop, self._shape = crop, (height, width)
        # An odd source loses its last column or row to H.264, and the square may reach there.
        self._across, self._down = min(crop.size, width - crop.x), min(crop.size, height - crop.y)
        assert crop.x >= 0 and crop.y >= 0 and self._across >= crop.size - 1 and self._down >= crop.size - 1, "the crop leaves the frame"
        self._edge = _edge_mask(crop, width, height, self._config.edge_share)
        self._shift: FloatArray | None = None

    def paste(self, source: Image, rendered: Image, mask: np.ndarray, in_front: np.ndarray | None = None) -> Image:
        """The source frame with the rendered square in it.

        Args:
            source: ``[height, width, 3]`` uint8 RGB, as shown.
            rendered: ``[s, s, 3]`` uint8 RGB of any size ``s``, showing the crop.
            mask: ``[m, m]`` of any size ``m``: how much of the rendered picture to take, 0 to 1 (uint8: 0 to 255).
            in_front: as ``mask``: how much of the source lies in front of what is rendered, such as a hand.

        Returns:
            ``[height, width, 3]`` uint8; the source, bit by bit, where the mask is 0 or ``in_front`` is 1.
        """
        assert source.shape == (*self._shape, 3), f"the source frame is {source.shape}, not {self._shape}"
        weight = self._edge * self._in_place(mask)
        shown = weight if in_front is None else weight * (1 - self._in_place(in_front))
        if not shown.any():
            return source.copy()
        y, x = self._crop.y, self._crop.x
        place = (slice(y, y + self._down), slice(x, x + self._across))
        behind = source[place].astype(np.float32)
        front = _scaled(rendered.astype(np.float32), self._crop.size)[: self._down, : self._across]
        if self._config.match_colours:
            edge = (weight > _BAND[0]) & (weight < _BAND[1]) & (shown == weight)
            front = front + self._colour_shift((behind - front)[edge])
        pasted = source.copy()
        pasted[place] = np.clip(np.rint(behind + shown[..., None] * (front - behind)), 0, 255).astype(np.uint8)
        return pasted

    def paste_all(self, sources: Iterable[Image], rendered: Iterable[Image], masks: Iterable[np.ndarray]) -> Iterator[Image]:
        """:meth:`paste`, frame by frame, in constant memory."""
        for source, picture, mask in zip(sources, rendered, masks, strict=True):
            yield self.paste(source, picture, mask)

    def _in_place(self, mask: np.ndarray) -> FloatArray:
        return _scaled(_unit(mask), self._crop.size)[: self._down, : self._across]

    def _colour_shift(self, differences: FloatArray) -> FloatArray:
        """Median of the ``[n, 3]`` differences along the edge of the mask, slowly followed; ``[3]`` levels."""
        if len(differences) >= _MIN_BAND_PX:
            limit = self._config.most_shift_levels
            found = np.clip(np.median(differences, axis=0), -limit, limit)
            kept = self._config.shift_inertia
            self._shift = found if self._shift is None else kept * self._shift + (1 - kept) * found
        return np.zeros(3, np.float32) if self._shift is None else self._shift.astype(np.float32)


def _unit(mask: np.ndarray) -> FloatArray:
    return mask.astype(np.float32) / 255 if mask.dtype == np.uint8 else mask.astype(np.float32)


def _scaled(picture: FloatArray, size: int) -> FloatArray:
    """To ``size`` x ``size``: Lanczos where it grows, the area's mean where it shrinks, untouched where it fits."""
    if picture.shape[0] == size:
        return picture
    if picture.ndim == 2:  # a mask must not ring
        grown = cv2.INTER_LINEAR
    else:
        grown = cv2.INTER_LANCZOS4
    return np.asarray(cv2.resize(picture, (size, size), interpolation=grown if size > picture.shape[0] else cv2.INTER_AREA))


def _edge_mask(crop: SquareCrop, width: int, height: int, edge_share: float) -> FloatArray:
    """1 inside, falling to 0 along each side of the crop that is not the frame's own border; ``[down, across]``."""
    ramp_px = max(edge_share * crop.size, 1e-6)
    across, down = min(crop.size, width - crop.x), min(crop.size, height - crop.y)
    profiles = []
    for start, length, whole in ((crop.y, down, height), (crop.x, across, width)):
        middle = np.arange(length) + 0.5
        before = middle if start > 0 else np.full(length, np.inf)
        after = length - middle if start + length < whole else np.full(length, np.inf)
        rise = np.clip(np.minimum(before, after) / ramp_px, 0, 1)
        profiles.append(rise * rise * (3 - 2 * rise))
    return np.outer(*profiles).astype(np.float32)

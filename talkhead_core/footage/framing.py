"""Which square of the source becomes the clip."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from talkhead_core.face.face_scan import FaceBox
from talkhead_core.media.square_crop import SquareCrop
from talkhead_core.parameters import require

__all__ = ["FramingConfig", "choose_crop"]


@dataclass(frozen=True, kw_only=True)
class FramingConfig:
    """How much of the person the clip shows.

    Args:
        crop_face_heights: side of the square over the face's height (hairline to chin); AD-NeRF's framing is 2 to 3.
        face_centre_share: where the face's centre stands, from the top of the square.
    """

    crop_face_heights: float = 2.8
    face_centre_share: float = 0.42

    def __post_init__(self) -> None:
        require(1.5 <= self.crop_face_heights <= 12.0, f"crop_face_heights must be 1.5 to 12, not {self.crop_face_heights}")
        require(0.2 <= self.face_centre_share <= 0.6, f"face_centre_share must be 0.2 to 0.6, not {self.face_centre_share}")


def choose_crop(boxes: list[FaceBox], width: int, height: int, config: FramingConfig | None = None) -> SquareCrop:
    """One fixed square around head and upper torso; the whole shorter side where the person fills the frame.

    Args:
        boxes: the speaker's face in the sampled frames, px of the source as shown.
        width: of the source, px.
        height: of the source, px.
        config: the framing wanted.
    """
    config = config or FramingConfig()
    assert boxes, "a crop needs a face"
    face_height = float(np.median([box.height for box in boxes]))
    centres = np.asarray([box.centre for box in boxes])
    low, high = np.percentile(centres, [2, 98], axis=0)
    reach = float((high - low).max())
    size = min(config.crop_face_heights * face_height + reach, width, height)
    side = int(size) // 2 * 2
    u, v = (low + high) / 2
    left = np.clip(u - side / 2, 0, width - side)
    top = np.clip(v - config.face_centre_share * side, 0, height - side)
    return SquareCrop(x=int(left) // 2 * 2, y=int(top) // 2 * 2, size=side)

"""Hair below the ears, which moves with the head and must not be taken for torso."""

from __future__ import annotations

import cv2
import numpy as np

from talkhead_core.media.mask_morphology import bounding_box, closed, grown, joined_to, shrunk
from talkhead_core.segmentation.face_geometry import FaceGeometry, filled
from talkhead_core.segmentation.hair_colour import HairColour
from talkhead_core.types import Image

__all__ = ["LongHair"]

_INTERVAL = 10  # frames from one look at the colours to the next
_RADIUS = 0.035  # of the face's height: thinner locks, and lines along the shoulders, are left
_LEAST = 0.02  # of the head's area: less is a collar


class LongHair:
    """Finds the hair that hangs together with the head, coloured as that around the face, in one frame after another."""

    def __init__(self) -> None:
        self._colour = HairColour()
        self._frames = 0

    def __call__(self, image: Image, geometry: FaceGeometry, person: np.ndarray, head: np.ndarray) -> np.ndarray:
        """Boolean ``[H, W]``: hair below ``head`` ``[H, W]``, within ``person`` ``[H, W]``."""
        shape = (head.shape[0], head.shape[1])
        if self._frames % _INTERVAL == 0:
            face = filled(geometry.face_polygon(), shape) & person
            clothes = np.any([filled(outline, shape) for outline in geometry.clothes_polygons()], axis=0) & person & ~head
            self._colour.update(image, head & ~face, clothes, face)
        self._frames += 1
        zone = filled(geometry.beside_neck_polygon(), shape) & person & ~head & ~filled(geometry.throat_polygon(), shape)
        result = np.zeros(shape, bool)
        box = bounding_box(zone, border_px=4)
        if box is None:
            return result
        # Every second pixel: locks are many pixels wide.
        part, allowed, known = image[box][::2, ::2], zone[box][::2, ::2], head[box][::2, ::2]
        radius = _RADIUS * geometry.height_px / 2
        hair = closed(self._colour.mask(part) & (allowed | known), radius)
        # A lock hangs on hair; a dark collar touches the jaw.
        locks = grown(shrunk(hair, radius), radius) & (allowed | known)
        locks = joined_to(locks, locks & known)
        if np.count_nonzero(locks & ~known) < _LEAST * np.count_nonzero(head[::2, ::2]):
            return result
        size = (box[1].stop - box[1].start, box[0].stop - box[0].start)
        result[box] = cv2.resize(locks.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST).astype(bool) & zone[box]
        return result

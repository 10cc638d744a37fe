"""The torso alone, continued a little way under the head, so that no gap opens where the rendered head is smaller."""

from __future__ import annotations

import numpy as np

from talkhead_core.types import Image, Label

__all__ = ["over_background", "torso_image"]

_TORSO_REACH, _NECK_REACH = 8 / 512, 48 / 512
"""How far torso and neck are continued upwards, shares of the image's height (AD-NeRF family: 8 and 48 pixels of 512)."""

_NECK_STEP = 4 / 512
"""The neck's colour is taken from this far below its edge, where the chin's shadow and blur no longer reach."""


def over_background(image: Image, labels: np.ndarray, plate: Image) -> Image:
    """The person of ``image`` ``[H, W, 3]`` over the clean background ``plate`` ``[H, W, 3]``, by ``labels`` ``[H, W]``."""
    return np.where((labels == Label.BACKGROUND)[..., None], plate, image)


def torso_image(image: Image, labels: np.ndarray) -> Image:
    """Torso and neck as RGBA ``[H, W, 4]``: opaque where they are or are continued under the head, else zero."""
    height = labels.shape[0]
    head = labels == Label.HEAD
    torso = (labels == Label.TORSO) | (labels == Label.HANDS)
    neck = labels == Label.NECK
    result = np.zeros((*labels.shape, 4), np.uint8)
    body = torso | neck
    result[body, :3], result[body, 3] = image[body], 255
    _continue_upwards(result, image, torso, head, reach=round(_TORSO_REACH * height), step=0)
    _continue_upwards(result, image, neck, head, reach=round(_NECK_REACH * height), step=round(_NECK_STEP * height))
    return result


def _continue_upwards(result: Image, image: Image, part: np.ndarray, head: np.ndarray, *, reach: int, step: int) -> None:
    """In each column whose topmost pixel of ``part`` has the head right above it, let its colour go on upwards under the head."""
    columns = np.flatnonzero(part.any(axis=0))
    top = part[:, columns].argmax(axis=0)
    below_head = (top > 0) & head[np.maximum(top - 1, 0), columns]
    columns, top = columns[below_head], top[below_head]
    depth = np.minimum(step, part[:, columns].sum(axis=0) - 1) if len(columns) else np.zeros(0, int)
    colour = image[np.minimum(top + depth, len(image) - 1), columns]
    for up in range(1, reach + 1):
        row = top - up
        under = row >= 0
        under[under] = head[row[under], columns[under]]
        result[row[under], columns[under], :3], result[row[under], columns[under], 3] = colour[under], 255

"""One frame from its layers: background, torso, head with neck."""

from __future__ import annotations

import numba
import numpy as np

from talkhead_core.types import FloatArray, Image, Label

__all__ = ["layered"]


def layered(background: FloatArray, torso: Image, head: FloatArray, head_label: Image) -> tuple[FloatArray, Image]:
    """Stack the layers.

    Args:
        background: ``[H, W, 3]`` float32.
        torso: ``[H, W, 4]`` straight alpha.
        head: ``[H, W, 4]`` float32, premultiplied, alpha 0 to 1.
        head_label: ``[H, W]``, 0 where the head is not.

    Returns:
        picture ``[H, W, 3]`` float32 and labels ``[H, W]``.
    """
    image = np.empty(background.shape, np.float32)
    label = np.empty(background.shape[:2], np.uint8)
    _stack(background, torso, head, head_label, image, label, int(Label.BACKGROUND), int(Label.TORSO))
    return image, label


@numba.njit(cache=True)
def _stack(background, torso, head, head_label, image, label, no_one, torso_label):  # type: ignore[no-untyped-def]
    for y in range(image.shape[0]):
        for x in range(image.shape[1]):
            cover = np.float32(torso[y, x, 3]) / np.float32(255.0)
            through = np.float32(1.0) - head[y, x, 3]
            for k in range(3):
                behind = background[y, x, k] * (np.float32(1.0) - cover) + np.float32(torso[y, x, k]) * cover
                image[y, x, k] = behind * through + head[y, x, k]
            if through < 0.5 and head_label[y, x] > 0:
                label[y, x] = head_label[y, x]
            elif cover > 0.5:
                label[y, x] = torso_label
            else:
                label[y, x] = no_one

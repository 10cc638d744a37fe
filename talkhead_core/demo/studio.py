"""The room behind the demo speaker: a wall, a shelf of books and a lamp, out of focus."""

from __future__ import annotations

import cv2
import numpy as np

from talkhead_core.types import Image

__all__ = ["studio_background"]

_DRAWN_SIZE_PX = 768
_SPINES = np.array(
    [
        (122, 52, 44),
        (58, 84, 104),
        (196, 176, 134),
        (74, 94, 66),
        (150, 108, 62),
        (46, 50, 64),
        (168, 150, 140),
        (94, 62, 84),
        (206, 198, 182),
    ]
)


def studio_background(size_px: int, seed: int) -> Image:
    """An RGB background ``[size, size, 3]``; the same for the same seed."""
    rng = np.random.default_rng([seed, 11])
    size = _DRAWN_SIZE_PX
    v, u = np.mgrid[0:size, 0:size] / size
    light = 1.08 - 0.30 * np.hypot(u - 0.62, (v - 0.25) * 0.8)
    room = np.array([150.0, 158.0, 160.0]) * light[..., None]
    _draw_shelves(room, rng)
    _draw_lamp(room)
    blurred = cv2.GaussianBlur(room, (0, 0), size / 90)
    mottle = cv2.GaussianBlur(rng.normal(size=(size, size)), (0, 0), 22)
    blurred += (mottle / mottle.std() * 2.0)[..., None]
    small = cv2.resize(blurred, (size_px, size_px), interpolation=cv2.INTER_AREA)
    return np.clip(small, 0, 255).round().astype(np.uint8)


def _draw_shelves(room: np.ndarray, rng: np.random.Generator) -> None:
    """A bookcase along the left edge."""
    size = room.shape[0]
    right = int(0.30 * size)
    room[:, :right] = room[:, :right] * 0.42 + np.array([40.0, 30.0, 24.0])
    boards = [int(height * size) for height in (-0.02, 0.23, 0.49, 0.76, 1.02)]
    for top, bottom in zip(boards, boards[1:], strict=False):
        x = 4
        while x < right - 20:
            width = int(rng.integers(12, 30))
            height = int((bottom - top) * rng.uniform(0.60, 0.86))
            colour = _SPINES[rng.integers(len(_SPINES))] * rng.uniform(0.65, 0.95)
            if rng.uniform() < 0.12:
                x += int(rng.integers(15, 40))
                continue
            shade = 0.75 + 0.4 * np.sin(np.linspace(0.4, 2.6, width))
            from_row = max(0, bottom - height)
            rows = slice(from_row, max(from_row, min(size, bottom - 8)))
            columns = slice(x, min(x + width, right - 8))
            shade = shade[: columns.stop - columns.start]
            room[rows, columns] = colour * shade[None, :, None]
            x += width + int(rng.integers(0, 4))
        room[max(0, bottom - 8) : max(0, bottom), :right] = (120, 92, 66)
    room[:, right - 10 : right] = (104, 78, 56)


def _draw_lamp(room: np.ndarray) -> None:
    """A standing lamp on the right with its light on the wall, and a picture frame."""
    size = room.shape[0]
    v, u = np.mgrid[0:size, 0:size] / size
    glow = np.exp(-(((u - 0.90) / 0.20) ** 2 + ((v - 0.30) / 0.28) ** 2))
    room += glow[..., None] * np.array([62.0, 48.0, 22.0])
    frame = (slice(int(0.08 * size), int(0.33 * size)), slice(int(0.66 * size), int(0.80 * size)))
    room[frame] = (70, 62, 56)
    inner = (slice(int(0.10 * size), int(0.31 * size)), slice(int(0.675 * size), int(0.785 * size)))
    room[inner] = np.array([168.0, 176.0, 172.0]) - 60 * (v[inner] - 0.1)[..., None] * (1, 2, 3)
    room[int(0.45 * size) :, int(0.893 * size) : int(0.907 * size)] = (72, 64, 58)
    shade = np.array([[0.845, 0.46], [0.955, 0.46], [0.935, 0.26], [0.865, 0.26]]) * size
    mask = np.zeros((size, size), np.uint8)
    cv2.fillPoly(mask, [shade.astype(np.int32)], (1,))
    warm = np.array([250.0, 226.0, 178.0]) - 50 * np.abs(v - 0.36)[..., None] * (1, 2, 3)
    room[mask > 0] = warm[mask > 0]

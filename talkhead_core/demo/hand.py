"""A gesturing hand and forearm: drawn once from rounded limbs with shading, then moved across the torso."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from talkhead_core.types import FloatArray

__all__ = ["Gesture", "Hand", "gestures", "hand_path"]

_DRAWN_PX = 480
_SKIN = np.array([222.0, 172.0, 144.0])
_SLEEVE = np.array([226.0, 94.0, 48.0])
_CUFF = np.array([74.0, 70.0, 96.0])
_LIGHT = np.array([-0.45, -0.62, 0.64])
# Limbs as (x0, y0, r0, x1, y1, r1) in units of the drawing; the hand points up, the wrist is at (0.5, 0.62).
_PALM = ((0.44, 0.40, 0.060, 0.47, 0.58, 0.052), (0.50, 0.39, 0.064, 0.50, 0.59, 0.054), (0.56, 0.41, 0.056, 0.53, 0.59, 0.050))
_FINGERS = {
    "open": (
        ((0.425, 0.37, 0.031, 0.375, 0.25, 0.027), (0.375, 0.25, 0.027, 0.352, 0.165, 0.022)),
        ((0.475, 0.345, 0.033, 0.462, 0.205, 0.029), (0.462, 0.205, 0.029, 0.455, 0.105, 0.023)),
        ((0.528, 0.35, 0.032, 0.552, 0.215, 0.028), (0.552, 0.215, 0.028, 0.566, 0.125, 0.022)),
        ((0.575, 0.38, 0.028, 0.628, 0.275, 0.024), (0.628, 0.275, 0.024, 0.658, 0.205, 0.019)),
        ((0.435, 0.50, 0.042, 0.345, 0.43, 0.033), (0.345, 0.43, 0.033, 0.290, 0.355, 0.025)),
    ),
    "relaxed": (
        ((0.430, 0.37, 0.033, 0.405, 0.265, 0.029), (0.405, 0.265, 0.029, 0.415, 0.195, 0.025)),
        ((0.478, 0.345, 0.034, 0.470, 0.235, 0.030), (0.470, 0.235, 0.030, 0.478, 0.160, 0.025)),
        ((0.526, 0.35, 0.033, 0.536, 0.250, 0.029), (0.536, 0.250, 0.029, 0.540, 0.180, 0.024)),
        ((0.570, 0.38, 0.029, 0.592, 0.300, 0.025), (0.592, 0.300, 0.025, 0.596, 0.240, 0.021)),
        ((0.440, 0.50, 0.042, 0.372, 0.415, 0.032), (0.372, 0.415, 0.032, 0.362, 0.340, 0.026)),
    ),
}
_WRIST_XY = np.array([0.5, 0.62])
# Width of the drawing in widths of the frame; sprites are kept finer than they are placed.
_HAND_SCALE, _PLACED_SCALE = 0.57, 0.5
# The hand stays below this height, and so below the face, as a share of the frame's.
_HIGHEST = 0.5


_Keys = tuple[tuple[float, float, float, float], ...]
_SWEEP: _Keys = (
    (0.00, 0.98, 1.36, -25.0),
    (0.52, 0.66, 0.90, -12.0),
    (0.86, 0.31, 0.92, 14.0),
    (1.90, 0.31, 0.92, 14.0),
    (2.24, 0.64, 0.88, -14.0),
    (2.80, 0.99, 1.36, -28.0),
)
_BEAT: _Keys = (
    (0.00, 0.14, 1.38, 20.0),
    (0.52, 0.36, 0.96, 12.0),
    (0.72, 0.40, 0.88, 8.0),
    (0.92, 0.36, 0.98, 14.0),
    (1.12, 0.41, 0.89, 6.0),
    (1.36, 0.36, 0.99, 12.0),
    (1.92, 0.12, 1.38, 24.0),
)
_CROSS: _Keys = ((0.00, 1.04, 1.28, -35.0), (0.56, 0.60, 0.89, -8.0), (1.60, 0.60, 0.89, -8.0), (2.32, 0.00, 1.30, 30.0))


@dataclass(frozen=True, kw_only=True)
class Gesture:
    """One visit of the hand.

    Args:
        start_s: when it leaves its resting place below the frame.
        shape: ``"open"`` or ``"relaxed"``.
        mirrored: thumb on the other side.
        keys: ``(seconds since start, x, y, angle_deg)`` of the wrist, in widths of the frame; still between equal keys.
    """

    start_s: float
    shape: str
    mirrored: bool
    keys: _Keys

    @property
    def end_s(self) -> float:
        """When it has left the frame again."""
        return self.start_s + self.keys[-1][0]


def gestures(duration_s: float) -> tuple[Gesture, ...]:
    """The visits that fit into a clip: one near its start, then about one every five seconds."""
    kinds = [(_SWEEP, "open", False), (_BEAT, "relaxed", True), (_CROSS, "open", False)]
    visits: list[Gesture] = []
    start_s = 0.9
    while True:
        turn = len(visits) % len(kinds)
        ahead = (
            Gesture(start_s=start_s, shape=shape, mirrored=mirrored, keys=keys) for keys, shape, mirrored in kinds[turn:] + kinds[:turn]
        )
        visit = next((visit for visit in ahead if visit.end_s <= duration_s - 0.1), None)
        if visit is None:
            return tuple(visits)
        visits.append(visit)
        start_s = visit.end_s + 3.3


def hand_path(gesture: Gesture, time_s: float) -> tuple[FloatArray, float]:
    """Wrist position ``[2]`` in widths of the frame and angle in degrees at a time within the gesture."""
    since = time_s - gesture.start_s
    keys = np.array(gesture.keys)
    last = len(keys) - 1
    k = int(np.clip(np.searchsorted(keys[:, 0], since, side="right") - 1, 0, last - 1))
    share = float(np.clip((since - keys[k, 0]) / (keys[k + 1, 0] - keys[k, 0]), 0, 1))
    # Mostly constant speed between the keys, as an arm that swings through does, softened at both ends.
    share = 0.45 * share + 0.55 * share * share * (3 - 2 * share)
    place = keys[k, 1:] * (1 - share) + keys[k + 1, 1:] * share
    return place[:2], float(place[2])


class Hand:
    """Draws the hand into frames of one size.

    Args:
        size_px: side of the square frame.
        fps: frames a second; the shutter is open for half a frame.
        seed: of the skin's fine texture.
    """

    def __init__(self, size_px: int, fps: float, seed: int) -> None:
        self._size_px, self._shutter_s = size_px, 0.5 / fps
        self._seed, self._sprites = seed, dict[str, FloatArray]()
        self._first_row = int(_HIGHEST * size_px)

    def draw(self, visits: Sequence[Gesture], time_s: float) -> FloatArray | None:
        """Premultiplied RGBA ``[size, size, 4]`` (alpha 0 to 1) around ``time_s``; ``None`` while the hand is away."""
        visit = next((v for v in visits if v.start_s - self._shutter_s < time_s < v.end_s + self._shutter_s), None)
        if visit is None:
            return None
        start, _ = hand_path(visit, time_s - self._shutter_s / 2)
        end, _ = hand_path(visit, time_s + self._shutter_s / 2)
        travel_px = float(np.linalg.norm(end - start)) * self._size_px
        steps = int(np.clip(np.ceil(travel_px / 1.2), 1, 12))
        total = np.zeros((self._size_px, self._size_px, 4), np.float32)
        for step in range(steps):
            offset_s = ((step + 0.5) / steps - 0.5) * self._shutter_s
            total[self._first_row :] += self._placed(visit, time_s + offset_s)
        return total / steps

    def _sprite(self, shape: str) -> FloatArray:
        if shape not in self._sprites:
            drawn = _drawn(shape, np.random.default_rng([self._seed, 5]))
            side = round(_HAND_SCALE * self._size_px / _PLACED_SCALE)
            self._sprites[shape] = np.asarray(cv2.resize(drawn, (side, side * 2), interpolation=cv2.INTER_AREA), np.float32)
        return self._sprites[shape]

    def _placed(self, visit: Gesture, time_s: float) -> FloatArray:
        wrist, angle_deg = hand_path(visit, time_s)
        sprite = self._sprite(visit.shape)
        width = sprite.shape[1]
        angle = np.radians(angle_deg)
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) * _PLACED_SCALE
        if visit.mirrored:
            turn = turn @ np.diag([-1.0, 1.0])
        pivot = _WRIST_XY * width
        shift = wrist * self._size_px - turn @ pivot
        matrix = np.column_stack([turn, shift + turn @ (0.5, 0.5) - 0.5])
        matrix[1, 2] -= self._first_row
        placed = cv2.warpAffine(sprite, matrix, (self._size_px, self._size_px - self._first_row), flags=cv2.INTER_LINEAR)
        return np.asarray(placed, np.float32)


def _drawn(shape: str, rng: np.random.Generator) -> FloatArray:
    """Premultiplied RGBA ``[2 * drawn, drawn, 4]`` float32: hand above, forearm below."""
    width, height = _DRAWN_PX, 2 * _DRAWN_PX
    y, x = (np.mgrid[0:height, 0:width] + 0.5) / width
    hand = _limbs(x, y, _PALM, join=0.030)
    for finger in _FINGERS[shape]:
        hand = np.maximum(hand, _limbs(x, y, finger, join=0.012))
    hand = np.maximum(hand, _limbs(x, y, ((0.5, 0.56, 0.058, 0.5, 0.80, 0.060),), join=0.01))
    sleeve = _limbs(x, y, ((0.5, 0.74, 0.088, 0.5, 2.1, 0.150),), join=0.01)
    sleeve = np.where(y > 0.73, sleeve, 0)
    cuff = _limbs(x, y, ((0.5, 0.735, 0.094, 0.5, 0.765, 0.096),), join=0.01)
    cuff = np.where((y > 0.715) & (y < 0.785), cuff, 0)
    hand_colour = np.broadcast_to(_SKIN, (height, width, 3)).copy()
    bare = int(0.85 * width)
    hand_colour[:bare] = _skin(x[:bare], y[:bare], shape, rng)
    folds = np.sin(y * 46 + 5 * np.sin(x * 17) + 2 * cv2.GaussianBlur(rng.normal(size=x.shape), (0, 0), 14) * 14)
    sleeve_height = np.where(sleeve > 0, sleeve + 0.006 * folds * (sleeve > 0.02), 0)
    picture = np.zeros((height, width, 4), np.float32)
    for surface, colour, gloss in ((hand, hand_colour, 8.0), (sleeve_height, _SLEEVE, 4.0), (cuff, _CUFF, 40.0)):
        alpha = np.clip(surface * width / 6.0, 0, 1)
        lit = np.clip(colour * _shading(surface)[..., None] + gloss * _shine(surface)[..., None], 0, 255)
        picture[..., :3] = picture[..., :3] * (1 - alpha[..., None]) + lit * alpha[..., None]
        picture[..., 3] = picture[..., 3] * (1 - alpha) + alpha
    return picture


def _limbs(x: FloatArray, y: FloatArray, limbs: Sequence[tuple[float, ...]], join: float) -> FloatArray:
    """Height of the union of rounded cones, smoothly joined; 0 outside."""
    total = np.zeros_like(x)
    for x0, y0, r0, x1, y1, r1 in limbs:
        dx, dy = x1 - x0, y1 - y0
        t = np.clip(((x - x0) * dx + (y - y0) * dy) / (dx * dx + dy * dy), 0, 1)
        radius = r0 + (r1 - r0) * t
        height = np.sqrt(np.clip(radius**2 - (x - x0 - t * dx) ** 2 - (y - y0 - t * dy) ** 2, 0, None))
        overlap = np.clip(1 - np.abs(total - height) / join, 0, 1) * ((total > 0) & (height > 0))
        total = np.maximum(total, height) + 0.25 * join * overlap**2
    return total


def _normals(surface: FloatArray) -> FloatArray:
    smooth = cv2.GaussianBlur(surface, (0, 0), 2.0) * surface.shape[1]
    dy, dx = np.gradient(smooth)
    normal = np.stack([-dx, -dy, np.full_like(dx, 0.9)], axis=-1)
    return normal / np.linalg.norm(normal, axis=-1, keepdims=True)


def _shading(surface: FloatArray) -> FloatArray:
    return 0.62 + 0.50 * np.clip(_normals(surface) @ (_LIGHT / np.linalg.norm(_LIGHT)), 0, 1)


def _shine(surface: FloatArray) -> FloatArray:
    half = _LIGHT / np.linalg.norm(_LIGHT) + (0, 0, 1)
    return np.clip(_normals(surface) @ (half / np.linalg.norm(half)), 0, 1) ** 20


def _skin(x: FloatArray, y: FloatArray, shape: str, rng: np.random.Generator) -> FloatArray:
    """Skin with redder knuckles and finger tips, nails and a fine grain."""
    colour = np.broadcast_to(_SKIN, (*x.shape, 3)).copy()
    grain = cv2.GaussianBlur(rng.normal(size=x.shape), (0, 0), 2.5)
    colour *= 1 + 0.10 * grain[..., None]
    for first, second in _FINGERS[shape]:
        for px, py, width, amount in (
            (first[0], first[1], 0.035, 0.5),
            (first[3], first[4], 0.022, 0.8),
            (second[3], second[4], 0.025, 0.9),
        ):
            near = amount * np.exp(-((x - px) ** 2 + (y - py) ** 2) / width**2)
            colour -= near[..., None] * np.array([4.0, 22.0, 20.0])
        along = np.array([second[3] - second[0], second[4] - second[1]])
        along /= np.linalg.norm(along)
        centre = np.array([second[3], second[4]]) + 0.002 * along
        u = (x - centre[0]) * along[0] + (y - centre[1]) * along[1]
        v = -(x - centre[0]) * along[1] + (y - centre[1]) * along[0]
        nail = np.clip((1 - (u / 0.017) ** 4 - (v / (second[5] * 0.62)) ** 4) * 3, 0, 1)
        colour = colour * (1 - 0.55 * nail[..., None]) + 0.55 * nail[..., None] * np.array([236.0, 190.0, 176.0])
    return colour

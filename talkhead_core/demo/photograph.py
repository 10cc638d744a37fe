"""The one photograph that the demo speaker is made of, taken apart into layers.

NASA's portrait of Eileen Collins, in the public domain, which ships with scikit-image. Outlines that no segmenter
would draw as well were traced by hand, in pixels of the photograph.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
import skimage.data

from talkhead_core.types import FloatArray, Image

__all__ = ["HAIR_OUTLINE", "JAW_OUTLINE", "WINDOW_ORIGIN_PX", "WINDOW_SIZE_PX", "Photograph", "photograph", "photograph_landmarks"]

WINDOW_ORIGIN_PX = (44.0, -22.0)
"""Upper left corner of the square of the photograph that the clip shows; a little above its upper edge."""
WINDOW_SIZE_PX = 364.0
_MARGIN_PX = 14
"""Textures reach this far beyond the window, so that the torso may sway."""


def _traced(points: str, zoom: float = 1.0, left: float = 0.0) -> FloatArray:
    """An outline ``[points, 2]`` in pixels of the photograph, from where it was traced: enlarged, and cut off at the left."""
    return np.array(points.split(), float).reshape(-1, 2) / zoom + (left, 0.0)


# The hair's outer edge with the ear lobes, from the left lobe over the top to the right one.
HAIR_OUTLINE = _traced(
    "206 528 196 527.5 186 521 178 512 170.5 500 165.5 488 161 474 142 463 118 436 102 412 95 385 93 345 92 300 101 266 118 232 140 202 "
    "165 177 195 157 225 145 240 130 262 108 290 88 330 76 370 64 405 60 450 62 492 76 522 91 552 108 590 126 618 148 642 184 663 220 "
    "676 260 688 300 692 345 686 387 676 418 658 448 638 477 614 498 598.5 508 594.5 522 586 535 576 543 564 547 551 547.5",
    zoom=4,
    left=130,
)
_TORSO_OUTLINE = _traced(
    "50 1080 58 1030 69 985 77 935 95 890 106 838 128 795 154 757 194 716 239 678 282 643 310 624 315 612 310 590 310 566 319 557 334 "
    "561 341 573 347 545 355 513 371 482 395 461 428 450 470 445 527 447 590 452 650 474 700 500 742 525 775 544 811 578 841 613 865 "
    "653 880 695 885 711 914 724 943 745 973 775 996 808 1013 842 1028 886 1041 936 1053 991 1058 1030 1062 1080",
    zoom=3,
    left=10,
)
_NECK_OUTLINE = _traced(
    "196 100 193 140 187.2 153 186.6 165 188 178 186 192 182 212 262 212 258 196 254 186 255.2 175 256.2 163 254.5 154 250 140 246 100"
)
# Cheeks, jaw and chin, from the left ear lobe to the right one.
JAW_OUTLINE = _traced(
    "181.8 132 182.1 137 182.8 142 184 147 185.4 151 187 155.5 189.5 160 193.5 165 198 169.3 203 172.7 212.5 176.9 224.5 178.4 237.5 176 "
    "246.2 171.8 251 167.5 255.3 163.6 258.8 159.8 261.8 155 264 151 265.6 147 266.8 142 267.6 137"
)
_INNER_LIPS = [78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308, 324, 318, 402, 317, 14, 87, 178, 88, 95]


@dataclass(frozen=True, kw_only=True)
class Photograph:
    """The layers of the photograph, all of one size.

    Args:
        scale: texture pixels per pixel of the photograph.
        head: RGBA; hair, ears and face down to the jaw.
        neck: RGBA; continued upwards behind the jaw and fading into the collar.
        torso: RGBA; suit and collar, continued behind the head.
        teeth: RGBA; what the smile shows of the upper teeth.
    """

    scale: float
    head: Image
    neck: Image
    torso: Image
    teeth: Image

    def texture_uv(self, photo_px: FloatArray) -> FloatArray:
        """Pixels of the photograph ``[..., 2]`` to pixels of the textures."""
        return _to_texture(photo_px, self.scale)


@cache
def photograph_landmarks() -> FloatArray:
    """MediaPipe's face mesh of the photograph, ``[478, 3]`` pixels of it; smaller z is nearer."""
    from mediapipe.python.solutions.face_mesh import FaceMesh

    x, y, size = 100, -20, 250
    photo = cv2.copyMakeBorder(skimage.data.astronaut(), -y, 0, 0, 0, cv2.BORDER_REPLICATE)
    # The face of the whole photograph is too small for the detector's best.
    close = cv2.resize(photo[:size, x : x + size], (1000, 1000), interpolation=cv2.INTER_LANCZOS4)
    with FaceMesh(static_image_mode=True, refine_landmarks=True, max_num_faces=1) as face_mesh:
        found = face_mesh.process(close).multi_face_landmarks
    assert found, "MediaPipe does not find the face of the photograph that it was chosen for"
    points = np.array([(point.x, point.y, point.z) for point in found[0].landmark]) * size
    return np.asarray(points + (x, y, 0), float)


def photograph(scale: float) -> Photograph:
    """Take the photograph apart.

    Args:
        scale: texture pixels wanted per pixel of the photograph.
    """
    left, top = (round(corner - _MARGIN_PX) for corner in WINDOW_ORIGIN_PX)
    span = round(WINDOW_SIZE_PX + 2 * _MARGIN_PX)
    padded = cv2.copyMakeBorder(skimage.data.astronaut(), -top, 0, 0, 0, cv2.BORDER_REPLICATE)
    calm = cv2.bilateralFilter(padded[:span, left : left + span], 5, 14, 1.6)
    size = round(span * scale)
    scale = size / span
    big = cv2.resize(calm, (size, size), interpolation=cv2.INTER_LANCZOS4)
    soft = cv2.GaussianBlur(big, (0, 0), 0.8 * scale)
    big = cv2.addWeighted(big, 1.45, soft, -0.45, 0)
    landmarks = photograph_landmarks()
    head_alpha = _head_alpha(big, scale)
    torso_alpha = _filled(_TORSO_OUTLINE, size, scale, inset=0.7, feather=0.55)
    return Photograph(
        scale=scale,
        head=_layer(_lips_shaded(big, landmarks, scale), head_alpha, scale),
        neck=_neck(big, scale),
        torso=_torso(big, head_alpha, torso_alpha, scale),
        teeth=_teeth(big, landmarks, scale),
    )


def _to_texture(photo_px: FloatArray, scale: float) -> FloatArray:
    return (photo_px - np.array(WINDOW_ORIGIN_PX) + _MARGIN_PX) * scale


def _rows_and_columns(size: int, scale: float) -> tuple[FloatArray, FloatArray]:
    """The photograph's ``y`` of every texture row ``[size, 1]`` and ``x`` of every column ``[1, size]``."""
    along = (np.arange(size) + 0.5) / scale - _MARGIN_PX
    return (along + WINDOW_ORIGIN_PX[1])[:, None], (along + WINDOW_ORIGIN_PX[0])[None, :]


def _filled(outline: FloatArray, size: int, scale: float, *, inset: float = 0.0, feather: float = 0.5) -> FloatArray:
    """Coverage ``[size, size]`` in [0, 1] of a polygon, shrunk by ``inset`` and softened over ``feather`` photo pixels."""
    mask = np.zeros((size, size), np.uint8)
    cv2.fillPoly(mask, [np.round((_to_texture(outline, scale) - 0.5) * 16).astype(np.int32)], (255,), cv2.LINE_AA, shift=4)
    inside = cv2.distanceTransform((mask > 127).astype(np.uint8), cv2.DIST_L2, 5)
    outside = cv2.distanceTransform((mask <= 127).astype(np.uint8), cv2.DIST_L2, 5)
    distance = (inside - outside) / scale - inset
    return np.asarray(np.clip(distance / (2 * feather) + 0.5, 0, 1), np.float32)


def _head_alpha(big: Image, scale: float) -> FloatArray:
    """Face, ears and hair; the hair's edge from its colour against the plain backdrop, the jaw from the face mesh."""
    size = big.shape[0]
    outline = np.concatenate([HAIR_OUTLINE, JAW_OUTLINE[::-1]])
    core = _filled(outline, size, scale, inset=4.5, feather=0.5)
    beyond = _filled(outline, size, scale, inset=-3.0) < 0.01
    y, x = _rows_and_columns(size, scale)
    around = (y < 150) & (x > 105) & (x < 345)
    backdrop = _smooth_colour(big, (beyond & around).astype(np.float32), 12 * scale)
    foreground = _smooth_colour(big, core, 2.5 * scale)
    across = foreground - backdrop
    matte = ((big - backdrop) * across).sum(-1) / np.maximum((across * across).sum(-1), 60.0)
    matte = np.clip((matte - 0.18) / 0.5, 0, 1)
    hair = np.maximum(core, matte * _filled(outline, size, scale, inset=-1.5, feather=1.0))
    # Below the ears the backdrop gives way to neck and collar, which the matte knows nothing about.
    low = np.clip((y - 112) / 5, 0, 1)
    return hair * (1 - low) + low * _filled(outline, size, scale, inset=0.25, feather=0.6)


def _smooth_colour(picture: np.ndarray, weight: FloatArray, sigma: float) -> FloatArray:
    """The colours where ``weight`` is, spread smoothly to where it is not."""
    result = np.zeros(picture.shape, np.float32)
    certainty = np.zeros(weight.shape, np.float32)
    for widening in (1.0, 3.0, 9.0):
        shrink = max(1, int(sigma * widening / 2))
        small = (picture.shape[1] // shrink, picture.shape[0] // shrink)
        weighted = cv2.resize(picture.astype(np.float32) * weight[..., None], small, interpolation=cv2.INTER_AREA)
        weights = cv2.resize(weight.astype(np.float32), small, interpolation=cv2.INTER_AREA)
        blur = sigma * widening / shrink
        weighted, weights = cv2.GaussianBlur(weighted, (0, 0), blur), cv2.GaussianBlur(weights, (0, 0), blur)
        mean = weighted / np.maximum(weights, 1e-6)[..., None]
        mean = cv2.resize(mean, weight.shape[::-1], interpolation=cv2.INTER_LINEAR)
        trust = np.clip(cv2.resize(weights, weight.shape[::-1], interpolation=cv2.INTER_LINEAR) * 50, 0, 1) * (1 - certainty)
        result += mean * trust[..., None]
        certainty += trust
    return result / np.maximum(certainty, 1e-6)[..., None]


def _layer(picture: np.ndarray, alpha: FloatArray, scale: float, rim_px: float = 1.4) -> Image:
    """RGBA whose colours beyond the edge and in a rim within it come from inside, so that no backdrop shines through."""
    solid = (alpha > 0.97).astype(np.uint8)
    depth = cv2.distanceTransform(solid, cv2.DIST_L2, 5) / scale
    spread = _smooth_colour(picture, (depth > rim_px).astype(np.float32), 0.9 * scale)
    keep = np.clip((depth - rim_px + 0.5) / 1.0, 0, 1)[..., None]
    colour = picture * keep + spread * (1 - keep)
    return np.dstack([np.clip(colour, 0, 255), alpha * 255]).round().astype(np.uint8)


def _lips_shaded(big: Image, landmarks: FloatArray, scale: float) -> Image:
    """A dark line where the lips meet, instead of the light of the teeth they part over in the photograph."""
    inner = landmarks[_INNER_LIPS, :2]
    size = big.shape[0]
    near = _filled(inner, size, scale, inset=-0.9, feather=0.9)[..., None]
    return np.asarray(big * (1 - near) + near * np.array([96, 42, 44], np.float32)).astype(np.uint8)


def _teeth(big: Image, landmarks: FloatArray, scale: float) -> Image:
    """The teeth, told from the lips by how little red they are and from the corners' dark by their brightness."""
    colour = cv2.GaussianBlur(big, (0, 0), 0.35 * scale).astype(np.float32)
    white = np.clip((colour[..., 1] / np.maximum(colour[..., 0], 1) - 0.70) / 0.12, 0, 1)
    bright = np.clip((colour[..., 1] - 95) / 50, 0, 1)
    mouth = _filled(landmarks[_INNER_LIPS, :2], big.shape[0], scale, inset=-1.2, feather=0.6)
    return _layer(big, white * bright * mouth, scale, rim_px=0.3)


def _neck(big: Image, scale: float) -> Image:
    """Skin and collar below the jaw, the skin continued upwards and darker behind the jaw."""
    size = big.shape[0]
    y, x = _rows_and_columns(size, scale)
    first_row = np.searchsorted(y[:, 0], np.interp(x[0], JAW_OUTLINE[:, 0], JAW_OUTLINE[:, 1]) + 2.2)[None, :]
    rows = np.arange(size)[:, None]
    source = np.maximum(rows, first_row)
    picture = np.take_along_axis(big, np.broadcast_to(source[..., None], big.shape), axis=0).astype(np.float32)
    continued = cv2.GaussianBlur(picture, (0, 0), 2.0 * scale)
    depth = np.clip((first_row - rows) / (1.5 * scale), 0, 1)[..., None]
    picture = picture * (1 - depth) + continued * depth
    shade = 1.0 - 0.35 * np.clip((first_row - rows) / (14 * scale), 0, 1)
    alpha = _filled(_NECK_OUTLINE, size, scale, inset=0.3, feather=0.6)
    fade = np.clip((208 - y) / 14, 0, 1)
    layer = _layer(picture * shade[..., None], alpha, scale)
    layer[..., 3] = np.round(layer[..., 3] * fade)
    return layer


def _torso(big: Image, head_alpha: FloatArray, torso_alpha: FloatArray, scale: float) -> Image:
    """The suit, with the collar's inside continued to where the head and neck hide it."""
    size = big.shape[0]
    covered = np.maximum(head_alpha, _filled(_NECK_OUTLINE, size, scale, inset=-2.0)) > 0.02
    hidden = cv2.dilate(covered.astype(np.uint8), np.ones((5, 5), np.uint8))
    hidden[_rows_and_columns(size, scale)[0][:, 0] > 190] = 0
    small = cv2.resize(big, None, fx=1 / scale, fy=1 / scale, interpolation=cv2.INTER_AREA)
    small_hidden = cv2.resize(hidden, small.shape[1::-1], interpolation=cv2.INTER_NEAREST)
    filled = cv2.GaussianBlur(cv2.inpaint(small, small_hidden, 4, cv2.INPAINT_TELEA), (0, 0), 1.5)
    filled = cv2.resize(filled, (size, size), interpolation=cv2.INTER_CUBIC)
    share = cv2.GaussianBlur(hidden.astype(np.float32), (0, 0), 1.0 * scale)[..., None]
    picture = filled * share + big * (1 - share)
    return _layer(picture, torso_alpha, scale)

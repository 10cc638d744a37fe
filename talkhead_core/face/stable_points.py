"""Optical-flow tracks of points on the face that speech does not move: SyncTalk's head stabiliser (Peng et al. 2024, sec. 3.3).

Points are seeded on the forehead, the bridge of the nose and the cheekbones of a key frame, and found again in each of the
next frames by Lucas-Kanade *from the key frame itself*, so that errors do not add up along a track.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import cv2
import numpy as np

from talkhead_core.face.mesh_topology import JAW, LEFT_BROW, LEFT_EYE, LIPS, RIGHT_BROW, RIGHT_EYE, surface_triangles
from talkhead_core.parameters import require
from talkhead_core.progress import Progress, silent
from talkhead_core.types import Camera

__all__ = ["PointTracks", "StablePointConfig", "stable_triangles", "track_stable_points"]

_LEVELS = 2  # of the pyramid, above the picture
_MARGIN_PX = 64


@dataclass(frozen=True, kw_only=True)
class StablePointConfig:
    """How stable points are followed.

    Args:
        key_interval_frames: frames from one key frame to the next.
        life_frames: frames over which a point is followed.
        cells: the face is divided into this many cells across; each gives at most one point.
        window_px: Lucas-Kanade's window, in an image whose longer side is 512 pixels.
        round_trip_px: a point that does not come back to within this distance is dropped, same image.
    """

    key_interval_frames: int = 10
    life_frames: int = 20
    cells: int = 14
    window_px: int = 17
    round_trip_px: float = 0.5

    def __post_init__(self) -> None:
        require(self.key_interval_frames >= 1, f"key_interval_frames must be at least 1, not {self.key_interval_frames}")
        require(self.life_frames > self.key_interval_frames, "life_frames must be longer than key_interval_frames")
        require(self.cells >= 4, f"cells must be at least 4, not {self.cells}")
        require(self.window_px >= 5 and self.window_px % 2 == 1, f"window_px must be odd and at least 5, not {self.window_px}")


@dataclass
class PointTracks:
    """The points of one key frame, followed.

    Args:
        first: the key frame's row.
        points_cm: ``[T, 3]`` where the points lie on the person's shape, head frame.
        pixels: ``[L, T, 2]`` clip pixels, from row ``first`` on.
        weight: ``[L, T]``, 0 where a point was lost.
    """

    first: int
    points_cm: np.ndarray
    pixels: np.ndarray
    weight: np.ndarray


def stable_triangles(shape_cm: np.ndarray) -> np.ndarray:
    """Triangles ``[T, 3]`` of the face that speech moves least: above the base of the nose, less eyes and brows."""
    moving = set(LIPS + JAW + LEFT_EYE + RIGHT_EYE + LEFT_BROW + RIGHT_BROW)
    high = shape_cm[:, 1] > -4.0
    return np.array([t for t in surface_triangles().tolist() if not moving & set(t) and high[t].all()])


def track_stable_points(
    frames: Iterable[np.ndarray],
    *,
    rotation: np.ndarray,
    translation_cm: np.ndarray,
    shape_cm: np.ndarray,
    camera: Camera,
    shot: np.ndarray,
    good: np.ndarray,
    config: StablePointConfig | None = None,
    progress: Progress = silent,
) -> list[PointTracks]:
    """Follow stable points through a clip, never across a shot.

    Args:
        frames: the clip in gray, ``[H, W]`` uint8, one per row of the poses.
        rotation: ``[N, 3, 3]`` head to camera; a first estimate, which only places the seeds.
        translation_cm: ``[N, 3]``.
        shape_cm: ``[468, 3]``.
        camera: the clip's.
        shot: ``[N]``.
        good: ``[N]`` bool: frames with an unoccluded face; seeds are set only there.
        config: how.
        progress: told of every frame.
    """
    config = config or StablePointConfig()
    seeder = _Seeder(shape_cm, camera, config)
    finished: list[PointTracks] = []
    active: list[_Follower] = []
    since_key = config.key_interval_frames
    for row, frame in enumerate(frames):
        view = _View(frame)
        if row and shot[row] != shot[row - 1]:
            finished += [follower.tracks() for follower in active]
            active, since_key = [], config.key_interval_frames
        for follower in active:
            follower.follow(view)
        finished += [f.tracks() for f in active if f.length >= config.life_frames]
        active = [f for f in active if f.length < config.life_frames]
        if since_key >= config.key_interval_frames and good[row]:
            pixels, points = seeder.seeds(view, rotation[row], translation_cm[row])
            if len(points) >= 8:
                active.append(_Follower(row, view, pixels, points, config))
                since_key = 0
        since_key += 1
        progress(row + 1, len(good))
    finished += [follower.tracks() for follower in active]
    return [tracks for tracks in finished if len(tracks.pixels) > 1]


class _View:
    """A gray frame as Lucas-Kanade wants it: at most 512 pixels on the longer side."""

    def __init__(self, gray: np.ndarray) -> None:
        self.scale = min(1.0, 512 / max(gray.shape))
        if self.scale < 1:
            gray = cv2.resize(gray, None, fx=self.scale, fy=self.scale, interpolation=cv2.INTER_AREA)
        self.gray = gray

    def to_clip(self, points: np.ndarray) -> np.ndarray:
        """OpenCV's coordinates (pixel centres at integers) to clip pixels (centres at .5)."""
        return (points + 0.5) / self.scale

    def from_clip(self, pixels: np.ndarray) -> np.ndarray:
        return (pixels * self.scale - 0.5).astype(np.float32)


class _Seeder:
    def __init__(self, shape_cm: np.ndarray, camera: Camera, config: StablePointConfig) -> None:
        self._shape, self._camera, self._config = shape_cm, camera, config
        self._triangles = stable_triangles(shape_cm)

    def seeds(self, view: _View, rotation: np.ndarray, translation: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """OpenCV points ``[T, 2]`` and where they lie on the shape ``[T, 3]``."""
        posed = self._shape @ rotation.T + translation
        vertices = view.from_clip(self._camera.project(posed))
        triangles = self._triangles[_faces_camera(posed, self._triangles)]
        mask = np.zeros(view.gray.shape, np.uint8)
        cv2.fillPoly(mask, [np.round(corners).astype(np.int32) for corners in vertices[triangles]], (255,))
        mask = cv2.erode(mask, np.ones((3, 3), np.uint8)).astype(np.uint8)
        pixels = self._strongest_per_cell(view.gray, mask)
        if not len(pixels):
            return np.empty((0, 2), np.float32), np.empty((0, 3))
        which, weights = _barycentric(pixels, vertices[triangles])
        points = np.einsum("tk,tki->ti", weights, self._shape[triangles[which]])
        return pixels, points

    def _strongest_per_cell(self, gray: np.ndarray, mask: np.ndarray) -> np.ndarray:
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        if not len(rows):
            return np.empty((0, 2), np.float32)
        top, left = rows[0], columns[0]
        inside = np.s_[top : rows[-1] + 1, left : columns[-1] + 1]
        strength = cv2.cornerMinEigenVal(gray, 7)[inside] * (mask[inside] > 0)
        cell = max(4, int(np.ceil(strength.shape[1] / self._config.cells)))
        pad = [(0, -size % cell) for size in strength.shape]
        tiles = np.pad(strength, pad).reshape(-(-strength.shape[0] // cell), cell, -1, cell).swapaxes(1, 2)
        flat = tiles.reshape(*tiles.shape[:2], -1)
        best, value = flat.argmax(-1), flat.max(-1)
        tile_row, tile_column = np.nonzero(value > 0.02 * np.median(value[value > 0]) if (value > 0).any() else value > 0)
        offset = best[tile_row, tile_column]
        y, x = tile_row * cell + offset // cell, tile_column * cell + offset % cell
        return np.stack([x + left, y + top], axis=1).astype(np.float32)


@dataclass
class _Follower:
    first: int
    key: _View
    seeds: np.ndarray
    points_cm: np.ndarray
    config: StablePointConfig
    _pixels: list[np.ndarray] = field(default_factory=list)
    _weight: list[np.ndarray] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._guess = self.seeds
        self._alive = np.ones(len(self.seeds), bool)
        self._pixels.append(self.key.to_clip(self.seeds))
        self._weight.append(np.ones(len(self.seeds)))

    @property
    def length(self) -> int:
        return len(self._pixels)

    def follow(self, view: _View) -> None:
        there, found = self._flow(self.key.gray, view.gray, self.seeds, self._guess)
        back, returned = self._flow(view.gray, self.key.gray, there, self.seeds)
        away = np.linalg.norm(back - self.seeds, axis=1)
        good = found & returned & (away < self.config.round_trip_px)
        self._alive &= good | (self.length < 3)  # one lost frame ends a track; the first frames may stumble
        self._guess = np.where(good[:, None], there, self._guess + self._common_motion(there, good))
        self._pixels.append(view.to_clip(there))
        self._weight.append((good & self._alive).astype(np.float64))

    def _flow(self, before: np.ndarray, after: np.ndarray, points: np.ndarray, guess: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        # Around the points alone: the pyramids of whole frames take twice as long as following.
        (left, top), box = _window_around(np.concatenate([points, guess]), (before.shape[0], before.shape[1]))
        origin = np.array([left, top], np.float32)
        moved, found, _ = cv2.calcOpticalFlowPyrLK(
            before[box],
            after[box],
            points - origin,
            (guess - origin).astype(np.float32),  # a copy: OpenCV writes into it
            winSize=(self.config.window_px, self.config.window_px),
            maxLevel=_LEVELS,
            criteria=(cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 20, 0.01),
            flags=cv2.OPTFLOW_USE_INITIAL_FLOW,
        )
        return np.asarray(moved) + origin, np.asarray(found)[:, 0] > 0

    def _common_motion(self, there: np.ndarray, good: np.ndarray) -> np.ndarray:
        return np.median((there - self._guess)[good], axis=0) if good.any() else np.zeros(2, np.float32)

    def tracks(self) -> PointTracks:
        return PointTracks(self.first, self.points_cm, np.stack(self._pixels), np.stack(self._weight))


def _window_around(points: np.ndarray, shape: tuple[int, int]) -> tuple[tuple[int, int], tuple[slice, slice]]:
    """Left and top, and rows and columns, that hold ``points [T, 2]`` and all that Lucas-Kanade looks at around them."""
    size = np.array([shape[1], shape[0]])
    inside = np.clip(points, 0, size)
    step = 2**_LEVELS  # the window's pyramid has the pixels of the whole frame's
    low = np.clip(inside.min(axis=0) - _MARGIN_PX, 0, np.maximum(size - 2 * _MARGIN_PX, 0)).astype(int) // step * step
    high = np.minimum(np.maximum(np.ceil(inside.max(axis=0)).astype(int) + _MARGIN_PX, low + 2 * _MARGIN_PX), size)
    return (int(low[0]), int(low[1])), np.s_[int(low[1]) : int(high[1]), int(low[0]) : int(high[0])]


def _faces_camera(posed: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """Triangles seen at less than about 75 degrees."""
    a, b, c = (posed[triangles[:, i]] for i in range(3))
    normal = np.cross(b - a, c - a)
    cosine = -(normal * a).sum(1) / (np.linalg.norm(normal, axis=1) * np.linalg.norm(a, axis=1) + 1e-9)
    return cosine > 0.25


def _barycentric(points: np.ndarray, corners: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For ``points [T, 2]`` the triangle of ``corners [F, 3, 2]`` that holds each best, and its weights ``[T, 3]``."""
    a, b, c = corners[:, 0], corners[:, 1], corners[:, 2]
    area = _cross(b - a, c - a)
    offset = points[:, None] - a
    second = _cross(offset, c - a) / area
    third = _cross(b - a, offset) / area
    weights = np.stack([1 - second - third, second, third], axis=-1)
    which = weights.min(-1).argmax(1)
    chosen = np.clip(weights[np.arange(len(points)), which], 0, 1)
    return which, chosen / chosen.sum(1, keepdims=True)


def _cross(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    return first[..., 0] * second[..., 1] - first[..., 1] * second[..., 0]

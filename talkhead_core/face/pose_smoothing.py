"""Poses over time: the smoothing prior, filling of gaps, and the measure of jitter."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from talkhead_core.face.rotations import log_so3, slerp, yaw_pitch_roll_deg

__all__ = ["SmoothingPrior", "fill_gaps", "fill_rows", "jitter_deg"]

_STENCIL = (1.0, -2.0, 1.0)


class SmoothingPrior:
    """Second differences of rotation and translation, within shots.

    Args:
        shot: ``[N]`` shot index of every frame.
        rotation_deg: standard deviation of the rotation's second difference, degrees a frame squared.
        translation_cm: the same for the translation, ``[3]`` for x, y, z.
    """

    def __init__(self, shot: np.ndarray, *, rotation_deg: float, translation_cm: tuple[float, float, float]) -> None:
        self._middle = np.flatnonzero((shot[2:] == shot[1:-1]) & (shot[1:-1] == shot[:-2])) + 1
        self._precision = 1.0 / np.square([np.radians(rotation_deg)] * 3 + list(translation_cm))
        self._frames = len(shot)

    def _second_differences(self, rotation: np.ndarray, translation: np.ndarray) -> np.ndarray:
        i = self._middle
        steps = log_so3(rotation[1:] @ rotation[:-1].swapaxes(-1, -2))
        moves = np.diff(translation, axis=0)
        return np.concatenate([steps[i] - steps[i - 1], moves[i] - moves[i - 1]], axis=1)

    def cost(self, rotation: np.ndarray, translation: np.ndarray) -> float:
        """Sum of squared, weighted second differences."""
        return float((self._precision * self._second_differences(rotation, translation) ** 2).sum())

    def gradient(self, rotation: np.ndarray, translation: np.ndarray) -> np.ndarray:
        """Half the cost's gradient ``[N, 6]``; a step between frames is small enough to take rotations as vectors."""
        weighted = self._precision * self._second_differences(rotation, translation)
        result = np.zeros((self._frames, 6))
        for offset, factor in zip((-1, 0, 1), _STENCIL, strict=True):
            np.add.at(result, self._middle + offset, factor * weighted)
        return result

    def banded(self, blocks: np.ndarray) -> np.ndarray:
        """The lower banded matrix ``[18, 6 N]`` of ``blocks [N, 6, 6]`` on the diagonal plus the smoothing."""
        frames = len(blocks)
        banded = np.zeros((18, frames, 6))
        for row in range(6):
            for column in range(row + 1):
                banded[row - column, :, column] = blocks[:, row, column]
        for a, factor_a in enumerate(_STENCIL):
            for b, factor_b in enumerate(_STENCIL[: a + 1]):
                np.add.at(banded[6 * (a - b)], self._middle - 1 + b, factor_a * factor_b * self._precision)
        return banded.reshape(18, 6 * frames)


def fill_gaps(rotation: np.ndarray, translation: np.ndarray, good: np.ndarray, shot: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Poses with those of bad frames interpolated (slerp, linear) between the good frames about them.

    At a shot's ends the nearest good pose of the shot is held; a shot without a good frame holds the clip's nearest.

    Args:
        rotation: ``[N, 3, 3]``.
        translation: ``[N, 3]``.
        good: ``[N]`` bool; at least one.
        shot: ``[N]``.
    """
    rotation = rotation.copy()
    for frame, before, after, fraction in _gaps(good, shot):
        rotation[frame] = slerp(rotation[before], rotation[after], np.array([fraction]))[0]
    return rotation, fill_rows(translation, good, shot)


def fill_rows(values: np.ndarray, good: np.ndarray, shot: np.ndarray) -> np.ndarray:
    """``values [N, ...]`` with the rows of bad frames interpolated linearly, as :func:`fill_gaps` does."""
    values = values.copy()
    for frame, before, after, fraction in _gaps(good, shot):
        values[frame] = values[before] + fraction * (values[after] - values[before])
    return values


def _gaps(good: np.ndarray, shot: np.ndarray) -> Iterator[tuple[int, int, int, float]]:
    """(bad frame, good frame before, good frame after, how far between them)."""
    known = np.flatnonzero(good)
    for frame in np.flatnonzero(~good):
        near = known[shot[known] == shot[frame]]
        if not len(near):
            near = known[[np.abs(known - frame).argmin()]]
        position = int(np.searchsorted(near, frame))
        before, after = int(near[max(position - 1, 0)]), int(near[min(position, len(near) - 1)])
        yield int(frame), before, after, min(max((frame - before) / (after - before), 0.0), 1.0) if after > before else 0.0


def jitter_deg(rotation: np.ndarray, shot: np.ndarray, good: np.ndarray | None = None) -> float:
    """RMS second difference of yaw, pitch and roll in degrees, within shots, over triples of good frames."""
    angles = yaw_pitch_roll_deg(rotation)
    usable = np.ones(len(shot), bool) if good is None else good
    inside = (shot[2:] == shot[:-2]) & usable[2:] & usable[1:-1] & usable[:-2]
    second = (angles[2:] - 2 * angles[1:-1] + angles[:-2])[inside]
    return float(np.sqrt((second**2).mean())) if len(second) else 0.0

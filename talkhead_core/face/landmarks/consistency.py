"""How far a frame's landmarks can be believed: do its rigid points keep the person's own shape?"""

from __future__ import annotations

import numpy as np

from talkhead_core.face.mesh_topology import RIGID

__all__ = ["ShapeConsistency", "similarity_fit"]


def similarity_fit(source: np.ndarray, target: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """Scale, rotation and translation that take ``source [P, 3]`` to ``target [P, 3]`` in least squares (Umeyama 1991, eq. 40-42)."""
    mean_source, mean_target = source.mean(0), target.mean(0)
    centred = source - mean_source
    u, singular, vt = np.linalg.svd((target - mean_target).T @ centred)
    flip = np.ones(3)
    flip[2] = np.sign(np.linalg.det(u @ vt))
    rotation = (u * flip) @ vt
    scale = float((singular * flip).sum() / (centred**2).sum())
    return scale, rotation, mean_target - scale * rotation @ mean_source


class ShapeConsistency:
    """Confidence of one face after another from the fit of its rigid points to those seen so far.

    Args:
        tolerance: RMS residual, as a fraction of the shape's RMS radius, at which the confidence is one half.
        memory: frames over which the mean shape is formed.
    """

    def __init__(self, *, tolerance: float = 0.06, memory: int = 50) -> None:
        self._tolerance, self._memory = tolerance, memory
        self._mean: np.ndarray | None = None
        self._seen = 0

    def confidence(self, points: np.ndarray) -> float:
        """In [0, 1] for one frame's ``[>=468, 3]`` points; the first face has nothing to disagree with and gets 1."""
        rigid = points[list(RIGID)].astype(np.float64)
        if self._mean is None:
            centred = rigid - rigid.mean(0)
            self._mean = centred / np.sqrt((centred**2).sum(1).mean())
            self._seen = 1
            return 1.0
        scale, rotation, shift = similarity_fit(rigid, self._mean)
        fitted = scale * rigid @ rotation.T + shift
        residual = float(np.sqrt(((fitted - self._mean) ** 2).sum(1).mean()))
        confidence = 1.0 / (1.0 + (residual / self._tolerance) ** 2)
        self._seen = min(self._seen + 1, self._memory)
        self._mean = self._mean + confidence / self._seen * (fitted - self._mean)
        return confidence

"""Lip codes: what the lower face does, in a few numbers.

Principal components of the lips', jaw's and cheeks' displacement in the head frame, whitened, with their effect on the whole mesh
(least squares), so that a code moves the face smoothly and not only the vertices it was fitted on. The effect fades out between
the nose's tip and the eyes: what eyes and brows do is not heard, and codes predicted from audio must not move them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from talkhead_core.face.mesh_topology import CHEEKS, INNER_LIP_LOWER, INNER_LIP_UPPER, JAW, LIPS
from talkhead_core.types import FloatArray

__all__ = ["LipCodes", "lip_codes_for", "lower_face_weight", "mouth_opening_cm"]

_LOWER_FACE = np.array(sorted({*LIPS, *JAW, *CHEEKS}))
_NOSE_TIP = 4
_LOWER_LIDS = (145, 374)

_FRAMES_PER_CODE = 130
_FEWEST_CODES, _MOST_CODES = 8, 12


def lip_codes_for(frames: int) -> int:
    """How many lip codes ``frames`` of training bear: a minute teaches what four more codes do, with twenty seconds they are noise."""
    return min(max(frames // _FRAMES_PER_CODE, _FEWEST_CODES), _MOST_CODES)


def mouth_opening_cm(mesh_cm: FloatArray) -> FloatArray:
    """Distance between the middles of the inner lips, ``[..., 468, 3]`` to ``[...]``."""
    return np.linalg.norm(mesh_cm[..., INNER_LIP_UPPER, :] - mesh_cm[..., INNER_LIP_LOWER, :], axis=-1)


def lower_face_weight(shape_cm: FloatArray) -> FloatArray:
    """1 below the nose's tip, 0 above the lower lids, smooth between, for the vertices of ``shape_cm [468, 3]``."""
    low, high = shape_cm[_NOSE_TIP, 1], shape_cm[list(_LOWER_LIDS), 1].mean()
    return np.asarray(np.clip((high - shape_cm[:, 1]) / max(high - low, 1e-3), 0.0, 1.0), dtype=np.float32)


@dataclass(frozen=True, kw_only=True)
class LipCodes:
    """A linear code of the mouth; codes of the fitted frames have zero mean and unit variance.

    Args:
        mean: of the lower face's displacement ``[lower * 3]``.
        components: rows that turn a displacement into codes ``[codes, lower * 3]``, scaled to unit variance.
        mesh_mean_cm: displacement of the whole mesh at code zero ``[468, 3]``.
        mesh_basis_cm: displacement of the whole mesh for one unit of each code ``[codes, 468, 3]``.
    """

    mean: FloatArray
    components: FloatArray
    mesh_mean_cm: FloatArray
    mesh_basis_cm: FloatArray

    @classmethod
    def fit(cls, mesh_cm: FloatArray, shape_cm: FloatArray, codes: int) -> LipCodes:
        """Fit on frames ``mesh_cm [frames, 468, 3]``; give training frames only."""
        displacement = (mesh_cm - shape_cm).astype(np.float64)
        lower = displacement[:, _LOWER_FACE].reshape(len(mesh_cm), -1)
        mean = lower.mean(axis=0)
        _, _, directions = np.linalg.svd(lower - mean, full_matrices=False)
        directions = directions[:codes]
        directions *= np.sign(directions[np.arange(len(directions)), np.abs(directions).argmax(axis=1)])[:, None]
        values = (lower - mean) @ directions.T
        scale = values.std(axis=0) + 1e-9
        design = np.concatenate([values / scale, np.ones((len(values), 1))], axis=1)
        effect, *_ = np.linalg.lstsq(design, displacement.reshape(len(mesh_cm), -1), rcond=None)
        return cls(
            mean=mean.astype(np.float32),
            components=(directions / scale[:, None]).astype(np.float32),
            mesh_mean_cm=effect[-1].reshape(-1, 3).astype(np.float32),
            mesh_basis_cm=effect[:-1].reshape(len(directions), -1, 3).astype(np.float32) * lower_face_weight(shape_cm)[:, None],
        )

    def encode(self, mesh_cm: FloatArray, shape_cm: FloatArray) -> FloatArray:
        """Meshes ``[frames, 468, 3]`` to codes ``[frames, codes]``."""
        lower = (mesh_cm - shape_cm)[:, _LOWER_FACE].reshape(len(mesh_cm), -1)
        return ((lower - self.mean) @ self.components.T).astype(np.float32)

    def opening_cm(self, codes: FloatArray, shape_cm: FloatArray) -> FloatArray:
        """Mouth opening that codes ``[frames, codes]`` stand for, ``[frames]``."""
        pair = [INNER_LIP_UPPER, INNER_LIP_LOWER]
        points = (shape_cm + self.mesh_mean_cm)[pair] + np.tensordot(codes, self.mesh_basis_cm[:, pair], axes=1)
        return np.linalg.norm(points[..., 0, :] - points[..., 1, :], axis=-1)

    def to_arrays(self) -> dict[str, np.ndarray]:
        """For a checkpoint; see :meth:`from_arrays`."""
        return {f"lip_codes.{name}": getattr(self, name) for name in ("mean", "components", "mesh_mean_cm", "mesh_basis_cm")}

    @classmethod
    def from_arrays(cls, arrays: dict[str, np.ndarray]) -> LipCodes:
        """The codes that a checkpoint holds."""
        return cls(**{name: arrays[f"lip_codes.{name}"] for name in ("mean", "components", "mesh_mean_cm", "mesh_basis_cm")})

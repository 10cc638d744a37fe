"""Upper-face codes: what eyes, lids and brows do, in a few numbers.

They come from tracking, as the pose does, and move the canonical face's geometry, so that a blink is a lid that comes down.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from talkhead_core.face.lip_codes import LipCodes, lower_face_weight
from talkhead_core.face.mesh_topology import CHEEKS, JAW, LIPS, MESH_POINTS
from talkhead_core.types import FloatArray

__all__ = ["UpperFaceCodes"]

_UPPER_FACE = np.array(sorted(set(range(MESH_POINTS)) - {*LIPS, *JAW, *CHEEKS}))
_LARGEST = 8.0
"""Codes are clipped to so many standard deviations: a landmark that slipped must not tear the face, and a blink is 4 to 6."""


@dataclass(frozen=True, kw_only=True)
class UpperFaceCodes:
    """A linear code of what the lip codes' effect, which fades out above the nose, leaves of the displacement.

    Unit variance on the fitted frames, zero at their mean.

    Args:
        components: ``[codes, upper * 3]``, turn what is left of the displacement into codes.
        mesh_basis_cm: displacement of the whole mesh for one unit of each code ``[codes, 468, 3]``.
    """

    components: FloatArray
    mesh_basis_cm: FloatArray

    @classmethod
    def fit(cls, mesh_cm: FloatArray, shape_cm: FloatArray, lip_codes: LipCodes, codes: int) -> UpperFaceCodes:
        """Fit on frames ``mesh_cm [frames, 468, 3]``; give training frames only."""
        left = _unexplained(mesh_cm, shape_cm, lip_codes).astype(np.float64)
        upper = left[:, _UPPER_FACE].reshape(len(left), -1)
        _, _, directions = np.linalg.svd(upper, full_matrices=False)
        directions = directions[:codes]
        directions *= np.sign(directions[np.arange(len(directions)), np.abs(directions).argmax(axis=1)])[:, None]
        values = upper @ directions.T
        scale = values.std(axis=0) + 1e-9
        effect, *_ = np.linalg.lstsq(values / scale, left.reshape(len(left), -1), rcond=None)
        return cls(
            components=(directions / scale[:, None]).astype(np.float32),
            mesh_basis_cm=effect.reshape(len(directions), MESH_POINTS, 3).astype(np.float32) * (1 - lower_face_weight(shape_cm))[:, None],
        )

    def encode(self, mesh_cm: FloatArray, shape_cm: FloatArray, lip_codes: LipCodes) -> FloatArray:
        """Meshes ``[frames, 468, 3]`` to codes ``[frames, codes]``."""
        left = _unexplained(mesh_cm, shape_cm, lip_codes)[:, _UPPER_FACE].reshape(len(mesh_cm), -1)
        return np.clip(left @ self.components.T, -_LARGEST, _LARGEST).astype(np.float32)

    def to_arrays(self) -> dict[str, np.ndarray]:
        """For a checkpoint; see :meth:`from_arrays`."""
        return {"upper_face_codes.components": self.components, "upper_face_codes.mesh_basis_cm": self.mesh_basis_cm}

    @classmethod
    def from_arrays(cls, arrays: dict[str, np.ndarray]) -> UpperFaceCodes:
        """The codes that a checkpoint holds."""
        return cls(components=arrays["upper_face_codes.components"], mesh_basis_cm=arrays["upper_face_codes.mesh_basis_cm"])


def _unexplained(mesh_cm: FloatArray, shape_cm: FloatArray, lip_codes: LipCodes) -> FloatArray:
    codes = lip_codes.encode(mesh_cm, shape_cm)
    explained = lip_codes.mesh_mean_cm + np.tensordot(codes, lip_codes.mesh_basis_cm, axes=1)
    return np.asarray(mesh_cm - shape_cm - explained, dtype=np.float32)

"""The 68 points of the iBUG 300-W annotation, which the field's datasets and metrics use, from the face mesh."""

from __future__ import annotations

import numpy as np

from talkhead_core.face.mesh_topology import LIPS_68
from talkhead_core.types import FloatArray

__all__ = ["POINTS_68", "points_68"]

_JAW = (127, 234, 93, 132, 58, 172, 150, 176, 152, 400, 379, 397, 288, 361, 323, 454, 356)
_BROWS = (70, 63, 105, 66, 107, 336, 296, 334, 293, 300)
_NOSE = (168, 197, 5, 4, 98, 97, 2, 326, 327)
_EYES = (33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380)

POINTS_68 = (*_JAW, *_BROWS, *_NOSE, *_EYES, *LIPS_68)
"""Nearest mesh vertices, in the annotation's order: jaw from the image's left, brows, nose, eyes, lips.

On a turned head the annotation's jaw follows the visible outline, the mesh's stays on the face.
"""


def points_68(mesh: FloatArray) -> FloatArray:
    """Mesh points ``[..., >= 468, D]`` to ``[..., 68, D]``."""
    return mesh[..., np.array(POINTS_68), :]

"""OpenFace's action units of the upper face, by the frames of a clip."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from talkhead_core.errors import InputError
from talkhead_core.face.source_frames import source_frames
from talkhead_core.media.openface_csv import action_units_of, attached_openface

__all__ = ["UPPER_FACE_UNITS", "upper_face_units"]

UPPER_FACE_UNITS = ("AU01", "AU02", "AU04", "AU05", "AU06", "AU07", "AU09", "AU45")
"""Brows, lids, cheeks, nose, and the blink (ER-NeRF conditions on the last alone)."""


def upper_face_units(video: Path, ingest: dict[str, Any]) -> np.ndarray:
    """Intensities 0 to 5, ``[N, 8]`` float32 in the order of ``UPPER_FACE_UNITS``; NaN where OpenFace found no face.

    Args:
        video: the recording, which carries OpenFace's CSV.
        ingest: the content of ``ingest.json``.

    Raises:
        InputError: it carries none, or that of another video.
    """
    content = attached_openface(video)
    if content is None:
        raise InputError(
            f"track_head.expression.source is 'action_units', and {video} carries none; "
            "run 'talkhead run --speaker NAME --video VIDEO --action-units OPENFACE.csv --replace'"
        )
    units = action_units_of(content, f"{video}'s action units")[list(UPPER_FACE_UNITS)]
    recorded = len(ingest["source"]["timestamps_s"])
    if abs(len(units) - recorded) > 1:  # decoders differ by a frame at the end
        raise InputError(f"{video}: has {recorded} frames and its action units {len(units)}; run OpenFace on this very video")
    return units.reindex(source_frames(ingest)).to_numpy(np.float32)

"""Which frame of the recording each frame of the clip shows."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["source_frames"]


def source_frames(ingest: dict[str, Any]) -> np.ndarray:
    """Numbers of the recording's frames, from 0, ``[N] int64``.

    Args:
        ingest: the content of ``ingest.json``.
    """
    times_s = np.asarray(ingest["source"]["timestamps_s"])
    middle = (times_s[1:] + times_s[:-1]) / 2
    return np.searchsorted(middle, np.asarray(ingest["frame_source_timestamp_s"]))

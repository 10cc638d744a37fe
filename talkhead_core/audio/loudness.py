"""One loudness for every recording, measured only while somebody speaks (the idea of ITU-T P.56's active level)."""

from __future__ import annotations

import numpy as np

from talkhead_core.audio.voice_activity import speech_levels
from talkhead_core.types import FloatArray

__all__ = ["ACTIVE_LEVEL_DBFS", "normalise_loudness"]

ACTIVE_LEVEL_DBFS = -26.0
"""The nominal speech level of ITU-T P.56 test material."""

_MOST_GAIN_DB = 40.0


def normalise_loudness(audio: FloatArray, level_dbfs: float = ACTIVE_LEVEL_DBFS) -> FloatArray:
    """``audio`` scaled so that its speech has RMS ``level_dbfs``; unchanged where nobody speaks.

    Args:
        audio: mono ``[samples]`` at 16 kHz.
        level_dbfs: wanted RMS level while somebody speaks, dB re full scale.

    Returns:
        float32 ``[samples]``; may exceed [-1, 1], nothing is clipped.
    """
    level = speech_levels([audio]).speech_dbfs
    if not np.isfinite(level):
        return np.asarray(audio, dtype=np.float32)
    gain_db = min(level_dbfs - level, _MOST_GAIN_DB)
    return np.asarray(audio * 10 ** (gain_db / 20), dtype=np.float32)

"""Whether the sound can be learned from."""

from __future__ import annotations

from typing import Any

import numpy as np

from talkhead_core.footage.finding import Finding
from talkhead_core.types import FloatArray

__all__ = ["sound_findings"]

_SILENT_DBFS = -60.0
_FRAME_S = 0.02


def sound_findings(audio: FloatArray, sample_rate_hz: int) -> tuple[list[Finding], dict[str, Any]]:
    """Findings and figures about mono speech ``[samples]`` in [-1, 1]."""
    hop = round(_FRAME_S * sample_rate_hz)
    frames = audio[: len(audio) // hop * hop].reshape(-1, hop).astype(np.float64)
    level = 10 * np.log10((frames - frames.mean()).var(axis=1) + 1e-12)
    loud = float(np.percentile(level, 95)) if len(level) else -120.0
    figures = {"speech_level_dbfs": loud}
    if loud < _SILENT_DBFS:
        finding = Finding(
            level="fail",
            code="silent",
            message=f"its audio track is silent ({loud:.0f} dBFS)",
            advice="give a video with the speaker's voice",
        )
        return [finding], figures
    return [], figures

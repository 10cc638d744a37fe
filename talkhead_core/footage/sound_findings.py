"""Whether the sound can be learned from."""

from __future__ import annotations

from typing import Any

import numpy as np

from talkhead_core.audio.voice_activity import speech_levels
from talkhead_core.footage.finding import Finding
from talkhead_core.types import FloatArray

__all__ = ["clipped_share", "sound_findings"]

_SILENT_DBFS = -60.0
_LITTLE_SPEECH = 0.4
_NOISY_DB = 15.0
_FULL_SCALE = 0.95
_PLATEAU = 0.98
_CLIPPED_SHARE = 2.5e-4
_FRAME_S = 0.02


def sound_findings(audio: FloatArray, sample_rate_hz: int) -> tuple[list[Finding], dict[str, Any]]:
    """Level, silence, noise and clipping of mono speech ``[samples]`` at 16 kHz."""
    loud = _loudest_dbfs(audio, sample_rate_hz)
    if loud < _SILENT_DBFS:
        message = f"its audio track is silent ({loud:.0f} dBFS)"
        advice = "give a video with the speaker's voice"
        return [Finding(level="fail", code="silent", message=message, advice=advice)], {"loudest_dbfs": loud}
    levels, clipped = speech_levels([audio]), clipped_share(audio)
    figures = {
        "loudest_dbfs": loud,
        "speech_share": levels.active,
        "snr_db": levels.snr_db if np.isfinite(levels.snr_db) else None,
        "clipped_share": clipped,
    }
    findings = []
    message = f"speech in {100 * levels.active:.0f} % of the time"
    if levels.active < _LITTLE_SPEECH:
        advice = "give continuous speech; pauses teach the lips little"
        findings.append(Finding(level="warn", code="little_speech", message=message, advice=advice))
    else:
        findings.append(Finding(level="ok", code="speech", message=message))
    message = f"speech stands {levels.snr_db:.0f} dB above the background"
    if levels.snr_db < _NOISY_DB:
        advice = "nothing to do: the denoise stage helps; a microphone near the mouth helps more"
        findings.append(Finding(level="warn", code="noisy", message=message, advice=advice))
    else:
        findings.append(Finding(level="ok", code="snr", message=message))
    if clipped > _CLIPPED_SHARE:
        message = f"the sound is clipped ({100 * clipped:.2f} % of the samples are at the limit)"
        findings.append(Finding(level="warn", code="clipped", message=message, advice="record at a lower level"))
    return findings, figures


def clipped_share(audio: FloatArray) -> float:
    """Share of samples ``[samples]`` near full scale, or at the largest magnitude where that is a plateau.

    Resampling and lossy coding round the cut-off peaks and let them overshoot, so 5 % below full scale counts; speech that
    was normalised to full scale without clipping reaches there in one sample of ten thousand.
    """
    magnitude = np.abs(audio)
    at_full_scale = float(np.mean(magnitude >= _FULL_SCALE))
    return max(at_full_scale, float(np.mean(magnitude >= _PLATEAU * magnitude.max(initial=1e-9))))


def _loudest_dbfs(audio: FloatArray, sample_rate_hz: int) -> float:
    """95th percentile of the level of 20 ms frames, without a constant offset."""
    hop = round(_FRAME_S * sample_rate_hz)
    frames = audio[: len(audio) // hop * hop].reshape(-1, hop).astype(np.float64)
    level = 10 * np.log10(frames.var(axis=1) + 1e-12)
    return float(np.percentile(level, 95)) if len(level) else -120.0

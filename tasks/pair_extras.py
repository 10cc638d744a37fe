"""Figures of a pair of videos that need more than their frames: LSE needs SyncNet, AUE what OpenFace said of both."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from talkhead_core.audio.features.speech_cepstra import speech_cepstra
from talkhead_core.errors import FootageError, NotAvailableError
from talkhead_core.media.audio_file import read_audio_span
from talkhead_core.media.probe import VideoProbe
from talkhead_core.media.resampled_frames import resampled_frames
from talkhead_core.metrics.action_units import action_unit_error, read_action_units
from talkhead_core.metrics.lip_sync_error import load_lip_sync_error

__all__ = ["add_extras"]

_SYNC_FPS = Fraction(25)
_CEPSTRA, _HOP, _SPAN = 13, 160, 400


def add_extras(
    figures: dict[str, Any], missing: dict[str, str], reference: VideoProbe, rendered: VideoProbe, offset: int, weights: Path
) -> None:
    """Add LSE and AUE to a pair's figures, or why they are not there.

    Args:
        figures: of the pair; changed.
        missing: metric -> why there is none; changed.
        reference: the recording.
        rendered: the video that is scored.
        offset: frames of ``rendered`` before the first of ``reference``.
        weights: the folder of the weight store.
    """
    try:
        error = load_lip_sync_error(weights)
    except NotAvailableError as reason:
        missing |= dict.fromkeys(("lse_d", "lse_c"), str(reason))
    else:
        for probe, suffix in ((rendered, ""), (reference, "_reference")):
            try:
                sound = _cepstra(probe)
            except FootageError as reason:
                missing |= {f"{name}{suffix}": str(reason) for name in ("lse_d", "lse_c")}
                continue
            found = error.figures(lambda probe=probe: resampled_frames(probe, probe.width, probe.height, _SYNC_FPS), sound)  # type: ignore[misc]
            figures |= {f"{name}{suffix}": value for name, value in found.items()}
            for name in found if not suffix else ():
                missing.pop(name, None)
    tables = [probe.path.with_name(f"{probe.path.stem}.au.csv") for probe in (reference, rendered)]
    if all(table.is_file() for table in tables):
        units = [read_action_units(table) for table in tables]
        first = max(0, -offset), max(0, offset)
        figures |= action_unit_error(*(table.iloc[start:].reset_index(drop=True) for table, start in zip(units, first, strict=True)))
        missing.pop("aue", None)


def _cepstra(probe: VideoProbe) -> np.ndarray:
    """``[columns, 13]``, 100 a second, of a video's sound on its picture's clock."""
    audio = read_audio_span(probe.path, probe.start_s, probe.duration_s)
    padded = np.pad(audio, (1, 0))  # a sample for the pre-emphasis
    columns = max((len(audio) - _SPAN) // _HOP + 1, 0)
    segments = np.lib.stride_tricks.sliding_window_view(padded, _SPAN + 1)[::_HOP][:columns]
    return speech_cepstra(segments)[:, :_CEPSTRA]

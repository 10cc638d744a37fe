"""Figures of a pair of videos that need more than their frames: LSE needs SyncNet, AUE what OpenFace said of both."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from talkhead_core.media.openface_csv import read_action_units
from talkhead_core.media.probe import VideoProbe
from talkhead_core.metrics.action_units import action_unit_error
from tasks.sync_error import LSE, SyncError

__all__ = ["add_extras"]


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
    error = SyncError(weights)
    if error.not_available:
        missing |= dict.fromkeys(LSE, error.not_available)
    for probe, suffix in ((rendered, ""), (reference, "_reference")) if error.not_available is None else ():
        found = error.of(probe)
        if isinstance(found, str):
            missing |= {f"{name}{suffix}": found for name in LSE}
            continue
        figures |= {f"{name}{suffix}": value for name, value in found.items()}
        for name in found:
            missing.pop(f"{name}{suffix}", None)
    tables = [probe.path.with_name(f"{probe.path.stem}.au.csv") for probe in (reference, rendered)]
    if all(table.is_file() for table in tables):
        units = [read_action_units(table) for table in tables]
        first = max(0, -offset), max(0, offset)
        figures |= action_unit_error(*(table.iloc[start:].reset_index(drop=True) for table, start in zip(units, first, strict=True)))
        missing.pop("aue", None)

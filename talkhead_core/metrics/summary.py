"""From per-frame columns to the figures of ``metrics.json``: means, sync figures, intervals, paired differences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from talkhead_core.metrics.bootstrap import BlockBootstrap, BootstrapConfig
from talkhead_core.metrics.lip_sync import correlation, mouth_opening_lag_frames, spread_ratio
from talkhead_core.metrics.motion import blinks_per_minute

__all__ = ["COMPARED", "compare_protocols", "summarise_protocol"]

_NOT_AVERAGED = {"frame_id", "mouth_opening", "mouth_opening_reference", "eye_opening", "eye_opening_reference"}

COMPARED = ("psnr_full", "psnr_head", "psnr_face", "psnr_mouth", "ssim", "lmd_px512")
"""The columns whose paired difference between a protocol and its controls is given."""


def summarise_protocol(frames: pd.DataFrame, fps: float, config: BootstrapConfig | None = None) -> dict[str, Any]:
    """The figures of one protocol.

    Args:
        frames: one row a frame in order, with the columns of :mod:`frame_scores` and :mod:`landmark_scores`; NaN marks no value.
        fps: frames a second.
        config: how intervals are drawn.

    Returns:
        Means under their column's name, ``mouth_opening_r``, ``mouth_opening_sd_ratio``, ``mouth_opening_lag_frames``,
        ``blinks_per_min`` of both videos, counts of frames, and ``ci95`` with ``[low, high]`` for each figure that has one.
        What has no value on any frame is left out.
    """
    bootstrap = BlockBootstrap(len(frames), fps, config)
    figures: dict[str, Any] = {"frames": len(frames)}
    intervals: dict[str, list[float]] = {}
    for name in frames.select_dtypes("number").columns:
        if name in _NOT_AVERAGED:
            continue
        values = frames[name].to_numpy(dtype=np.float64)
        if np.isfinite(values).any():
            figures[name] = float(np.nanmean(values))
            _note(intervals, name, bootstrap.mean_interval(values))
    if "mouth_opening" in frames:
        _add_landmark_figures(frames, fps, bootstrap, figures, intervals)
    figures["ci95"] = intervals
    return figures


def compare_protocols(
    frames: pd.DataFrame, first: str, second: str, fps: float, columns: Sequence[str] = COMPARED, config: BootstrapConfig | None = None
) -> dict[str, Any]:
    """Mean of ``first - second`` over the frames that both have, frame by frame, so that a hard frame is hard for both.

    Args:
        frames: rows of both protocols, with columns ``protocol`` and ``frame_id``.
        first: a protocol's name.
        second: another's.
        fps: frames a second.
        columns: what to compare.
        config: how intervals are drawn.

    Returns:
        Column name -> mean difference, and ``ci95``; for the mouth opening also the difference of the correlations.
    """
    sides = [frames[frames["protocol"] == name].set_index("frame_id") for name in (first, second)]
    shared = sides[0].index.intersection(sides[1].index).sort_values()
    if shared.empty:
        return {}
    left, right = (side.loc[shared] for side in sides)
    bootstrap = BlockBootstrap(len(shared), fps, config)
    figures: dict[str, Any] = {}
    intervals: dict[str, list[float]] = {}
    for name in columns:
        if name not in left:
            continue
        difference = left[name].to_numpy(dtype=np.float64) - right[name].to_numpy(dtype=np.float64)
        if np.isfinite(difference).any():
            figures[name] = float(np.nanmean(difference))
            _note(intervals, name, bootstrap.mean_interval(difference))
    figures["ci95"] = intervals
    return figures


def _add_landmark_figures(
    frames: pd.DataFrame, fps: float, bootstrap: BlockBootstrap, figures: dict[str, Any], intervals: dict[str, list[float]]
) -> None:
    reference = frames["mouth_opening_reference"].to_numpy(dtype=np.float64)
    rendered = frames["mouth_opening"].to_numpy(dtype=np.float64)
    figures["frames_without_face"] = int(np.isnan(rendered).sum())
    figures["frames_without_face_reference"] = int(np.isnan(reference).sum())
    for name, statistic in (("mouth_opening_r", correlation), ("mouth_opening_sd_ratio", spread_ratio)):
        value = float(statistic(reference, rendered))
        if np.isfinite(value):
            figures[name] = value
            interval = bootstrap.interval(lambda indices, of=statistic: of(reference[indices], rendered[indices]))  # type: ignore[misc]
            _note(intervals, name, interval)
    derived: Mapping[str, float | int | None] = {
        "mouth_opening_lag_frames": mouth_opening_lag_frames(reference, rendered),
        "blinks_per_min": blinks_per_minute(frames["eye_opening"].to_numpy(dtype=np.float64), fps),
        "blinks_per_min_reference": blinks_per_minute(frames["eye_opening_reference"].to_numpy(dtype=np.float64), fps),
    }
    figures.update({name: value for name, value in derived.items() if value is not None})


def _note(intervals: dict[str, list[float]], name: str, interval: tuple[float, float] | None) -> None:
    if interval is not None:
        intervals[name] = [interval[0], interval[1]]

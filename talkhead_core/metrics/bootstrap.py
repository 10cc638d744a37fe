"""Confidence intervals for figures over correlated frames.

Neighbouring frames err alike, so that resampling single frames gives intervals that are far too narrow. The circular
block bootstrap (Politis and Romano, "A circular block-resampling procedure for stationary data", 1992) draws whole
blocks of consecutive frames instead.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from talkhead_core.parameters import require

__all__ = ["BlockBootstrap", "BootstrapConfig"]


@dataclass(frozen=True, kw_only=True)
class BootstrapConfig:
    """How an interval is drawn.

    Args:
        block_s: length of a block in seconds; as long as errors stay alike.
        resamples: how many resampled videos the interval comes from.
        confidence: share of them inside the interval.
        seed: of the generator, so that a rerun gives the same interval.
    """

    block_s: float = 0.4
    resamples: int = 1000
    confidence: float = 0.95
    seed: int = 0

    def __post_init__(self) -> None:
        require(self.block_s > 0, "block_s must be above 0")
        require(self.resamples >= 100, "resamples must be 100 or more")
        require(0.5 <= self.confidence < 1, "confidence must be in [0.5, 1)")


class BlockBootstrap:
    """Resampled frame indices for one video, shared by all of its figures so that differences stay paired.

    Args:
        frames: number of frames.
        fps: frames a second.
        config: block length and number of resamples.
    """

    def __init__(self, frames: int, fps: float, config: BootstrapConfig | None = None) -> None:
        assert frames > 0
        self.config = config or BootstrapConfig()
        self.block_frames = int(np.clip(round(self.config.block_s * fps), 1, max(1, frames // 3)))
        blocks = -(-frames // self.block_frames)
        starts = np.random.default_rng(self.config.seed).integers(0, frames, size=(self.config.resamples, blocks, 1))
        picked = (starts + np.arange(self.block_frames)) % frames
        self.indices = picked.reshape(self.config.resamples, -1)[:, :frames]

    def interval(self, statistic: Callable[[np.ndarray], np.ndarray]) -> tuple[float, float] | None:
        """The percentile interval of a statistic.

        Args:
            statistic: maps frame indices ``[resamples, frames]`` to one value a resample ``[resamples]``, NaN where undefined.

        Returns:
            ``(low, high)``; None where fewer than half of the resamples have a value.
        """
        values = statistic(self.indices)
        values = values[np.isfinite(values)]
        if len(values) * 2 < len(self.indices):
            return None
        tail = (1.0 - self.config.confidence) / 2.0
        low, high = np.quantile(values, [tail, 1.0 - tail])
        return float(low), float(high)

    def mean_interval(self, values: np.ndarray) -> tuple[float, float] | None:
        """The interval of the mean of per-frame ``values [frames]``, in which NaN marks a frame without a value."""
        present = np.isfinite(values)
        filled = np.where(present, values, 0.0)

        def mean(indices: np.ndarray) -> np.ndarray:
            counts = present[indices].sum(axis=1)
            return np.asarray(filled[indices].sum(axis=1) / np.where(counts, counts, np.nan))

        return self.interval(mean)

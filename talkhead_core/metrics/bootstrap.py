"""Confidence intervals for figures over correlated frames.

Neighbouring frames err alike, so that resampling single frames gives intervals that are far too narrow. The circular
block bootstrap (Politis and Romano, "A circular block-resampling procedure for stationary data", 1992) draws whole
blocks of consecutive frames instead.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from talkhead_core.parameters import require

__all__ = ["BlockBootstrap", "BootstrapConfig"]

_INDICES_AT_ONCE = 1_000_000


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
    """Resampled frames of one video, the same for all of its figures so that differences stay paired.

    Indices are made a few resamples at a time: for an hour of video all of them would take most of a gigabyte.

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
        self._frames = frames
        self._starts = np.random.default_rng(self.config.seed).integers(0, frames, size=(self.config.resamples, blocks, 1))

    def interval(self, statistic: Callable[[np.ndarray], np.ndarray]) -> tuple[float, float] | None:
        """The percentile interval of a statistic.

        Args:
            statistic: maps frame indices ``[some resamples, frames]`` to one value a resample, NaN where undefined.

        Returns:
            ``(low, high)``; None where fewer than half of the resamples have a value.
        """
        values = np.concatenate([statistic(indices) for indices in self._resampled()])
        values = values[np.isfinite(values)]
        if len(values) * 2 < self.config.resamples:
            return None
        tail = (1.0 - self.config.confidence) / 2.0
        low, high = np.quantile(values, [tail, 1.0 - tail])
        return float(low), float(high)

    def _resampled(self) -> Iterator[np.ndarray]:
        rows = max(1, _INDICES_AT_ONCE // self._frames)
        for first in range(0, self.config.resamples, rows):
            picked = (self._starts[first : first + rows] + np.arange(self.block_frames)) % self._frames
            yield picked.reshape(len(picked), -1)[:, : self._frames]

    def mean_interval(self, values: np.ndarray) -> tuple[float, float] | None:
        """The interval of the mean of per-frame ``values [frames]``, in which NaN marks a frame without a value."""
        present = np.isfinite(values)
        filled = np.where(present, values, 0.0)

        def mean(indices: np.ndarray) -> np.ndarray:
            counts = present[indices].sum(axis=1)
            return np.asarray(filled[indices].sum(axis=1) / np.where(counts, counts, np.nan))

        return self.interval(mean)

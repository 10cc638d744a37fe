"""Where somebody speaks, and how far the speech stands above the background.

A band-wise signal-to-noise detector: the power in sixteen bands is compared with the background followed under it, the
excess is averaged over bands in decibels (a simple form of the likelihood-ratio test of Sohn, Kim and Sung 1999),
thresholded, and held over short pauses.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import scipy.ndimage

from talkhead_core.audio.band_power import BANDS, COLUMNS_PER_SECOND, band_power, independent_cells
from talkhead_core.audio.noise_floor import noise_floor
from talkhead_core.parameters import require
from talkhead_core.types import FloatArray

__all__ = ["SpeechLevels", "VoiceActivityConfig", "active_columns", "speech_levels", "voice_activity"]

_DIGITAL_SILENCE = 10 ** (-85 / 10)
"""Power under which nothing counts as sound: the rounding noise of 16 bits lies at -98 dBFS."""

_MOST_EXCESS_DB = 25.0
_LOW_QUANTILE = 0.1
_FLOOR_COLUMNS = 5


@dataclass(frozen=True, kw_only=True)
class VoiceActivityConfig:
    """When a moment counts as speech.

    Args:
        threshold_db: excess over the background, averaged over bands.
        range_db: how far under the loudest speech speech can lie; quieter sounds are breath and room.
        hold_before_ms: speech starts this much earlier than its first sure moment (soft onsets).
        hold_after_ms: and ends this much later (decays; the mouth closes after the sound).
        shortest_ms: a sound shorter than this is a click.
        background_window_s: seconds on either side over which the background is followed.
    """

    threshold_db: float = 5.0
    range_db: float = 40.0
    hold_before_ms: float = 60.0
    hold_after_ms: float = 120.0
    shortest_ms: float = 60.0
    background_window_s: float = 6.0

    def __post_init__(self) -> None:
        require(self.threshold_db > 0, "threshold_db must be above 0")
        require(self.range_db > 0, "range_db must be above 0")
        require(min(self.hold_before_ms, self.hold_after_ms, self.shortest_ms) >= 0, "hold and shortest must not be negative")
        require(self.background_window_s >= 1, "background_window_s must be 1 or more")


@dataclass(frozen=True, kw_only=True)
class SpeechLevels:
    """Levels of a recording, from 60 to 7600 Hz.

    Args:
        speech_dbfs: RMS level while somebody speaks, background included; -inf where nobody does.
        noise_dbfs: RMS level of the background; -inf in digital silence.
        snr_db: power of the speech without its background over that of the background.
        band_snr_db: the same in each of sixteen bands, averaged in decibels: a hiss counts as much as a rumble.
        active: share of the time that holds speech.
    """

    speech_dbfs: float
    noise_dbfs: float
    snr_db: float
    band_snr_db: float
    active: float


def voice_activity(audio: FloatArray, fps: Fraction, frames: int, config: VoiceActivityConfig | None = None) -> np.ndarray:
    """Which video frames hold speech.

    Args:
        audio: mono ``[samples]`` at 16 kHz, sample 0 at the start of frame 0.
        fps: the video's rate, exact.
        frames: how many frames; those beyond the audio's end are silent.
        config: thresholds.

    Returns:
        ``[frames]`` bool: whether any 10 ms of the frame hold speech.
    """
    columns = active_columns(audio, config)
    edges = [int(frame * COLUMNS_PER_SECOND / fps) for frame in range(frames + 1)]
    return np.array([bool(columns[a : max(b, a + 1)].any()) for a, b in zip(edges, edges[1:], strict=False)], dtype=bool)


def active_columns(audio: FloatArray, config: VoiceActivityConfig | None = None) -> np.ndarray:
    """Which 10 ms columns hold speech, ``[ceil(samples / 160)]`` bool; column ``j`` covers ``[10 j, 10 j + 10)`` ms."""
    config = config or VoiceActivityConfig()
    power = band_power([audio])
    return _held(_sure(power, _background(power, config), config), config)


def speech_levels(blocks: Iterable[FloatArray], config: VoiceActivityConfig | None = None) -> SpeechLevels:
    """Levels of speech and background.

    Args:
        blocks: consecutive mono ``[samples]`` at 16 kHz, of any lengths; ``[audio]`` for a whole recording.
        config: thresholds.
    """
    config = config or VoiceActivityConfig()
    power = band_power(blocks)
    if len(power) == 0 or power.sum(axis=1).max() < _DIGITAL_SILENCE:
        return SpeechLevels(speech_dbfs=-np.inf, noise_dbfs=-np.inf, snr_db=-np.inf, band_snr_db=-np.inf, active=0.0)
    background = _background(power, config)
    active = _sure(power, background, config)
    noise = np.maximum(background.mean(axis=0, dtype=np.float64), _DIGITAL_SILENCE / BANDS)
    noise_dbfs = _db(float(noise.sum()))
    if not active.any():
        return SpeechLevels(speech_dbfs=-np.inf, noise_dbfs=noise_dbfs, snr_db=-np.inf, band_snr_db=-np.inf, active=0.0)
    speech = power[active].mean(axis=0, dtype=np.float64)
    clean = np.maximum(speech - noise, 1e-2 * noise)
    return SpeechLevels(
        speech_dbfs=_db(float(speech.sum())),
        noise_dbfs=noise_dbfs,
        snr_db=_db(float(clean.sum() / noise.sum())),
        band_snr_db=float(np.mean(10 * np.log10(clean / noise))),
        active=float(active.mean()),
    )


def _db(power: float) -> float:
    return float(10 * np.log10(power)) if power > 0 else -np.inf


def _background(power: FloatArray, config: VoiceActivityConfig) -> FloatArray:
    """Background power under each column and band, ``[columns, 16]``."""
    if len(power) == 0:
        return power
    heard = np.flatnonzero(power.max(axis=1) > 0)
    if len(heard) == 0:
        return power
    # digital silence before and after a recording is padding; within it, it is a pause like any other
    first, last = int(heard[0]), int(heard[-1]) + 1
    smooth = scipy.ndimage.uniform_filter1d(power[first:last], _FLOOR_COLUMNS, axis=0, mode="nearest")
    reach = int(config.background_window_s * COLUMNS_PER_SECOND)
    floor = noise_floor(
        smooth, reach=reach, step=COLUMNS_PER_SECOND // 2, quantile=_LOW_QUANTILE, independent=independent_cells(_FLOOR_COLUMNS)
    )
    return np.pad(floor, ((first, len(power) - last), (0, 0)), mode="edge")


def _sure(power: FloatArray, background: FloatArray, config: VoiceActivityConfig) -> np.ndarray:
    """Columns that stand out for long enough, before they are held over pauses."""
    if len(power) == 0:
        return np.zeros(0, dtype=bool)
    smooth = scipy.ndimage.uniform_filter1d(power, 3, axis=0, mode="nearest")
    ratio = np.maximum(smooth, 1e-20) / np.maximum(background, _DIGITAL_SILENCE / BANDS)
    excess_db = np.clip(10 * np.log10(ratio), 0.0, _MOST_EXCESS_DB).mean(axis=1)
    level = smooth.sum(axis=1)
    quietest = np.quantile(level, 0.98) * 10 ** (-config.range_db / 10)
    active = (excess_db > config.threshold_db) & (level > max(float(quietest), _DIGITAL_SILENCE))
    shortest = max(round(config.shortest_ms / 1000 * COLUMNS_PER_SECOND), 1)
    return np.asarray(scipy.ndimage.binary_opening(active, np.ones(shortest, dtype=bool)))


def _held(sure: np.ndarray, config: VoiceActivityConfig) -> np.ndarray:
    per_ms = COLUMNS_PER_SECOND / 1000
    held = sure.copy()
    starts = np.flatnonzero(np.diff(sure.astype(np.int8), prepend=0) == 1)
    ends = np.flatnonzero(np.diff(sure.astype(np.int8), append=0) == -1) + 1
    before, after = round(config.hold_before_ms * per_ms), round(config.hold_after_ms * per_ms)
    for start, end in zip(starts, ends, strict=True):
        held[max(start - before, 0) : start] = True
        held[end : end + after] = True
    return held

"""Where somebody speaks, and how far the speech stands above the background.

A band-wise signal-to-noise detector: the power in sixteen bands is compared with the background followed under it, the
excess is averaged over bands in decibels (a simple form of the likelihood-ratio test of Sohn, Kim and Sung 1999),
thresholded, and held over short pauses.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import librosa
import numpy as np
import scipy.fft
import scipy.ndimage
import scipy.signal

from talkhead_core.audio.noise_floor import noise_floor
from talkhead_core.media.audio_file import SPEECH_SAMPLE_RATE_HZ
from talkhead_core.parameters import require
from talkhead_core.types import FloatArray

__all__ = ["SpeechLevels", "VoiceActivityConfig", "active_columns", "snr_db", "speech_levels", "voice_activity"]

COLUMNS_PER_SECOND = 100
_HOP = SPEECH_SAMPLE_RATE_HZ // COLUMNS_PER_SECOND
_SEGMENT = 400
_BANDS = 16
_BLOCK_COLUMNS = 8192
_DIGITAL_SILENCE = 10 ** (-85 / 10)
"""Mean band power under which nothing counts as sound: the rounding noise of 16 bits lies at -98 dBFS."""


@dataclass(frozen=True, kw_only=True)
class VoiceActivityConfig:
    """When a moment counts as speech.

    Args:
        threshold_db: excess over the background, averaged over bands.
        range_db: how far under the loudest speech speech can lie; quieter sounds are breath and room.
        hold_before_ms: speech starts this much earlier than its first sure moment (soft onsets).
        hold_after_ms: and ends this much later (decays, and the mouth closes after the sound).
        shortest_ms: a sound shorter than this is a click.
        background_window_s: seconds on either side over which the background is followed.
    """

    threshold_db: float = 5.0
    range_db: float = 40.0
    hold_before_ms: float = 60.0
    hold_after_ms: float = 120.0
    shortest_ms: float = 40.0
    background_window_s: float = 6.0

    def __post_init__(self) -> None:
        require(self.threshold_db > 0, "threshold_db must be above 0")
        require(self.range_db > 0, "range_db must be above 0")
        require(min(self.hold_before_ms, self.hold_after_ms, self.shortest_ms) >= 0, "hold and shortest must not be negative")
        require(self.background_window_s >= 1, "background_window_s must be 1 or more")


@dataclass(frozen=True, kw_only=True)
class SpeechLevels:
    """Levels of a recording.

    Args:
        speech_dbfs: RMS level while somebody speaks, background included; -inf where nobody does.
        noise_dbfs: RMS level of the background; -inf in digital silence.
        snr_db: speech without its background against the background.
        active: share of the time that holds speech.
    """

    speech_dbfs: float
    noise_dbfs: float
    snr_db: float
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
    edges = [int(i * COLUMNS_PER_SECOND / fps) for i in range(frames + 1)]
    return np.array([bool(columns[a : max(b, a + 1)].any()) for a, b in zip(edges, edges[1:], strict=False)], dtype=bool)


def active_columns(audio: FloatArray, config: VoiceActivityConfig | None = None) -> np.ndarray:
    """Which 10 ms columns hold speech, ``[ceil(samples / 160)]`` bool; column ``j`` covers ``[10 j, 10 j + 10)`` ms."""
    return _activity(_band_power(audio), config or VoiceActivityConfig())


def speech_levels(audio: FloatArray, config: VoiceActivityConfig | None = None) -> SpeechLevels:
    """Levels of speech and background of mono ``[samples]`` at 16 kHz."""
    power = _band_power(audio)
    active = _activity(power, config or VoiceActivityConfig())
    total = power.sum(axis=1, dtype=np.float64)
    if len(power) == 0 or total.max(initial=0.0) < _DIGITAL_SILENCE:
        return SpeechLevels(speech_dbfs=-np.inf, noise_dbfs=-np.inf, snr_db=0.0, active=0.0)
    quiet = total[~active]
    noise = float(np.median(quiet)) / np.log(2) if len(quiet) >= 20 else float(_background(power, 6.0).sum(axis=1).mean())
    if not active.any():
        return SpeechLevels(speech_dbfs=-np.inf, noise_dbfs=_db(noise), snr_db=-np.inf, active=0.0)
    speech = float(total[active].mean())
    clean = max(speech - noise, 1e-3 * speech)
    snr = _db(clean) - _db(max(noise, _DIGITAL_SILENCE))
    return SpeechLevels(speech_dbfs=_db(speech), noise_dbfs=_db(noise), snr_db=snr, active=float(active.mean()))


def snr_db(audio: FloatArray, config: VoiceActivityConfig | None = None) -> float:
    """Blind estimate of the signal-to-noise ratio while somebody speaks, in dB."""
    return speech_levels(audio, config).snr_db


def _db(power: float) -> float:
    return float(10 * np.log10(power)) if power > 0 else -np.inf


def _band_power(audio: FloatArray) -> FloatArray:
    """Mean power ``[columns, 16]`` of 25 ms around the middle of each 10 ms column; the bands' sum is the signal's power."""
    columns = -(-len(audio) // _HOP)
    if columns == 0:
        return np.zeros((0, _BANDS), dtype=np.float32)
    margin = (_SEGMENT - _HOP) // 2
    padded = np.pad(np.asarray(audio, dtype=np.float32), (margin, columns * _HOP - len(audio) + margin))
    segments = np.lib.stride_tricks.sliding_window_view(padded, _SEGMENT)[::_HOP]
    window = scipy.signal.get_window("hann", _SEGMENT).astype(np.float32)
    scale = np.float32(2 / (np.sum(window**2) * 512))
    filters = _filters()
    blocks = []
    for start in range(0, columns, _BLOCK_COLUMNS):
        spectrum = scipy.fft.rfft(segments[start : start + _BLOCK_COLUMNS] * window, n=512, axis=1)
        blocks.append((spectrum.real**2 + spectrum.imag**2) @ filters.T * scale)
    return np.concatenate(blocks)


def _filters() -> FloatArray:
    filters = librosa.filters.mel(sr=SPEECH_SAMPLE_RATE_HZ, n_fft=512, n_mels=_BANDS, fmin=100.0, fmax=7000.0, norm=None)
    return np.asarray(filters, dtype=np.float32)


def _background(power: FloatArray, window_s: float) -> FloatArray:
    smooth = scipy.ndimage.uniform_filter1d(power, 5, axis=0, mode="nearest")
    return noise_floor(smooth, reach=int(window_s * COLUMNS_PER_SECOND), step=COLUMNS_PER_SECOND // 2, quantile=0.1, independent=8.0)


def _activity(power: FloatArray, config: VoiceActivityConfig) -> np.ndarray:
    if len(power) == 0:
        return np.zeros(0, dtype=bool)
    smooth = scipy.ndimage.uniform_filter1d(power, 3, axis=0, mode="nearest")
    background = np.maximum(_background(power, config.background_window_s), _DIGITAL_SILENCE / _BANDS)
    excess_db = np.clip(10 * np.log10(np.maximum(smooth, 1e-20) / background), 0.0, 25.0).mean(axis=1)
    level_db = 10 * np.log10(np.maximum(smooth.sum(axis=1), 1e-20))
    loudest = np.quantile(level_db, 0.98)
    active = (excess_db > config.threshold_db) & (level_db > loudest - config.range_db) & (level_db > 10 * np.log10(_DIGITAL_SILENCE))
    return _held(active, config)


def _held(active: np.ndarray, config: VoiceActivityConfig) -> np.ndarray:
    per_ms = COLUMNS_PER_SECOND / 1000
    shortest = max(round(config.shortest_ms * per_ms), 1)
    sure = scipy.ndimage.binary_opening(active, np.ones(shortest, dtype=bool))
    held = sure.copy()
    starts = np.flatnonzero(np.diff(sure.astype(np.int8), prepend=0) == 1)
    ends = np.flatnonzero(np.diff(sure.astype(np.int8), append=0) == -1) + 1
    before, after = round(config.hold_before_ms * per_ms), round(config.hold_after_ms * per_ms)
    for start, end in zip(starts, ends, strict=True):
        held[max(start - before, 0) : start] = True
        held[end : end + after] = True
    return held

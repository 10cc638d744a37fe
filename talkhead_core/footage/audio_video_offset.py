"""How far the sound lags the lips, from mouth opening against loudness, and how sure that is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.fft

from talkhead_core.types import FloatArray

__all__ = ["LIPS_LEAD_S", "RHYTHM_RATE_HZ", "AudioVideoOffset", "audio_video_offset", "speech_rhythms"]

RHYTHM_RATE_HZ = 100
"""Samples a second of what :func:`speech_rhythms` returns."""

LIPS_LEAD_S = 0.015
"""Vowels: the mouth is widest a little before the sound is loudest; measured on footage in sync."""

_SPEECH_BAND_HZ = (300.0, 3000.0)
_SYLLABLE_BAND_HZ = (1.0, 8.0)
_MAX_LAG_S = 0.6
_CHUNK_S = 2.0
_RESAMPLES = 200
_AGREEMENT_S = 0.06
_SURE_SHARE = 0.9


@dataclass(frozen=True, kw_only=True)
class AudioVideoOffset:
    """An estimate of the sound's offset.

    Args:
        seconds: positive when the sound comes after the lips.
        correlation: between mouth opening and log energy at that offset; 0.2 to 0.5 is usual, speech being what it is.
        agreement: share of bootstrap resamples of the clip that say the same within 60 ms.
    """

    seconds: float
    correlation: float
    agreement: float

    @property
    def sure(self) -> bool:
        """Nine resamples of ten agree; otherwise the figure means nothing."""
        return self.agreement >= _SURE_SHARE


def audio_video_offset(times_s: FloatArray, mouth_opening: FloatArray, audio: FloatArray, sample_rate_hz: int) -> AudioVideoOffset:
    """Cross-correlate the syllable rhythm of the lips with that of the sound.

    Args:
        times_s: ``[M]`` when each row's frame is shown, after the sound's first sample.
        mouth_opening: ``[M]``; NaN where there is no face.
        audio: mono ``[samples]``.
        sample_rate_hz: its rate.
    """
    chunk, reach = round(_CHUNK_S * RHYTHM_RATE_HZ), round(_MAX_LAG_S * RHYTHM_RATE_HZ)
    chunks = (len(audio) // (sample_rate_hz // RHYTHM_RATE_HZ) - 2 * reach) // chunk
    rhythms = speech_rhythms(times_s, mouth_opening, audio, sample_rate_hz) if chunks >= 2 else None
    if rhythms is None:
        return AudioVideoOffset(seconds=0.0, correlation=0.0, agreement=0.0)
    lips, sound = rhythms
    curves = np.asarray([_correlations(lips, sound, reach + index * chunk, chunk, reach) for index in range(chunks)])
    best = int(np.argmax(curves.mean(axis=0)))
    picks = np.random.default_rng(0).integers(0, chunks, (_RESAMPLES, chunks))
    votes = curves[picks].mean(axis=1).argmax(axis=1)
    return AudioVideoOffset(
        seconds=(best - reach) / RHYTHM_RATE_HZ - LIPS_LEAD_S,
        correlation=float(curves.mean(axis=0)[best]),
        agreement=float(np.mean(np.abs(votes - best) <= _AGREEMENT_S * RHYTHM_RATE_HZ)),
    )


def speech_rhythms(
    times_s: FloatArray, mouth_opening: FloatArray, audio: FloatArray, sample_rate_hz: int
) -> tuple[FloatArray, FloatArray] | None:
    """The syllable rhythm (1 to 8 Hz) of the lips and that of the sound, ``[samples]`` each at :data:`RHYTHM_RATE_HZ`.

    Args:
        times_s: as for :func:`audio_video_offset`.
        mouth_opening: likewise; frames without a face are bridged.
        audio: likewise.
        sample_rate_hz: its rate.

    Returns:
        Both; None where fewer than half of the frames show a face.
    """
    known = np.isfinite(mouth_opening)
    length = len(audio) // (sample_rate_hz // RHYTHM_RATE_HZ)
    if known.sum() < 0.5 * len(known) or known.sum() < 2 or length < 2:
        return None
    middle_s = times_s[known] + float(np.median(np.diff(times_s))) / 2
    lips = _rhythm(np.interp((np.arange(length) + 0.5) / RHYTHM_RATE_HZ, middle_s, mouth_opening[known]))
    return lips, _rhythm(_log_energy(audio, sample_rate_hz)[:length])


def _correlations(lips: FloatArray, sound: FloatArray, start: int, length: int, reach: int) -> FloatArray:
    """Normalised correlation of one chunk of lips with the sound at lags ``-reach .. reach``, ``[2 reach + 1]``."""
    part = lips[start : start + length]
    around = sound[start - reach : start + length + reach]
    scale = np.linalg.norm(part) * np.linalg.norm(sound[start : start + length])
    return np.asarray(np.correlate(around, part, mode="valid") / max(float(scale), 1e-9))


def _log_energy(audio: FloatArray, sample_rate_hz: int) -> FloatArray:
    hop = sample_rate_hz // RHYTHM_RATE_HZ
    speech = _band_passed(audio, _SPEECH_BAND_HZ, sample_rate_hz, order=4)
    energy = (speech[: len(speech) // hop * hop].reshape(-1, hop) ** 2).mean(axis=1)
    return np.asarray(np.log10(energy + np.percentile(energy, 10) + 1e-10))


def _rhythm(signal: FloatArray) -> FloatArray:
    return _band_passed(signal, _SYLLABLE_BAND_HZ, RHYTHM_RATE_HZ, order=2)


def _band_passed(signal: FloatArray, band_hz: tuple[float, float], rate_hz: int, *, order: int) -> FloatArray:
    """``signal`` through a digital Butterworth band pass forwards and backwards, mirrored at its ends: no phase, its power response."""
    edge = min(rate_hz, len(signal) - 1)
    before, after = 2 * signal[0] - signal[edge:0:-1], 2 * signal[-1] - signal[-2 : -edge - 2 : -1]
    padded = np.concatenate([before, signal, after])
    size = scipy.fft.next_fast_len(len(padded), real=True)
    # The bilinear transform takes frequency f of the digital filter from tan(pi f / rate) of the analogue one.
    at = np.tan(np.pi * np.minimum(scipy.fft.rfftfreq(size), 0.4999))
    low, high = (np.tan(np.pi * hz / rate_hz) for hz in band_hz)
    with np.errstate(divide="ignore", over="ignore"):
        response = 1 / (1 + ((at**2 - low * high) / (at * (high - low))) ** (2 * order))
    filtered = scipy.fft.irfft(scipy.fft.rfft(padded, size) * response, size)
    return np.asarray(filtered[edge : edge + len(signal)])

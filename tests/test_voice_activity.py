"""Voice activity and levels: against the clean halves of noisy recordings, and against signals of known level."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from talkhead_core.audio.band_power import band_power
from talkhead_core.audio.noise_floor import noise_floor
from talkhead_core.audio.voice_activity import VoiceActivityConfig, active_columns, speech_levels, voice_activity
from talkhead_core.errors import ParameterError
from talkhead_core.media.audio_file import read_audio

DENOISE = Path(__file__).parents[1].parent / "shared" / "data" / "denoise"
needs_data = pytest.mark.skipif(not DENOISE.exists(), reason=f"no test recordings at {DENOISE}")


def noise(seconds: float, rms: float, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, rms, int(16000 * seconds)).astype(np.float32)


def bursts(seconds: float, on: list[tuple[float, float]], rms: float = 0.1) -> np.ndarray:
    """A 150 Hz buzz with many harmonics during the spans ``on`` (s), silence elsewhere."""
    t = np.arange(int(16000 * seconds)) / 16000
    buzz = sum(np.sin(2 * np.pi * 150 * k * t) / np.sqrt(k) for k in range(1, 40))
    gate = np.zeros_like(t)
    for start, end in on:
        gate[(t >= start) & (t < end)] = 1
    return (rms * gate * buzz / np.sqrt(np.mean(buzz**2))).astype(np.float32)


SPANS = [(0.5, 1.0), (1.5, 2.2), (3.0, 3.4), (4.6, 5.4)]


@pytest.mark.parametrize("background", [0.0, 1e-4, 1e-3, 1e-2])
def test_finds_the_spans_whatever_the_background(background: float) -> None:
    audio = bursts(6.0, SPANS) + noise(6.0, background)
    frames = voice_activity(audio, Fraction(25), 150)
    middle = (np.arange(150) + 0.5) / 25
    inside = np.any([(middle > a) & (middle < b) for a, b in SPANS], axis=0)
    far = ~np.any([(middle > a - 0.12) & (middle < b + 0.2) for a, b in SPANS], axis=0)
    assert frames[inside].all()
    assert not frames[far].any()


@pytest.mark.parametrize("fps", [Fraction(25), Fraction(30000, 1001), Fraction(120)])
def test_frames_beyond_the_audio_are_silent(fps: Fraction) -> None:
    active = voice_activity(bursts(1.0, [(0.0, 0.4), (0.6, 1.0)]), fps, int(3 * fps))
    assert active.shape == (int(3 * fps),)
    assert active[: int(0.35 * fps)].all()
    assert not active[int(1.2 * fps) :].any()


@pytest.mark.parametrize(
    "audio", [np.zeros(0), np.zeros(32000), noise(4.0, 0.05), noise(4.0, 1e-5)], ids=["empty", "zeros", "noise", "faint"]
)
def test_nobody_speaks_in_silence_and_steady_noise(audio: np.ndarray) -> None:
    assert not voice_activity(audio, Fraction(25), 100).any()
    levels = speech_levels([audio])
    assert levels.active == 0
    assert levels.speech_dbfs == -np.inf


def test_a_click_is_not_speech() -> None:
    audio = noise(4.0, 1e-3)
    audio[32000:32080] += 0.5
    assert not active_columns(audio).any()


def test_follows_a_background_that_grows() -> None:
    step = np.concatenate([np.full(16000 * 12, 1e-3), np.full(16000 * 12, 1e-2)])
    spans = [(2.0 + 2 * k, 2.8 + 2 * k) for k in range(11)]
    audio = bursts(24.0, spans) + noise(24.0, 1.0) * step
    active = active_columns(audio.astype(np.float32))
    time_s = (np.arange(2400) + 0.5) / 100
    inside = np.any([(time_s > a) & (time_s < b) for a, b in spans], axis=0)
    assert active[inside].mean() > 0.95
    late_pauses = ~inside & (time_s > 19)
    assert active[late_pauses].mean() < 0.4  # the holds alone make 0.15


@pytest.mark.parametrize("snr", [5.0, 10.0, 20.0, 30.0])
def test_the_snr_of_a_known_mixture(snr: float) -> None:
    speech = bursts(8.0, [(0.4 + k, 1.0 + k) for k in range(7)], rms=0.1)
    rng = np.random.default_rng(1)
    hiss = rng.normal(size=len(speech))
    spectrum = np.fft.rfft(hiss)
    frequency = np.fft.rfftfreq(len(hiss), 1 / 16000)
    hiss = np.fft.irfft(spectrum * ((frequency > 100) & (frequency < 7000)))
    hiss *= 0.1 * 10 ** (-snr / 20) / np.sqrt(np.mean(hiss**2))
    levels = speech_levels([(speech + hiss).astype(np.float32)])
    assert levels.snr_db == pytest.approx(snr, abs=2.0)
    assert levels.noise_dbfs == pytest.approx(-20 - snr, abs=1.5)


def test_levels_do_not_depend_on_how_the_audio_is_cut() -> None:
    audio = (bursts(60.0, [(k, k + 0.6) for k in range(59)]) + noise(60.0, 0.003)).astype(np.float32)
    whole = band_power([audio])
    assert whole.shape == (6000, 16)
    cuts = [0, 7, 160, 161, 5000, 100_000, 700_001, len(audio)]
    parts = band_power([audio[a:b] for a, b in zip(cuts, cuts[1:], strict=False)])
    np.testing.assert_allclose(parts, whole, rtol=1e-4, atol=1e-12)
    assert whole.sum(axis=1).mean() == pytest.approx(np.mean(audio**2), rel=0.1)


def test_the_noise_floor_of_white_noise_is_its_mean_power() -> None:
    power = np.random.default_rng(0).gamma(4.0, 0.25, size=(3000, 20))
    floor = noise_floor(power, reach=500, step=100, quantile=0.1, independent=4.0)
    assert floor.shape == power.shape
    assert floor.mean() == pytest.approx(1.0, abs=0.05)


def test_digital_silence_does_not_hide_the_background() -> None:
    power = np.random.default_rng(0).gamma(4.0, 0.25, size=(1000, 4))
    power[:300] = 0
    assert noise_floor(power, reach=500, step=100, quantile=0.1, independent=4.0, skip_silence=True).min() > 0.7


@needs_data
@pytest.mark.parametrize(("name", "least"), [("voicebank/p232_043", 0.85), ("voicebank/p257_418", 0.8), ("snr/p257_018_10", 0.8)])
def test_agrees_with_the_clean_half_of_a_noisy_recording(name: str, least: float) -> None:
    folder, stem = name.split("/")
    noisy = f"{stem}_noisy.wav" if folder == "voicebank" else "p257_018_noisy_10dB.wav"
    clean = f"{stem}_clean.wav" if folder == "voicebank" else "p257_018_clean.wav"
    truth = active_columns(read_audio(DENOISE / folder / clean))
    found = active_columns(read_audio(DENOISE / folder / noisy))
    assert np.mean(found == truth) > least


def test_bad_thresholds_are_refused() -> None:
    with pytest.raises(ParameterError):
        VoiceActivityConfig(threshold_db=0)

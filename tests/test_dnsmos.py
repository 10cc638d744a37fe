"""DNSMOS: the official network read by OpenCV, and what its ratings change in the decision of ``auto``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from talkhead_core.audio.denoise import AutoConfig, DenoiseConfig, denoise
from talkhead_core.audio.dnsmos import DNSMOS_FILE, Dnsmos, SpeechRating
from talkhead_core.errors import InputError, NotAvailableError
from talkhead_core.media.audio_file import read_audio
from talkhead_core.weights.catalogue import CATALOGUE

SHARED = Path(__file__).parents[1].parent / "shared"
WEIGHTS = SHARED / "weights" / DNSMOS_FILE
DENOISE = SHARED / "data" / "denoise"
needs_network = pytest.mark.skipif(not (WEIGHTS.is_file() and DENOISE.is_dir()), reason=f"{WEIGHTS} or {DENOISE} is not there")

# SIG, BAK and OVRL before the polynomials, of the first 9.01 s (repeated where shorter), by ONNX Runtime 1.24
ONNX_RUNTIME = {
    "dns/fileid_170_clean.wav": (3.9637, 4.4753, 3.7961),
    "dns/fileid_44_noisy.wav": (4.1150, 2.3715, 2.6933),
}
NOISY = "snr/p257_018_noisy_15dB.wav"


@needs_network
@pytest.mark.parametrize("name", ONNX_RUNTIME)
def test_the_official_network_says_what_onnx_runtime_says(name: str) -> None:
    signal, background, overall = ONNX_RUNTIME[name]
    rating = Dnsmos(WEIGHTS.parent).rate(read_audio(DENOISE / name)[:144_160])
    assert rating.signal == pytest.approx(-0.08397278 * signal**2 + 1.22083953 * signal + 0.0052439, abs=2e-4)
    assert rating.background == pytest.approx(-0.13166888 * background**2 + 1.60915514 * background - 0.39604546, abs=2e-4)
    assert rating.overall == pytest.approx(-0.06766283 * overall**2 + 1.11546468 * overall + 0.04602535, abs=2e-4)


@needs_network
def test_auto_asks_dnsmos_and_says_so() -> None:
    noisy = read_audio(DENOISE / NOISY)
    config = DenoiseConfig(auto=AutoConfig(dnsmos=str(WEIGHTS)))
    cleaned, report = denoise(noisy, config)
    assert report["applied"] == "mss" and not np.array_equal(cleaned, noisy)
    assert any("DNSMOS rates the whole" in reason for reason in report["reasons"])
    before, *_, after = report["dnsmos"].values()
    assert after["background"] > before["background"] + 0.2
    clean, report = denoise(read_audio(DENOISE / "snr" / "p257_018_clean.wav"), config)
    assert report["applied"] == "none" and report["dnsmos"] == {}, "what is clean by its level alone is not rated"


@pytest.mark.parametrize(
    ("ratings", "applied", "said"),
    [
        ([(4.3, 4.1)], "none", "passes untouched"),
        ([(2.5, 3.0), (2.8, 3.3)], "mss", "in full"),
        ([(2.5, 3.0), (2.0, 3.5), (2.5, 3.3)], "mss", "gently"),
        ([(2.5, 3.0), (2.0, 3.5), (2.3, 3.3)], "none", "nothing that could be subtracted"),
    ],
)
def test_ratings_let_clean_speech_pass_and_take_harm_back(
    ratings: list[tuple[float, float]], applied: str, said: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The network's answers are given here, in the order of its questions: untouched, in full, gently."""
    answers = iter(ratings)
    monkeypatch.setattr("talkhead_core.audio.denoise.auto.Dnsmos", _answering(answers))
    (tmp_path / DNSMOS_FILE).write_bytes(b"asked for, not read")
    cleaned, report = denoise(_noisy_syllables(), DenoiseConfig(auto=AutoConfig(dnsmos=str(tmp_path))))
    assert report["applied"] == applied and said in report["reasons"][-1]
    assert (cleaned == _noisy_syllables()).all() == (applied == "none")
    assert next(answers, None) is None and len(report["dnsmos"]) == len(ratings)


def test_a_missing_or_damaged_network_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotAvailableError, match="talkhead models pull dnsmos"):
        Dnsmos(tmp_path)
    (tmp_path / DNSMOS_FILE).write_bytes(b"no network")
    with pytest.raises(NotAvailableError, match="cannot be read"):
        Dnsmos(tmp_path)
    _, report = denoise(_noisy_syllables(), DenoiseConfig(auto=AutoConfig(dnsmos=str(tmp_path / "elsewhere"))))
    assert report["applied"] == "mss" and report["dnsmos"] == {}, "without it the levels alone decide"


@needs_network
def test_too_little_speech_is_refused() -> None:
    with pytest.raises(InputError, match="half a second"):
        Dnsmos(WEIGHTS).rate(np.zeros(100, np.float32))


def test_the_catalogue_has_the_file_under_its_name() -> None:
    assert [each.file for each in CATALOGUE["dnsmos"].files] == [DNSMOS_FILE]


def _noisy_syllables() -> np.ndarray:
    t = np.arange(16000 * 4) / 16000
    buzz = sum(np.sin(2 * np.pi * 130 * k * t) / k for k in range(1, 30))
    speech = 0.08 * buzz * np.clip(np.sin(2 * np.pi * 1.3 * t), 0, None) ** 0.5
    return np.asarray(speech + np.random.default_rng(0).normal(0, 0.02, len(t)), dtype=np.float32)


def _answering(answers) -> Callable[[Path], object]:
    class Given:
        def __init__(self, path: Path) -> None: ...

        def rate(self, audio: np.ndarray) -> SpeechRating:
            overall, background = next(answers)
            return SpeechRating(signal=3.0, background=background, overall=overall)

    return Given

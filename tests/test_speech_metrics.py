"""Speech metrics: known answers, another implementation's figures on real recordings, alignment, and clear refusals."""

from __future__ import annotations

from pathlib import Path

import librosa
import numpy as np
import pytest
import scipy.signal

from talkhead_core.errors import InputError
from talkhead_core.media.audio_file import read_audio, write_audio
from talkhead_core.metrics.speech import COLUMNS, paired_files, speech_quality, speech_quality_table, suffixed_pairs
from talkhead_core.metrics.speech.composite import composite_scores
from talkhead_core.metrics.speech.log_likelihood_ratio import log_likelihood_ratio
from talkhead_core.metrics.speech.mel_cepstral_distortion import mel_cepstral_distortion_db
from talkhead_core.metrics.speech.perceptual import pesq_mos, stoi_score
from talkhead_core.metrics.speech.segmental_snr import segmental_snr_db
from talkhead_core.metrics.speech.si_sdr import si_sdr_db
from talkhead_core.metrics.speech.signal_alignment import aligned_pair, delay_samples
from talkhead_core.metrics.speech.weighted_spectral_slope import weighted_spectral_slope

DENOISE = Path(__file__).parents[1].parent / "shared" / "data" / "denoise"
needs_data = pytest.mark.skipif(not DENOISE.exists(), reason=f"no test recordings at {DENOISE}")
RATE = 16000
WAVEFORM_METRICS = [
    si_sdr_db,
    segmental_snr_db,
    log_likelihood_ratio,
    weighted_spectral_slope,
    mel_cepstral_distortion_db,
    pesq_mos,
    stoi_score,
]


def speech(seconds: float = 3.0, seed: int = 0) -> np.ndarray:
    """Speech-like: a gliding buzz through moving resonances, in syllables."""
    rng = np.random.default_rng(seed)
    t = np.arange(int(RATE * seconds)) / RATE
    phase = 2 * np.pi * np.cumsum(120 + 25 * np.sin(2 * np.pi * 0.8 * t)) / RATE
    source = scipy.signal.sawtooth(phase) + 0.05 * rng.normal(size=len(t))
    out = np.zeros_like(t)
    for centre, width in ((500, 80), (1500, 120), (2500, 200)):
        b, a = scipy.signal.iirpeak(centre + rng.uniform(-80, 80), centre / width, fs=RATE)
        out += scipy.signal.lfilter(b, a, source)
    syllables = np.clip(np.sin(2 * np.pi * 2.2 * t), 0, None) ** 0.5
    return (0.1 * out * syllables / np.std(out) + 1e-4 * rng.normal(size=len(t))).astype(np.float64)


def test_a_perfect_copy_has_the_best_figure_of_every_metric() -> None:
    clean = speech()
    figures = speech_quality(clean, clean)
    assert set(figures) == {*COLUMNS, "delay_ms"}
    assert figures["pesq_wb"] == pytest.approx(4.644, abs=1e-3)
    assert figures["pesq_nb"] == pytest.approx(4.549, abs=1e-3)
    assert figures["stoi"] == pytest.approx(1.0, abs=1e-6)
    assert figures["si_sdr_db"] > 200
    assert figures["snrseg_db"] == pytest.approx(35.0)
    assert figures["wss"] == figures["mcd_db"] == 0
    assert figures["llr"] == pytest.approx(0, abs=1e-9)
    assert figures["csig"] == figures["cbak"] == figures["covl"] == 5.0


@pytest.mark.parametrize("snr", [-5.0, 0.0, 12.0, 30.0])
def test_si_sdr_is_the_ratio_of_orthogonal_parts_whatever_the_gain(snr: float) -> None:
    clean = speech() - speech().mean()
    noise = np.random.default_rng(1).normal(size=len(clean))
    noise -= noise.mean()
    noise -= np.dot(noise, clean) / np.dot(clean, clean) * clean
    noise *= np.sqrt(np.sum(clean**2) / np.sum(noise**2) / 10 ** (snr / 10))
    for gain in (0.2, 1.0, 3.0):
        assert si_sdr_db(clean, gain * (clean + noise), RATE) == pytest.approx(snr, abs=1e-6)


def test_segmental_snr_of_a_known_error_and_its_limits() -> None:
    clean = speech()
    assert segmental_snr_db(clean, 0.9 * clean, RATE) == pytest.approx(20.0, abs=1e-4)
    assert segmental_snr_db(clean, 0.999 * clean, RATE) == pytest.approx(35.0)
    assert segmental_snr_db(clean, clean + 100, RATE) == pytest.approx(-10.0)


def test_envelope_metrics_do_not_hear_loudness() -> None:
    clean = speech()
    assert weighted_spectral_slope(clean, 0.3 * clean, RATE) == pytest.approx(0, abs=1e-9)
    assert log_likelihood_ratio(clean, 0.3 * clean, RATE) == pytest.approx(0, abs=1e-6)
    assert mel_cepstral_distortion_db(clean, 0.3 * clean, RATE) == pytest.approx(0, abs=1e-3)


def test_log_likelihood_ratio_of_two_known_processes() -> None:
    """First-order processes with poles p and q have LLR log((1 + q^2 - 2 p q) / (1 - p^2))."""
    noise = np.random.default_rng(0).normal(size=RATE * 8)
    p, q = 0.9, 0.3
    clean = scipy.signal.lfilter([1], [1, -p], noise)
    other = scipy.signal.lfilter([1], [1, -q], noise)
    expected = np.log((1 + q * q - 2 * p * q) / (1 - p * p))
    assert log_likelihood_ratio(clean, other, RATE) == pytest.approx(expected, rel=0.08)


@pytest.mark.parametrize(("order", "height"), [(2, 0.3), (5, 0.5)])
def test_mel_cepstral_distortion_of_a_known_ripple(order: int, height: float) -> None:
    """A filter whose log amplitude is ``height cos(order w)`` over mel frequency is that coefficient, and none else."""
    noise = np.random.default_rng(0).normal(0, 0.1, RATE * 4)
    spectrum = np.fft.rfft(noise)
    mel = librosa.hz_to_mel(np.fft.rfftfreq(len(noise), 1 / RATE))
    position = (mel - mel[-1] / 82) / (mel[-1] * 80 / 82)  # half a band beyond the first and last of 40 centres
    rippled = np.fft.irfft(spectrum * np.exp(height * np.cos(order * np.pi * np.clip(position, 0, 1))), len(noise))
    expected = 10 / np.log(10) * np.sqrt(2) * height
    assert mel_cepstral_distortion_db(noise, rippled, RATE) == pytest.approx(expected, rel=0.1)


def test_composites_are_hu_and_loizous_regressions() -> None:
    scores = composite_scores(pesq=2.0, llr=0.5, wss=30.0, segmental_snr_db=5.0)
    assert scores.signal_distortion == pytest.approx(3.093 - 0.5145 + 1.206 - 0.27)
    assert scores.background == pytest.approx(1.634 + 0.956 - 0.21 + 0.315)
    assert scores.overall == pytest.approx(1.594 + 1.61 - 0.256 - 0.21)
    worst = composite_scores(pesq=1.0, llr=5.0, wss=200.0, segmental_snr_db=-10.0)
    assert (worst.signal_distortion, worst.background, worst.overall) == (1.0, 1.0, 1.0)


@pytest.mark.parametrize("delay", [-300, -8, 0, 1, 8, 777])
def test_alignment_is_to_the_sample(delay: int) -> None:
    clean = speech()
    late = np.roll(np.pad(clean, 1000), delay)[1000:-1000] + 1e-3 * np.random.default_rng(2).normal(size=len(clean))
    assert delay_samples(clean, late, 3200) == delay
    pair = aligned_pair(clean, late, RATE)
    assert len(pair.reference) == len(pair.enhanced) == len(clean) - abs(delay)
    assert si_sdr_db(pair.reference, pair.enhanced, RATE) > 25


def test_a_delay_and_a_trim_do_not_change_the_figures() -> None:
    clean = speech()
    noisy = clean + 0.01 * np.random.default_rng(3).normal(size=len(clean))
    plain = speech_quality(clean, noisy)
    late = speech_quality(clean, np.concatenate([np.zeros(8), noisy])[:-60])
    assert late["delay_ms"] == 0.5
    for name in COLUMNS:
        assert late[name] == pytest.approx(plain[name], rel=0.02, abs=0.02), name


def test_more_noise_is_worse_by_every_metric() -> None:
    clean = speech()
    noise = np.random.default_rng(4).normal(size=len(clean))
    rows = [speech_quality(clean, clean + level * noise) for level in (0.001, 0.01, 0.1)]
    for name in COLUMNS:
        values = [row[name] for row in rows]
        better_is_lower = name in ("mcd_db", "wss", "llr")
        assert values == sorted(values, reverse=not better_is_lower), name
        assert values[0] != values[-1]


# figures of the program that CMGAN's authors publish their table with, on these files
OTHERS = {
    ("p232_043", "cmgan"): {"wss": 23.12073, "llr": 0.420714, "snrseg_db": 8.06839},
    ("p232_043", "noisy"): {"wss": 36.65256, "llr": 0.690277, "snrseg_db": -1.72194},
    ("p257_418", "cmgan"): {"wss": 17.09496, "llr": 0.572304, "snrseg_db": 11.90659},
    ("p257_418", "noisy"): {"wss": 28.52421, "llr": 0.516341, "snrseg_db": 0.78020},
}


@needs_data
@pytest.mark.parametrize("pair", OTHERS)
def test_agrees_with_another_implementation_on_real_recordings(pair: tuple[str, str]) -> None:
    utterance, system = pair
    folder = DENOISE / "voicebank"
    figures = speech_quality(read_audio(folder / f"{utterance}_clean.wav"), read_audio(folder / f"{utterance}_{system}.wav"))
    for name, expected in OTHERS[pair].items():
        assert figures[name] == pytest.approx(expected, abs=1e-4), name


@needs_data
def test_the_peers_outputs_rank_between_noisy_and_the_oracle() -> None:
    systems = suffixed_pairs(DENOISE / "voicebank")
    assert set(systems) == {"noisy", "cmgan", "dbaiat", "mpsenet"}
    means = {name: speech_quality_table(pairs).loc["mean"] for name, pairs in systems.items()}
    oracle = []
    for clean_file, noisy_file in systems["noisy"].values():
        clean, noisy = read_audio(clean_file), read_audio(noisy_file)
        phase = np.angle(librosa.stft(noisy, n_fft=512))
        magnitude = np.abs(librosa.stft(clean, n_fft=512))
        oracle.append(speech_quality(clean, librosa.istft(magnitude * np.exp(1j * phase), length=len(clean)).astype(np.float64)))
    for name in ("pesq_wb", "csig", "cbak", "covl", "stoi"):
        best = np.mean([row[name] for row in oracle])
        for system in ("cmgan", "dbaiat", "mpsenet"):
            assert means["noisy"][name] < means[system][name] < best, (name, system)


@pytest.mark.parametrize("metric", WAVEFORM_METRICS)
def test_what_cannot_be_compared_is_refused_in_one_line(metric) -> None:  # type: ignore[no-untyped-def]
    clean = speech(1.0)
    with pytest.raises(InputError, match="silent"):
        metric(clean, np.zeros_like(clean), RATE)
    with pytest.raises(InputError, match="silent"):
        metric(np.zeros_like(clean), clean, RATE)
    with pytest.raises(InputError, match=r"16000 samples.*15999"):
        metric(clean, clean[:-1], RATE)
    with pytest.raises(InputError, match="not numbers"):
        metric(clean, np.where(np.arange(len(clean)) == 5, np.nan, clean), RATE)
    with pytest.raises(InputError, match="one channel"):
        metric(clean[:, None], clean, RATE)


def test_rates_and_lengths_that_cannot_work_are_refused() -> None:
    clean = speech(1.0)
    with pytest.raises(InputError, match="44100"):
        pesq_mos(clean, clean, 44100)
    with pytest.raises(InputError, match="16000 Hz, not 8000"):
        pesq_mos(clean, clean, 8000)
    assert pesq_mos(clean[::2], clean[::2], 8000, "narrow") > 4
    with pytest.raises(InputError, match="0.3 s"):
        pesq_mos(clean[:4000], clean[:4000], RATE)
    with pytest.raises(InputError, match="0.4 s"):
        stoi_score(clean[:5000], clean[:5000], RATE)
    with pytest.raises(InputError, match="44100"):
        speech_quality(clean, clean, 44100)
    with pytest.raises(InputError, match="one recording"):
        speech_quality(clean, clean[: RATE // 3])
    with pytest.raises(InputError, match="empty"):
        speech_quality(np.zeros(1), np.zeros(1))


def test_tables_over_files_and_folders(tmp_path: Path) -> None:
    for name in ("a", "b"):
        clean = speech(2.0, seed=ord(name))
        write_audio(tmp_path / "clean" / f"{name}.wav", clean)
        write_audio(tmp_path / "out" / f"{name}.flac.wav", clean)
        write_audio(tmp_path / "out" / f"{name}.wav", clean + 0.01 * np.random.default_rng(0).normal(size=len(clean)))
    pairs = paired_files(tmp_path / "clean", tmp_path / "out")
    assert list(pairs) == ["a", "b"]
    table = speech_quality_table(pairs)
    assert list(table.index) == ["a", "b", "mean"]
    assert table.loc["mean", "stoi"] == pytest.approx(table.loc[["a", "b"], "stoi"].mean())
    single = paired_files(tmp_path / "clean" / "a.wav", tmp_path / "out" / "a.wav")
    assert speech_quality_table(single).loc["a", "pesq_wb"] == pytest.approx(table.loc["a", "pesq_wb"])


def test_folders_that_do_not_match_are_refused(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    write_audio(tmp_path / "y" / "a.wav", speech(1.0))
    with pytest.raises(InputError, match="share no file name"):
        paired_files(tmp_path / "x", tmp_path / "y")
    with pytest.raises(InputError, match="two files or two folders"):
        paired_files(tmp_path / "x", tmp_path / "y" / "a.wav")
    with pytest.raises(InputError, match="no such file"):
        paired_files(tmp_path / "nowhere", tmp_path / "y")
    with pytest.raises(InputError, match="no file ends in _clean"):
        suffixed_pairs(tmp_path / "y")
    with pytest.raises(InputError, match="no pairs"):
        speech_quality_table({})
    write_audio(tmp_path / "y" / "silent.wav", np.zeros(RATE))
    with pytest.raises(InputError, match="take1: .*silent"):
        speech_quality_table({"take1": (tmp_path / "y" / "a.wav", tmp_path / "y" / "silent.wav")})

"""What denoising does and costs: speech metrics on pairs of clean and noisy recordings, and speed on one core.

    python benchmarks/denoise.py --data FOLDER [--markdown]

``FOLDER`` holds files such as ``NAME_clean.wav`` and ``NAME_noisy.wav``, or folders of them; every other version of an utterance
(``NAME_cmgan.wav``) is scored beside ours. Prints a table per folder, then the speed in processor time, which is that of one core.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from fractions import Fraction
from pathlib import Path

import numpy as np
import pandas as pd
import scipy.signal

from talkhead_core.audio.denoise import DenoiseConfig, MssConfig, denoise
from talkhead_core.audio.denoise.spectral_subtraction import MultiScaleSpectralSubtraction
from talkhead_core.audio.features import SpeechFeaturesConfig, create_features
from talkhead_core.media.audio_file import read_audio
from talkhead_core.metrics.speech import speech_quality, suffixed_pairs
from talkhead_core.types import FloatArray

TABLE = ["pesq_wb", "csig", "cbak", "covl", "stoi", "si_sdr_db", "snrseg_db", "mcd_db", "wss", "feature_error"]
TUNED_BEFORE = MssConfig(
    scales=MssConfig.published().scales,
    alpha=2.0,
    floor=0.1,
    noise_estimate="quietest",
    smoothing_ms=0.0,
    gain_smoothing_ms=0.0,
)


def denoised(noisy: FloatArray, clean: FloatArray, weights: str | None) -> dict[str, FloatArray]:
    """Every method's output for one recording."""
    oracle = _oracle(noisy, clean)
    methods = {
        "noisy": noisy,
        "MSS as printed (eqs. 1-2)": MultiScaleSpectralSubtraction(MssConfig.published())(noisy),
        "MSS, alpha 2, floor 0.1, quietest": MultiScaleSpectralSubtraction(TUNED_BEFORE)(noisy),
        "mss": denoise(noisy, DenoiseConfig(method="mss"))[0],
        "auto (default)": denoise(noisy, DenoiseConfig(method="auto"))[0],
    }
    if weights is not None:
        methods["zipenhancer"] = denoise(noisy, DenoiseConfig(method="zipenhancer", weights=weights))[0]
    return methods | {"oracle: clean magnitude, noisy phase": oracle}


def _oracle(noisy: FloatArray, clean: FloatArray) -> FloatArray:
    transform = scipy.signal.ShortTimeFFT(scipy.signal.get_window("hann", 512), 128, 16000)
    spectrum = np.abs(transform.stft(clean)) * np.exp(1j * np.angle(transform.stft(noisy)))
    return np.asarray(transform.istft(spectrum, k1=len(noisy)), dtype=np.float32)


def feature_error(clean: FloatArray, other: FloatArray) -> float:
    """Mean absolute difference of the log-mel features that drive the face, in standard deviations of the clean ones."""
    extractor = create_features(SpeechFeaturesConfig(window=4))
    frames = len(clean) * 25 // 16000
    gain = 10 ** (-26 / 20) / np.sqrt(np.mean(clean**2))
    expected, found = (extractor.extract(gain * signal, Fraction(25), frames) for signal in (clean, other))
    return float(np.mean(np.abs(found - expected) / expected.std(axis=(0, 1))))


def table(folder: Path, weights: str | None) -> pd.DataFrame:
    """Mean figures of every method over the utterances of one folder."""
    rows: dict[str, list[dict[str, float]]] = {}

    def add(name: str, clean: FloatArray, other: FloatArray) -> None:
        samples = min(len(clean), len(other))
        clean, other = clean[:samples], other[:samples]
        rows.setdefault(name, []).append(speech_quality(clean, other) | {"feature_error": feature_error(clean, other)})

    for system, pairs in suffixed_pairs(folder).items():
        for reference, path in pairs.values():
            clean, other = read_audio(reference), read_audio(path)
            samples = min(len(clean), len(other))
            if system.startswith("noisy"):
                for name, output in denoised(other[:samples], clean[:samples], weights).items():
                    add(name, clean[:samples], output)
            else:
                add(f"{system} (its own output)", clean, other)
    return pd.DataFrame({name: pd.DataFrame(figures).mean() for name, figures in rows.items()}).T[TABLE]


def clean_speech(folders: list[Path]) -> pd.DataFrame:
    """What is done to clean recordings: PESQ of the output against the input."""
    rows = {}
    for folder in folders:
        for path in sorted(folder.glob("*_clean.wav")):
            clean = read_audio(path)
            untouched, report = denoise(clean)
            forced, _ = denoise(clean, DenoiseConfig(method="mss"))
            rows[path.stem] = {
                "band SNR, dB": report["before"]["band_snr_db"],
                "auto": speech_quality(clean, untouched)["pesq_wb"],
                "mss": speech_quality(clean, forced)["pesq_wb"],
            }
    return pd.DataFrame.from_dict(rows, orient="index")


def speed(seconds: int = 60, repeats: int = 5) -> dict[str, dict[str, float]]:
    """Times real time on one core: median, lowest and highest of ``repeats`` runs, in processor time."""
    rng = np.random.default_rng(0)
    audio = (0.05 * rng.normal(size=16000 * seconds) * (1 + np.sin(np.arange(16000 * seconds) / 2000))).astype(np.float32)
    extractor = create_features(SpeechFeaturesConfig())
    work = {
        "denoise: MSS as printed": lambda: MultiScaleSpectralSubtraction(MssConfig.published())(audio),
        "denoise: mss": lambda: MultiScaleSpectralSubtraction(MssConfig())(audio),
        "denoise: auto": lambda: denoise(audio),
        "features: log_mel": lambda: extractor.extract(audio, Fraction(25), 25 * seconds),
    }
    figures = {}
    for name, run in work.items():
        run()
        times = []
        for _ in range(repeats):
            start = time.process_time()
            run()
            times.append(time.process_time() - start)
        figures[name] = {
            "median": seconds / statistics.median(times),
            "lowest": seconds / max(times),
            "highest": seconds / min(times),
        }
    return figures


def markdown(frame: pd.DataFrame) -> str:
    """A table as GitHub draws it."""
    head = "| | " + " | ".join(frame.columns) + " |\n|---|" + "---|" * len(frame.columns)
    lines = [
        "| " + str(name) + " | " + " | ".join(f"{value:.2f}" if name_ != "stoi" else f"{value:.3f}" for name_, value in row.items()) + " |"
        for name, row in frame.iterrows()
    ]
    return "\n".join([head, *lines])


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of recordings, or of such folders")
    parser.add_argument("--weights", help="ZipEnhancer's pytorch_model.bin, to score it too")
    parser.add_argument("--markdown", action="store_true", help="print GitHub tables")
    parser.add_argument("--json", type=Path, help="write every figure to this file")
    arguments = parser.parse_args()
    folders = sorted(path for path in arguments.data.iterdir() if path.is_dir()) or [arguments.data]
    show = markdown if arguments.markdown else lambda frame: frame.round(3).to_string()
    tables = {folder.name: table(folder, arguments.weights) for folder in folders}
    for name, frame in tables.items():
        print(f"\n{name}\n\n{show(frame)}")
    print(f"\nclean speech: PESQ of the output against the clean input\n\n{show(clean_speech(folders))}")
    fast = pd.DataFrame.from_dict(speed(), orient="index")
    print(f"\ntimes real time, one core\n\n{show(fast)}")
    if arguments.json:
        document = {"quality": {name: frame.to_dict("index") for name, frame in tables.items()}, "speed": fast.to_dict("index")}
        arguments.json.write_text(json.dumps(document, indent=2))


if __name__ == "__main__":
    main()

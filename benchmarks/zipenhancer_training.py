"""Whether ZipEnhancer learns from the training recipe, on one core in minutes:

    python -m benchmarks.zipenhancer_training --data FOLDER [--work FOLDER] [--iterations 1800] [--stop-at N] [--tuning 60]

``FOLDER`` holds folders of ``NAME_clean.wav`` and ``NAME_noisy*.wav``. A small network is first trained on speech of espeak-ng and made-up
noises. Then, for each speaker of the recordings, it is trained on with the clean halves and the noises of all *other* speakers, and
judged on that speaker's noisy files: every figure is of a voice and a noise that the network never met. Figures go to
``benchmarks/results/zipenhancer_training.json`` and the table of ``docs/denoising.md``. A run that was cut off is taken up again with
the same ``--work``.
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import scipy.signal
import torch

from benchmarks.document_section import write_section
from benchmarks.machine import describe_machine
from benchmarks.noisy_speech import with_noise
from talkhead_core.artifacts import read_json, write_json
from talkhead_core.audio.denoise import DenoiseConfig, denoise
from talkhead_core.audio.denoise.zip_enhancer.network import NetworkSize, ZipEnhancer
from talkhead_core.audio.denoise.zip_enhancer.trained_weights import TRAINED_FILE, read_record
from talkhead_core.demo.synthetic_speech import random_speech
from talkhead_core.media.audio_file import SPEECH_SAMPLE_RATE_HZ, read_audio, write_audio
from talkhead_core.metrics.speech import suffixed_pairs
from talkhead_core.metrics.speech.perceptual import pesq_mos, stoi_score
from talkhead_core.metrics.speech.si_sdr import si_sdr_db
from talkhead_core.training.denoiser_run import train_denoiser
from talkhead_core.training.denoiser_training import DenoiserTrainingConfig
from talkhead_core.training.noisy_mixtures import MixtureConfig
from talkhead_core.types import FloatArray

REPOSITORY = Path(__file__).resolve().parents[1]
RESULT = REPOSITORY / "benchmarks" / "results" / "zipenhancer_training.json"
DOCUMENT = REPOSITORY / "docs" / "denoising.md"
_METHODS = {"noisy": "noisy", "mss": "`mss`", "synthetic": "espeak-ng only", "left_out": "and other speakers' recordings"}
_NOISE_S = 10
_TESTED = 4


def synthetic_speech(count: int, seed: int) -> Iterator[FloatArray]:
    """``count`` utterances of espeak-ng, mono at 16 kHz."""
    made, attempt = 0, 0
    while made < count:
        speech = random_speech(np.random.default_rng([seed, attempt]))
        attempt += 1
        if speech is not None:
            yield scipy.signal.resample_poly(speech.audio, SPEECH_SAMPLE_RATE_HZ, speech.sample_rate_hz).astype(np.float32)
            made += 1


def synthetic_noises(count: int, seed: int) -> Iterator[FloatArray]:
    """``count`` made-up backgrounds in turn: steady and swelling hiss of many colours, hum, knocks, babble of espeak-ng voices."""
    samples = _NOISE_S * SPEECH_SAMPLE_RATE_HZ
    t = np.arange(samples) / SPEECH_SAMPLE_RATE_HZ
    for number in range(count):
        generator = np.random.default_rng([seed, 1, number])
        kind = number % 4
        hiss = scipy.signal.lfilter([1.0], [1.0, -generator.uniform(0.0, 0.98)], generator.standard_normal(samples))
        hiss /= hiss.std()
        if kind == 0:
            noise = hiss
        elif kind == 1:
            slow = np.interp(t, np.arange(0.0, _NOISE_S + 1, 0.5), generator.uniform(-15, 10, 2 * _NOISE_S + 2))
            hum = sum(generator.uniform(0, 1) * np.sin(2 * np.pi * 50 * n * t + generator.uniform(0, 6)) for n in range(1, 12))
            noise = hiss * 10 ** (slow / 20) + generator.uniform(0, 1) * hum
        elif kind == 2:
            knocks = np.zeros(samples)
            knocks[generator.integers(0, samples, 40)] = generator.uniform(2, 20, 40)
            ring = np.exp(-np.arange(2000) / generator.uniform(50, 500)) * np.sin(np.arange(2000) * generator.uniform(0.05, 1.0))
            noise = 0.3 * hiss + scipy.signal.fftconvolve(knocks, ring)[:samples]
        else:
            voices = [np.resize(voice, samples) for voice in synthetic_speech(5, seed=1000 * seed + number)]
            noise = np.sum(voices, axis=0) + 0.01 * hiss
        yield (0.1 * noise / np.abs(noise).max()).astype(np.float32)


def pairs_by_speaker(data: Path) -> dict[str, dict[str, tuple[Path, Path]]]:
    """Speaker -> ``set/name`` -> (clean, noisy); VoiceBank's names begin with the speaker, elsewhere every clip has one of its own."""
    speakers: dict[str, dict[str, tuple[Path, Path]]] = {}
    for folder in sorted(path for path in data.iterdir() if path.is_dir()):
        for system, pairs in suffixed_pairs(folder).items():
            if system.startswith("noisy"):
                for utterance, pair in pairs.items():
                    speaker = utterance.split("_")[0] if utterance.startswith("p") else utterance
                    speakers.setdefault(speaker, {})[f"{folder.name}/{utterance}{system.removeprefix('noisy')}"] = pair
    return speakers


def _config(iterations: int, learning_rate: float, judgements: int) -> DenoiserTrainingConfig:
    return DenoiserTrainingConfig(
        network=NetworkSize.small(),
        mixtures=MixtureConfig(segment_s=0.75, snr_db=(-5.0, 20.0)),
        iterations=iterations,
        batch=1,
        learning_rate=learning_rate,
        warm_up=0.05,
        mean_decay=0.99,
        validation_clips=5 if judgements > 1 else 2,
        validation_s=4.0,
        validate_every=max(1, iterations // judgements),
        checkpoint_every=100,
    )


def _write_all(folder: Path, sounds: Iterator[FloatArray], count: int) -> None:
    if len(list(folder.glob("*.wav"))) < count:
        for number, sound in enumerate(sounds):
            write_audio(folder / f"made_{number:03d}.wav", sound)


def _trained_without(speaker: str, speakers: dict[str, dict[str, tuple[Path, Path]]], work: Path, config: DenoiserTrainingConfig) -> Path:
    """The network that the synthetic one becomes with the recordings of all speakers but one."""
    folder = work / speaker
    for kind in ("speech", "noise"):
        (folder / kind).mkdir(parents=True, exist_ok=True)
        for path in sorted((work / kind).glob("*.wav"))[::12]:
            shutil.copy(path, folder / kind / path.name)
    for other, pairs in speakers.items():
        for name, (clean, noisy) in pairs.items() if other != speaker else ():
            told = name.replace("/", "_")
            shutil.copy(clean, folder / "speech" / f"{clean.stem}.wav")
            speech, heard = read_audio(clean), read_audio(noisy)
            write_audio(folder / "noise" / f"{told}.wav", heard[: len(speech)] - speech[: len(heard)])
    train_denoiser(folder / "speech", folder / "noise", folder / "out", config, start=work / "synthetic", progress=_tell(speaker))
    return folder / "out"


def _scores(clean: FloatArray, noisy: FloatArray, networks: dict[str, Path], known: dict[str, Any]) -> dict[str, dict[str, float]]:
    """Every figure of every version, those ``known`` already as they are."""
    clean, noisy = clean[: len(noisy)], noisy[: len(clean)]
    configs = {"noisy": DenoiseConfig(method="none"), "mss": DenoiseConfig(method="mss")}
    configs |= {name: DenoiseConfig(method="zipenhancer", weights=str(path)) for name, path in networks.items()}
    measures = {"pesq_wb": pesq_mos, "stoi": stoi_score, "si_sdr_db": si_sdr_db}
    scores = dict(known)
    for name, config in configs.items():
        if name not in known:
            version = denoise(noisy, config)[0]
            scores[name] = {figure: round(score(clean, version, SPEECH_SAMPLE_RATE_HZ), 3) for figure, score in measures.items()}
    return scores


def _trained_on_synthetic(work: Path, iterations: int, stop_at: int) -> dict[str, float]:
    """Train into ``work/synthetic``, or until the step at which it is stopped: the best weights so far are there at any time."""

    def enough(done: int, total: int, note: str = "") -> None:
        _tell("synthetic")(done, total, note)
        if note.startswith("loss") and done >= stop_at:
            raise InterruptedError

    config = _config(iterations, 1.5e-3, judgements=6)
    stopped = any(int(path.stem) >= stop_at for path in (work / "synthetic" / "checkpoints").glob("[0-9]*.json"))
    with suppress(InterruptedError):
        if not stopped:
            train_denoiser(work / "speech", work / "noise", work / "synthetic", config, progress=enough)
    record = read_record(work / "synthetic" / TRAINED_FILE)
    return {name: record[name] for name in ("step", "pesq", "pesq_noisy")}


def measure(data: Path, work: Path, utterances: int, iterations: int, stop_at: int, tuning: int) -> None:
    """Train everything, score everything, and write each score as it comes; what was scored before with the same settings stays."""
    _write_all(work / "speech", synthetic_speech(utterances, seed=1), utterances)
    _write_all(work / "noise", synthetic_noises(utterances // 3, seed=1), utterances // 3)
    base = _trained_on_synthetic(work, iterations, stop_at)
    speakers = pairs_by_speaker(data)
    settings = {
        "utterances": utterances,
        "iterations": iterations,
        "stopped_at": min(stop_at, iterations),
        "parameters": sum(value.numel() for value in ZipEnhancer(NetworkSize.small()).parameters()),
        "synthetic_training": base,
        "speakers": {speaker: sorted(pairs) for speaker, pairs in speakers.items()},
    }
    before = read_json(RESULT) if RESULT.is_file() else {}
    rows: dict[str, Any] = before["rows"] if before.get("settings") == settings else {}

    def score(name: str, clean: FloatArray, noisy: FloatArray, networks: dict[str, Path]) -> None:
        rows[name] = _scores(clean, noisy, networks, rows.get(name, {}))
        print(name, rows[name], flush=True)
        write_json(RESULT, {"machine": describe_machine(), "settings": settings, "tuning": tuning, "rows": rows})

    synthetic = {"synthetic": work / "synthetic"}
    tested = zip(synthetic_speech(_TESTED, seed=2), synthetic_noises(_TESTED, seed=2), strict=True)
    for number, (speech, noise) in enumerate(tested):
        score(f"espeak-ng/{number}", speech, with_noise(speech, noise, (0.0, 5.0, 10.0, 15.0)[number]), synthetic)
    for pairs in speakers.values():
        for name, (clean, noisy) in pairs.items():
            score(name, read_audio(clean), read_audio(noisy), synthetic)
    for speaker, pairs in speakers.items() if tuning else ():
        left_out = _trained_without(speaker, speakers, work, _config(tuning, 5e-4, judgements=1))
        for name, (clean, noisy) in pairs.items():
            score(name, read_audio(clean), read_audio(noisy), {"left_out": left_out})


def _tell(what: str) -> Callable[..., None]:
    def progress(done: int, total: int, note: str = "") -> None:
        if done == total or done % 100 == 0:
            print(f"{what}: {done}/{total} {note}", flush=True)

    return progress


def table(result: dict[str, Any]) -> str:
    """Markdown: means of each set, a row a set, a group of columns a figure."""
    heads = {"pesq_wb": ("PESQ", 2), "stoi": ("STOI", 3), "si_sdr_db": ("SI-SDR", 1)}
    measured = {method for row in result["rows"].values() for method in row}
    columns = [(figure, method) for figure in heads for method in _METHODS if method in measured]
    lines = [
        "| noisy speech | " + " | ".join(f"{heads[figure][0]}, {_METHODS[method]}" for figure, method in columns) + " |",
        "|---|" + "---|" * len(columns),
    ]
    for name in dict.fromkeys(key.split("/")[0] for key in result["rows"]):
        rows = [row for key, row in result["rows"].items() if key.split("/")[0] == name]
        cells = []
        for figure, method in columns:
            values = [row[method][figure] for row in rows if method in row]
            cells.append(f"{np.mean(values):.{heads[figure][1]}f}" if values else "-")
        lines.append(f"| {name} ({len(rows)} files) | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main(argv: list[str] | None = None) -> int:
    """Measure, write the result and the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of folders of NAME_clean.wav and NAME_noisy*.wav")
    parser.add_argument("--work", type=Path, default=Path("out/zipenhancer_training"), help="where the trainings go")
    parser.add_argument("--utterances", type=int, default=150, help="of espeak-ng; a third as many noises")
    parser.add_argument("--iterations", type=int, default=1800, help="steps on synthetic speech")
    parser.add_argument("--stop-at", type=int, default=10**9, help="step at which that training is stopped; the best weights so far serve")
    parser.add_argument("--tuning", type=int, default=60, help="steps with recordings, for each speaker left out; 0: none")
    arguments = parser.parse_args(argv)
    torch.set_num_threads(1)
    measure(arguments.data, arguments.work, arguments.utterances, arguments.iterations, arguments.stop_at, arguments.tuning)
    write_section(DOCUMENT, table(read_json(RESULT)), "zipenhancer training")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

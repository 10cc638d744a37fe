"""ZipEnhancer's training: that it learns, resumes to the same bits and refuses what cannot work; what comes of it runs."""

from __future__ import annotations

import csv
import dataclasses
import fcntl
import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from benchmarks.fuzz import fuzz
from benchmarks.fuzz_mutations import bytes_changed
from benchmarks.fuzz_targets import Target
from talkhead_core.artifacts import read_json
from talkhead_core.audio.denoise import DenoiseConfig, denoise
from talkhead_core.audio.denoise.zip_enhancer.dual_path import StackSize
from talkhead_core.audio.denoise.zip_enhancer.network import (
    NetworkSize,
    ZipEnhancer,
    compressed_complex,
    compressed_spectrum,
)
from talkhead_core.audio.denoise.zip_enhancer.trained_weights import TRAINED_FILE, load_network, read_record, save_trained
from talkhead_core.audio.denoise.zip_enhancer.zipformer_block import BlockSize
from talkhead_core.demo.espeak import speak
from talkhead_core.errors import InputError, NotAvailableError, ParameterError, TrainingError
from talkhead_core.media.audio_file import read_audio
from talkhead_core.training.checkpoints import CheckpointStore
from talkhead_core.training.denoiser_losses import LossWeights, denoiser_losses, phase_loss, total_loss
from talkhead_core.training.denoiser_run import train_denoiser
from talkhead_core.training.denoiser_training import HISTORY_FILE, DenoiserTrainer, DenoiserTrainingConfig
from talkhead_core.training.noisy_mixtures import MixtureConfig, NoisyMixtures, mixed, validation_pairs
from talkhead_core.training.sound_library import SoundLibrary, sound_files

REPOSITORY = Path(__file__).resolve().parents[1]
BLOCK = BlockSize(channels=4, heads=2, query=2, position_query=1, value=2, position=8, feed_forward=8, kernel=3)
TINY = NetworkSize(channels=4, stacks=(StackSize(time_factor=4, frequency_factor=5, block=BLOCK),))
CONFIG = DenoiserTrainingConfig(
    network=TINY,
    mixtures=MixtureConfig(segment_s=0.5),
    iterations=6,
    batch=1,
    learning_rate=5e-3,
    validation_clips=1,
    validation_s=1.0,
    validate_every=3,
    checkpoint_every=2,
    mean_decay=0.9,
)


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders ``speech`` and ``noise`` of different formats, rates and channels."""
    root = tmp_path_factory.mktemp("recordings")
    generator = np.random.default_rng(0)
    (root / "speech" / "more").mkdir(parents=True)
    (root / "noise").mkdir()
    said = ["The north wind and the sun", "Seven blue boats went by", "A warm cloak"]
    for name, text, voice in zip(("one.wav", "two.flac", "more/three.wav"), said, ("en-us+f3", "en-us+m2", "de"), strict=True):
        speech = speak(text, voice=voice)
        audio = speech.audio if name == "one.wav" else np.stack([speech.audio, speech.audio], axis=1)
        soundfile.write(root / "speech" / name, audio, speech.sample_rate_hz)
    soundfile.write(root / "noise" / "hiss.wav", generator.normal(0, 0.05, 32_000), 16_000)
    soundfile.write(root / "noise" / "rumble.wav", np.cumsum(generator.normal(0, 0.01, 22_050)) * 0.05, 44_100)
    soundfile.write(root / "noise" / "short.wav", generator.normal(0, 0.05, 9_000), 16_000)
    (root / "speech" / "notes.txt").write_text("which are no sound")
    return root


def trained(recordings: Path, out: Path, **changes: object) -> dict[str, object]:
    return train_denoiser(recordings / "speech", recordings / "noise", out, dataclasses.replace(CONFIG, **changes))


def libraries(recordings: Path, cache: Path) -> tuple[SoundLibrary, SoundLibrary]:
    speech, noise = (
        SoundLibrary.gathered(recordings / kind, sound_files(recordings / kind, kind), cache, kind)  # type: ignore[arg-type]
        for kind in ("speech", "noise")
    )
    return speech, noise


@pytest.fixture(scope="module")
def finished(recordings: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished training."""
    out = tmp_path_factory.mktemp("finished")
    trained(recordings, out)
    return out


def history(out: Path) -> list[dict[str, str]]:
    return list(csv.DictReader((out / HISTORY_FILE).open()))


def test_what_is_right_costs_nothing_and_a_turn_of_the_phase_neither() -> None:
    clean = torch.from_numpy(np.random.default_rng(0).normal(0, 1, (2, 4000)).astype(np.float32))
    magnitude, phase = compressed_spectrum(clean)
    turns = torch.from_numpy(np.random.default_rng(1).integers(-2, 3, tuple(phase.shape)) * 2 * math.pi).float()
    # a wave comes back from its spectrum to rounding; angles of bins near zero are the least sure
    assert all(value < 2e-3 for value in denoiser_losses(magnitude, phase + turns, clean).values())
    complex_numbers = torch.stack([magnitude * phase.cos(), magnitude * phase.sin()], dim=-1)
    torch.testing.assert_close(compressed_complex(clean), complex_numbers, atol=3e-3, rtol=0)


def test_losses_are_those_that_are_written_down() -> None:
    assert phase_loss(torch.full((1, 3, 4), 0.3), torch.zeros(1, 3, 4)) == pytest.approx(0.3)
    ramp = torch.arange(4.0).mul(0.5).expand(1, 3, 4)  # group delay is off by 0.5 everywhere, frequency nowhere
    assert phase_loss(ramp, torch.zeros(1, 3, 4)) == pytest.approx(0.75 + 0.5)
    assert phase_loss(torch.full((1, 1, 1), 3.0), torch.full((1, 1, 1), -3.0)).isnan()  # one bin has no differences
    clean = torch.from_numpy(np.random.default_rng(0).normal(0, 1, (1, 4000)).astype(np.float32))
    magnitude, phase = compressed_spectrum(clean)
    louder = denoiser_losses(magnitude + 0.1, phase, clean)
    assert louder["magnitude"] == pytest.approx(0.01, rel=1e-4) and louder["complex"] == pytest.approx(0.01, rel=0.02)
    assert louder["phase"] < 1e-6 and louder["time"] > 0.01
    wrong = denoiser_losses(magnitude, phase + torch.randn(phase.shape, generator=torch.Generator().manual_seed(0)), clean)
    assert wrong["consistency"] > 0.1 and wrong["magnitude"] < 1e-9
    weights = LossWeights(magnitude=1.0, phase=0.0, complex=0.0, consistency=0.0, time=2.0)
    assert total_loss(louder, weights) == pytest.approx(float(louder["magnitude"] + 2 * louder["time"]))


def test_speech_and_noise_are_mixed_at_the_ratio_that_is_asked_for() -> None:
    generator = np.random.default_rng(0)
    speech, noise = generator.normal(0, 0.1, 8000), generator.normal(0, 0.7, 8000)
    for snr_db in (-5.0, 10.0):
        added = mixed(speech, noise, snr_db) - speech
        assert 10 * np.log10(np.mean(speech**2) / np.mean(added**2)) == pytest.approx(snr_db)
    np.testing.assert_array_equal(mixed(speech, np.zeros(8000), 0.0), speech)


def test_examples_depend_on_the_step_alone(recordings: Path, tmp_path: Path) -> None:
    speech, noise = libraries(recordings, tmp_path)
    assert [sound.name for sound in speech.sounds] == ["more/three.wav", "one.wav", "two.flac"]
    np.testing.assert_array_equal(
        speech.excerpt(speech.sounds[1], 0, speech.sounds[1].samples), read_audio(recordings / "speech" / "one.wav")
    )
    mixtures = NoisyMixtures(speech, noise, MixtureConfig(segment_s=3.0), seed=4)
    mixtures.draw(1, 3)
    clean, noisy = mixtures.draw(7, 3)
    again = NoisyMixtures(speech, noise, MixtureConfig(segment_s=3.0), seed=4).draw(7, 3)
    np.testing.assert_array_equal(again[0], clean)
    np.testing.assert_array_equal(again[1], noisy)
    assert clean.shape == noisy.shape == (3, 48_000) and clean.dtype == np.float32
    assert np.abs(noisy).max() <= 1
    assert not np.array_equal(mixtures.draw(8, 3)[0], clean)
    spared = NoisyMixtures(speech, noise, MixtureConfig(clean=1.0, level_dbfs=(-40, -40)), seed=0).draw(0, 4)
    np.testing.assert_allclose(*spared, atol=1e-6)
    assert np.sqrt(np.mean(spared[1] ** 2, axis=1)) == pytest.approx(0.01, rel=0.01)


def test_the_loss_goes_down(recordings: Path, tmp_path: Path) -> None:
    result = trained(recordings, tmp_path, iterations=50, validate_every=50, checkpoint_every=50)
    rows = history(tmp_path)
    assert [int(row["step"]) for row in rows] == [25, 50]
    assert float(rows[-1]["loss"]) < 0.9 * float(rows[0]["loss"])
    assert float(rows[-1]["magnitude"]) < 0.7 * float(rows[0]["magnitude"])
    assert float(rows[-1]["pesq"]) == result["pesq"] and not rows[0]["pesq"]


def test_a_killed_training_goes_on_to_the_same_bits(recordings: Path, tmp_path: Path) -> None:
    """Killed without a chance to clean up, as a machine that loses its power."""
    (tmp_path / "settings.yaml").write_text(json.dumps(dataclasses.asdict(CONFIG)))
    command = [sys.executable, "-m", "tasks.train_denoiser", "--speech", str(recordings / "speech"), "--noise", str(recordings / "noise")]
    command += ["--settings", str(tmp_path / "settings.yaml"), "--device", "cpu", "--iterations", "24", "--out"]
    checkpoints = CheckpointStore(tmp_path / "killed" / "checkpoints")
    with subprocess.Popen(
        [*command, str(tmp_path / "killed")], cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:
        deadline = time.monotonic() + 120
        while not list(checkpoints.folder.glob("[0-9]*.json")) and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        os.kill(process.pid, signal.SIGKILL)
    left = checkpoints.latest()
    assert left is not None and left[0] < 22, "the training was over before it was killed"
    for name in ("killed", "whole"):  # as processes, too: how many threads there are is in the bits
        subprocess.run([*command, str(tmp_path / name)], cwd=REPOSITORY, capture_output=True, check=True)
    assert (tmp_path / "killed" / TRAINED_FILE).read_bytes() == (tmp_path / "whole" / TRAINED_FILE).read_bytes()
    killed, whole = ([{**row, "seconds": ""} for row in history(tmp_path / name)] for name in ("killed", "whole"))
    assert killed == whole
    assert sorted(path.name for path in (tmp_path / "killed").iterdir()) == [HISTORY_FILE, "training.json", TRAINED_FILE]


def test_what_was_trained_is_a_denoiser_and_tells_how_it_was_made(recordings: Path, finished: Path) -> None:
    noisy = read_audio(recordings / "speech" / "one.wav")
    for weights in (finished, finished / TRAINED_FILE):
        cleaned, report = denoise(noisy, DenoiseConfig(method="zipenhancer", weights=str(weights)))
        assert cleaned.shape == noisy.shape and np.isfinite(cleaned).all() and report["applied"] == "zipenhancer"
    assert load_network(finished).size == TINY
    record, told = read_record(finished / TRAINED_FILE), read_json(finished / "training.json")
    assert {name: record[name] for name in told["result"]} == told["result"]
    kept = told["kept_aside"]
    assert len(kept["speech"]) == len(kept["noise"]) == 1 and set(kept["speech"]) < set(told["settings"]["files"]["speech"])
    before = (finished / TRAINED_FILE).stat().st_mtime_ns
    assert trained(recordings, finished) == told["result"]
    assert (finished / TRAINED_FILE).stat().st_mtime_ns == before, "what is finished is not trained again"


def test_nothing_kept_aside_is_learned_from_and_the_best_weights_are_kept(recordings: Path, tmp_path: Path) -> None:
    speech, noise = libraries(recordings, tmp_path / "sounds")
    aside = list(validation_pairs(speech.only(["one.wav"]), noise, count=3, longest_s=1.0, ratios_db=(0.0, 5.0), seed=0))
    assert [pair.name.split(" + ")[0] for pair in aside] == ["one.wav"]
    ratio = np.mean(aside[0].clean ** 2) / np.mean((aside[0].noisy - aside[0].clean) ** 2)
    assert 10 * np.log10(ratio) == pytest.approx(0.0, abs=0.01) and len(aside[0].clean) == 16_000
    scores = iter([2.0, 3.0, 2.5])
    torch.manual_seed(0)
    trainer = DenoiserTrainer(
        network=ZipEnhancer(TINY),
        mixtures=NoisyMixtures(speech, noise, CONFIG.mixtures, 0),
        pairs=aside,
        config=dataclasses.replace(CONFIG, iterations=3, validate_every=1),
        store=CheckpointStore(tmp_path / "checkpoints"),
        out=tmp_path,
        record={},
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("talkhead_core.training.denoiser_training.pesq_of", lambda pairs: next(scores))
        assert trainer.train()["step"] == 2
    assert read_record(tmp_path / TRAINED_FILE)["pesq"] == 3.0


def test_training_starts_from_weights_that_there_are(recordings: Path, finished: Path, tmp_path: Path) -> None:
    speech, noise = recordings / "speech", recordings / "noise"
    config = dataclasses.replace(CONFIG, iterations=1, learning_rate=1e-9, network=NetworkSize())
    train_denoiser(speech, noise, tmp_path / "second", config, start=finished)
    before, after = (load_network(folder).state_dict() for folder in (finished, tmp_path / "second"))
    for name, value in before.items():
        torch.testing.assert_close(after[name], value, atol=1e-6, rtol=0)
    with pytest.raises(NotAvailableError, match="pytorch_model.bin"):
        train_denoiser(speech, noise, tmp_path / "third", config, start=tmp_path / "nowhere")


def test_gradients_that_are_not_numbers_are_left_out_and_then_reported(recordings: Path, tmp_path: Path) -> None:
    def poisoned(weights: dict[str, torch.Tensor], some: LossWeights) -> torch.Tensor:
        return total_loss(weights, some) * float("nan")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("talkhead_core.training.denoiser_training.total_loss", poisoned)
        with pytest.raises(TrainingError, match="not numbers since step 0"):
            trained(recordings, tmp_path, iterations=12, validate_every=12)
    assert not (tmp_path / TRAINED_FILE).exists()


def test_folders_that_cannot_be_trained_on_are_refused_before_anything_is_written(recordings: Path, tmp_path: Path) -> None:
    empty, out, noise = tmp_path / "empty", tmp_path / "out", recordings / "noise"
    empty.mkdir()
    for folder, message in [
        (tmp_path / "nowhere", "nowhere: does not exist; give a folder of speech"),
        (recordings / "speech" / "one.wav", "one.wav: is not a folder"),
        (empty, "holds no sound files"),
        (noise, "speech and noise are the same folder"),
    ]:
        with pytest.raises(InputError, match=message):
            train_denoiser(folder, noise, out, CONFIG)
    soundfile.write(empty / "only.wav", np.zeros(16_000), 16_000)
    with pytest.raises(InputError, match=r"holds only only\.wav.*at least two files"):
        train_denoiser(empty, noise, out, CONFIG)
    assert not out.exists()


def test_files_that_cannot_be_used_are_all_told_at_once(recordings: Path, tmp_path: Path) -> None:
    folder = tmp_path / "speech"
    folder.mkdir()
    soundfile.write(folder / "a_tone.wav", 0.1 * np.sin(np.arange(32_000) / 5), 16_000)
    soundfile.write(folder / "b_silent.wav", np.zeros(16_000), 16_000)
    (folder / "c_text.wav").write_text("no sound at all")
    soundfile.write(folder / "d_click.wav", np.ones(100), 16_000)
    with pytest.raises(InputError) as told:
        train_denoiser(folder, recordings / "noise", tmp_path / "out", CONFIG)
    message = str(told.value)
    assert "4 of 4 files cannot serve as speech" in message and "and 1 more" in message
    assert "a_tone.wav: no speech stands out" in message and "b_silent.wav: is silent" in message and "c_text.wav" in message
    assert not (tmp_path / "out" / "training.json").exists()
    assert not list((tmp_path / "out").rglob("*.float32"))


def test_a_folder_with_another_training_is_left_alone(recordings: Path, finished: Path, tmp_path: Path) -> None:
    before = (finished / TRAINED_FILE).read_bytes()
    with pytest.raises(InputError, match=r"other settings \(config\.batch is 1 there and 3 here; config\.seed is 0 there and 1 here\)"):
        trained(recordings, finished, seed=1, batch=3)
    assert (finished / TRAINED_FILE).read_bytes() == before
    (tmp_path / TRAINED_FILE).write_bytes(before)
    with pytest.raises(InputError, match=r"holds zipenhancer\.safetensors without training\.json"):
        trained(recordings, tmp_path)


def test_two_processes_do_not_train_into_one_folder(recordings: Path, tmp_path: Path) -> None:
    handle = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)
    with pytest.raises(InputError, match="another process is training into it"):
        trained(recordings, tmp_path)
    os.close(handle)


def test_the_command_tells_the_result_and_errors_in_one_line(recordings: Path, finished: Path, tmp_path: Path) -> None:
    (tmp_path / "settings.yaml").write_text(json.dumps(dataclasses.asdict(CONFIG)))

    def ran(speech: Path, *options: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "flows.command_line", "train-denoiser", "--speech", str(speech), *options]
        command += ["--noise", str(recordings / "noise"), "--out", str(finished), "--settings", str(tmp_path / "settings.yaml")]
        return subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)

    result = ran(recordings / "speech", "--json")
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout) == read_json(finished / "training.json")["result"]
    refused = ran(tmp_path)
    assert refused.returncode == 1 and refused.stdout == ""
    assert refused.stderr.startswith(f"talkhead: {tmp_path}: holds no sound files") and len(refused.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    "values",
    [{"iterations": 0}, {"learning_rate": 0.0}, {"validation": 1.0}, {"warm_up": 1.0}, {"validation_snr_db": ()}, {"mean_decay": 1.0}],
)
def test_bad_settings_are_refused(values: dict[str, object]) -> None:
    with pytest.raises(ParameterError):
        DenoiserTrainingConfig(**values)  # type: ignore[arg-type]


def test_bad_sizes_and_mixtures_are_refused() -> None:
    for build in (
        lambda: NetworkSize(channels=16),
        lambda: NetworkSize(stacks=()),
        lambda: BlockSize(kernel=4),
        lambda: BlockSize(position=7),
        lambda: StackSize(time_factor=0),
        lambda: MixtureConfig(snr_db=(5, 0)),
        lambda: MixtureConfig(speeds=()),
        lambda: LossWeights(phase=-1.0),
    ):
        with pytest.raises(ParameterError):
            build()


def test_the_rate_rises_and_falls() -> None:
    config = DenoiserTrainingConfig(iterations=1000, warm_up=0.1, learning_rate=1e-3, last_rate_fraction=0.1)
    assert config.rate(0) == pytest.approx(1e-5) and config.rate(99) == pytest.approx(1e-3) and config.rate(100) == pytest.approx(1e-3)
    assert config.rate(550) == pytest.approx(5.5e-4) and config.rate(999) == pytest.approx(1e-4, rel=0.01)


def test_a_spoiled_file_is_refused_in_one_line(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = ZipEnhancer(TINY)
    file = tmp_path / TRAINED_FILE
    with pytest.raises(NotAvailableError, match=r"tasks\.train_denoiser"):
        load_network(file)
    save_trained(file, TINY, network.state_dict(), {})
    whole = file.read_bytes()
    assert load_network(tmp_path).size == TINY
    for spoiled in (
        b"",
        whole[:100],
        whole[:-1],
        whole.replace(b'\\"channels\\": 4', b'\\"channels\\": 6'),
        whole.replace(b"size", b"sige"),
    ):
        file.write_bytes(spoiled)
        with pytest.raises(NotAvailableError, match="is not a trained ZipEnhancer"):
            load_network(file)
    save_trained(file, dataclasses.replace(TINY, stacks=(*TINY.stacks, *TINY.stacks)), network.state_dict(), {})
    with pytest.raises(NotAvailableError, match="not of the size that its header tells"):
        load_network(file)


def test_files_spoiled_anywhere_are_read_or_refused_in_one_line(finished: Path) -> None:
    target = Target(
        file=TRAINED_FILE,
        whole=lambda folder: (finished / TRAINED_FILE).read_bytes(),
        mutate=bytes_changed,
        read=lambda folder: load_network(folder / TRAINED_FILE),
    )
    tally = fuzz(target, range(60), seed=1)
    assert tally.failures == {} and tally.refused > 0

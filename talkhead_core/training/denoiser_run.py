"""A training of ZipEnhancer from two folders of recordings into a folder of results, which a killed process takes up again."""

from __future__ import annotations

import dataclasses
import fcntl
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from talkhead_core.artifacts import read_json, write_json
from talkhead_core.audio.denoise.zip_enhancer.network import ZipEnhancer
from talkhead_core.audio.denoise.zip_enhancer.official_weights import WEIGHTS_FILE
from talkhead_core.audio.denoise.zip_enhancer.trained_weights import TRAINED_FILE, load_network
from talkhead_core.errors import InputError
from talkhead_core.progress import Progress, silent
from talkhead_core.training.checkpoints import CheckpointStore, signature
from talkhead_core.training.denoiser_training import DenoiserTrainer, DenoiserTrainingConfig
from talkhead_core.training.noisy_mixtures import NoisyMixtures, validation_pairs
from talkhead_core.training.sound_library import SoundLibrary, sound_files

__all__ = ["RECORD_FILE", "train_denoiser"]

RECORD_FILE = "training.json"
_CHECKPOINTS = "checkpoints"
_SOUNDS = "sounds"
_NAMED = 3


def train_denoiser(
    speech: Path,
    noise: Path,
    out: Path,
    config: DenoiserTrainingConfig,
    *,
    start: Path | None = None,
    device: torch.device | None = None,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Train, or go on with a training that was cut off, or tell what a finished one gave.

    Args:
        speech: folder of clean speech, in any formats and rates, with folders in it or not.
        noise: folder of recordings without speech.
        out: gets ``zipenhancer.safetensors``, which the denoiser takes as its ``weights``; ``training.json``: settings, split and scores;
            ``history.csv``: losses and PESQ as they come; and until the end ``checkpoints/`` and the decoded ``sounds/``.
        config: how.
        start: weights to begin with, official or trained here; the network is then of their size.
        device: where; the processor when None.
        progress: told how far it is, first in files and then in steps.

    Returns:
        ``step`` and ``pesq`` of the best weights, ``pesq_noisy`` of the same recordings as they are.

    Raises:
        InputError: the folders cannot be trained on, or ``out`` holds a training of another kind, or another process works there.
        NotAvailableError: ``start`` is not there or is no ZipEnhancer.
        TrainingError: gradients were not numbers.
    """
    if speech.resolve() == noise.resolve():
        raise InputError(f"{speech}: speech and noise are the same folder; give two")
    files = {"speech": sound_files(speech, "speech"), "noise": sound_files(noise, "noise")}
    network = load_network(start).requires_grad_(True) if start is not None else None
    if network is not None:
        config = dataclasses.replace(config, network=network.size)
    settings = {"config": asdict(config), "start": _content(start), "files": files}
    with _alone(out):
        record = _record_that_fits(out, settings)
        if "result" in record:
            return dict(record["result"])
        if network is None:
            torch.manual_seed(config.seed)
            network = ZipEnhancer(config.network)
        trainer = _trainer(speech, noise, out, config, network.to(device or torch.device("cpu")), settings, progress)
        result = trainer.train(progress)
        write_json(out / RECORD_FILE, {**read_json(out / RECORD_FILE), "result": result})
        shutil.rmtree(out / _CHECKPOINTS, ignore_errors=True)
        shutil.rmtree(out / _SOUNDS, ignore_errors=True)
        return result


def _trainer(
    speech: Path, noise: Path, out: Path, config: DenoiserTrainingConfig, network: ZipEnhancer, settings: dict[str, Any], progress: Progress
) -> DenoiserTrainer:
    files = settings["files"]
    spoken = SoundLibrary.gathered(speech, files["speech"], out / _SOUNDS, "speech", progress)
    sounds = SoundLibrary.gathered(noise, files["noise"], out / _SOUNDS, "noise", progress)
    split = {"speech": _kept_aside(files["speech"], config), "noise": _kept_aside(files["noise"], config)}
    write_json(out / RECORD_FILE, {"settings": settings, "kept_aside": split})
    learned, heard = spoken.only(set(files["speech"]) - set(split["speech"])), sounds.only(set(files["noise"]) - set(split["noise"]))
    pairs = validation_pairs(
        spoken.only(split["speech"]),
        sounds.only(split["noise"]),
        count=config.validation_clips,
        longest_s=config.validation_s,
        ratios_db=config.validation_snr_db,
        seed=config.seed,
    )
    return DenoiserTrainer(
        network=network,
        mixtures=NoisyMixtures(learned, heard, config.mixtures, config.seed),
        pairs=list(pairs),
        config=config,
        store=CheckpointStore(out / _CHECKPOINTS),
        out=out,
        record={"speech_s": round(learned.seconds), "noise_s": round(heard.seconds), "config": asdict(config), "start": settings["start"]},
    )


def _kept_aside(files: Mapping[str, int], config: DenoiserTrainingConfig) -> list[str]:
    """The files that are not learned from: a seeded share, at least one, never all."""
    names = sorted(files)
    count = min(max(1, round(config.validation * len(names))), len(names) - 1)
    return sorted(names[number] for number in np.random.default_rng(config.seed).permutation(len(names))[:count])


def _record_that_fits(out: Path, settings: dict[str, Any]) -> dict[str, Any]:
    """What ``out`` says of the training in it; empty where there is none.

    Raises:
        InputError: it is another training; the message names what differs.
    """
    path = out / RECORD_FILE
    if not path.is_file():
        occupied = [name for name in (_CHECKPOINTS, TRAINED_FILE) if (out / name).exists()]
        if occupied:
            raise InputError(f"{out}: holds {occupied[0]} without {RECORD_FILE}; choose another folder, or remove it")
        return {}
    record = read_json(path)
    there, here = (_flat(json.loads(json.dumps(each))) for each in (record.get("settings", {}), settings))
    odd = sorted(key for key in there.keys() | here.keys() if there.get(key) != here.get(key))
    if odd:
        named = "; ".join(_difference(key, there.get(key, "absent"), here.get(key, "absent")) for key in odd[:_NAMED])
        more = f"; and {len(odd) - _NAMED} more" if len(odd) > _NAMED else ""
        raise InputError(f"{out}: holds a training with other settings ({named}{more}); choose another folder, or remove it")
    return dict(record)


def _difference(name: str, there: Any, here: Any) -> str:
    return f"{name} differs" if isinstance(here, list) else f"{name} is {there} there and {here} here"


def _flat(value: Any, name: str = "") -> dict[str, Any]:
    if not isinstance(value, dict):
        return {name: value}
    return {key: leaf for part, inner in value.items() for key, leaf in _flat(inner, f"{name}.{part}" if name else part).items()}


def _content(start: Path | None) -> str | None:
    """A hash of the weights to begin with."""
    if start is None:
        return None
    return signature(next(path for path in (start / WEIGHTS_FILE, start / TRAINED_FILE, start) if path.is_file()))


@contextmanager
def _alone(out: Path) -> Iterator[None]:
    """Hold the folder's lock, which falls with the process."""
    out.mkdir(parents=True, exist_ok=True)
    handle = os.open(out, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise InputError(f"{out}: another process is training into it; wait for it, or choose another folder") from None
    finally:
        os.close(handle)

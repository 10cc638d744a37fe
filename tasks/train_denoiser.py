"""Train ZipEnhancer on your own recordings: ``python -m tasks.train_denoiser --speech CLEAN --noise NOISE --out FOLDER``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from talkhead_core.audio.denoise.zip_enhancer.network import NetworkSize
from talkhead_core.audio.denoise.zip_enhancer.trained_weights import TRAINED_FILE
from talkhead_core.errors import InputError
from talkhead_core.kernels.devices import select_device
from talkhead_core.parameters import from_mapping, merged
from talkhead_core.speakers import read_yaml
from talkhead_core.training.denoiser_run import train_denoiser
from talkhead_core.training.denoiser_training import DenoiserTrainingConfig
from tasks.stage import errors_in_one_line, print_progress

_SIZES = {"paper": NetworkSize(), "small": NetworkSize.small()}


def _main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tasks.train_denoiser", description=__doc__)
    parser.add_argument("--speech", type=Path, required=True, help="folder of clean speech, any formats and rates")
    parser.add_argument("--noise", type=Path, required=True, help="folder of recordings without speech")
    parser.add_argument("--out", type=Path, required=True, help="folder for the weights; the same command takes a killed training up again")
    parser.add_argument(
        "--size", choices=_SIZES, default="paper", help="of the network: as published (for a GPU), or small (for a processor)"
    )
    parser.add_argument("--start", type=Path, help="weights to begin with, official or trained here; the network is then of their size")
    parser.add_argument("--iterations", type=int, help=f"optimiser steps; {DenoiserTrainingConfig.iterations} by default")
    parser.add_argument("--seed", type=int, help="of initial weights, split and draws")
    parser.add_argument("--settings", type=Path, help="YAML with any settings of DenoiserTrainingConfig; options go before it")
    parser.add_argument("--device", default="auto", help="cpu, cuda, cuda:N, or auto")
    parser.add_argument("--debug", action="store_true", help="show tracebacks")
    arguments = parser.parse_args()
    with errors_in_one_line("train_denoiser", debug=arguments.debug):
        result = train_denoiser(
            arguments.speech,
            arguments.noise,
            arguments.out,
            _config(arguments.settings, arguments.size, {"iterations": arguments.iterations, "seed": arguments.seed}),
            start=arguments.start,
            device=select_device(arguments.device),
            progress=print_progress,
        )
        gained = f"PESQ {result['pesq']:.2f} of recordings kept aside, {result['pesq_noisy']:.2f} as they are, at step {result['step']}"
        sys.stdout.write(f"{arguments.out / TRAINED_FILE}  ({gained})\n")


def _config(settings: Path | None, size: str, options: dict[str, Any]) -> DenoiserTrainingConfig:
    if settings is not None and not settings.is_file():
        raise InputError(f"{settings}: {'is not a file' if settings.exists() else 'does not exist'}; check the path")
    told = read_yaml(settings) if settings is not None else {}
    given = {key: value for key, value in options.items() if value is not None}
    return from_mapping(DenoiserTrainingConfig, merged({"network": _SIZES[size]}, told, given), where="settings")


if __name__ == "__main__":
    _main()

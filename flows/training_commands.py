"""``talkhead train-denoiser``: a network trained on recordings of one's own, with the bar and the time left that stages have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flows.command_output import JsonOption, tell
from flows.stage_display import StageDisplay
from flows.stage_runs import StageFailedError, run_task
from flows.task_commands import existing_file, existing_path
from flows.workspace import Workspace
from talkhead_core.artifacts import read_json
from talkhead_core.errors import InputError

__all__ = ["train_denoiser_command"]


def train_denoiser_command(
    speech: Annotated[Path, typer.Option(help="a folder of clean speech, any formats and rates")],
    noise: Annotated[Path, typer.Option(help="a folder of recordings without speech")],
    out: Annotated[Path, typer.Option(help="a folder for the weights; the same command takes a training that was cut off up again")],
    size: Annotated[str, typer.Option(help="of the network: paper, which wants a GPU, or small")] = "paper",
    start: Annotated[Path | None, typer.Option(help="weights to begin with, official or trained here")] = None,
    iterations: Annotated[int | None, typer.Option(help="optimiser steps")] = None,
    seed: Annotated[int | None, typer.Option(help="of initial weights, split and draws")] = None,
    settings: Annotated[Path | None, typer.Option(help="YAML with any settings; options go before it")] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:N, or auto")] = "auto",
    as_json: JsonOption = False,
) -> None:
    """Train the denoiser ZipEnhancer on recordings of your own; 'denoise: {method: zipenhancer, weights: OUT}' then uses it."""
    arguments: list[str | Path] = ["--speech", speech.resolve(), "--noise", noise.resolve(), "--out", out.resolve()]
    arguments += ["--size", size, "--device", device]
    arguments += ["--start", existing_path(start)] if start is not None else []
    arguments += ["--settings", existing_file(settings).resolve()] if settings is not None else []
    for name, value in (("--iterations", iterations), ("--seed", seed)):
        arguments += [name, str(value)] if value is not None else []
    with StageDisplay(["train_denoiser"], quiet=as_json, lines=False) as display:
        try:
            line = run_task(Workspace.here(), "train_denoiser", arguments, display.show)[-1]
        except StageFailedError as error:
            raise InputError(str(error).removeprefix("train_denoiser: ")) from error
    tell(read_json(out / "training.json")["result"], [line], as_json=as_json)

"""Checkpoints from which training resumes to the very same result.

Safetensors plus JSON, never pickle. They live outside DVC's outputs, in a folder named by a signature of everything the
result depends on, so that a forced retraining starts afresh and a killed one goes on. Each carries hashes of its content: a disk
that lost or changed a byte must not be trained on.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from talkhead_core.artifacts import read_arrays, read_json, write_arrays, write_json
from talkhead_core.errors import InputError

__all__ = ["CheckpointStore", "optimiser_tensors", "restore_optimiser", "signature"]

_KEPT = 2


def signature(*parts: object) -> str:
    """A short hash of parameters (JSON-able) and input files (``Path``, by content)."""
    digest = hashlib.sha256()
    for part in parts:
        if isinstance(part, Path):
            with part.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
        else:
            digest.update(json.dumps(part, sort_keys=True, default=str).encode())
    return digest.hexdigest()[:20]


class CheckpointStore:
    """The newest checkpoints of one training run: the last, and the one before it should the last be damaged on the disk.

    Args:
        folder: of this run; made on the first save.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def save(self, step: int, tensors: dict[str, Tensor], state: dict[str, Any]) -> None:
        """Write a checkpoint and then drop all but the one before it; ``state`` is JSON."""
        arrays, record = self._files(step)
        write_arrays(arrays, {name: tensor.detach().cpu().numpy() for name, tensor in tensors.items()})
        write_json(record, {"step": step, "state": state, "sha256": {"tensors": _sha256(arrays), "state": _state_sha256(step, state)}})
        for old in self._steps()[:-_KEPT]:
            for path in self._files(old)[::-1]:
                path.unlink(missing_ok=True)
        for half_written in self.folder.glob(".writing-*"):  # by a process that was killed; this one is the only one that writes
            half_written.unlink(missing_ok=True)

    def latest(self) -> tuple[int, dict[str, Tensor], dict[str, Any]] | None:
        """The newest checkpoint that is whole: step, tensors and state; None when there is none.

        One that is not what was written is set aside as ``*.damaged``, with a warning that names it.
        """
        for step in reversed(self._steps()):
            arrays, record = self._files(step)
            try:
                return step, *_read_whole(step, arrays, record)
            except (OSError, InputError) as error:
                for path in (record, arrays):
                    with suppress(FileNotFoundError):  # never written, or another process of the same run was first
                        path.rename(path.with_name(f"{path.name}.damaged"))
                warnings.warn(f"{error}; set aside as *.damaged, training goes on from the checkpoint before it", stacklevel=2)
        return None

    def clear(self) -> None:
        """Remove the run's checkpoints, once its result is written."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _files(self, step: int) -> tuple[Path, Path]:
        return self.folder / f"{step:09d}.safetensors", self.folder / f"{step:09d}.json"

    def _steps(self) -> list[int]:
        names = [path.stem for path in self.folder.glob("*.json")] if self.folder.exists() else []
        return sorted(int(name) for name in names if name.isdecimal())


def _read_whole(step: int, arrays: Path, record: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """A checkpoint exactly as it was written; an ``InputError`` names the file that is not."""
    content = read_json(record)
    try:
        state, written = content["state"], content["sha256"]
        same_state, same_tensors = written["state"] == _state_sha256(step, state), written["tensors"] == _sha256(arrays)
    except (KeyError, TypeError) as error:
        raise InputError(f"{record}: this checkpoint's record is damaged") from error
    if not same_state:
        raise InputError(f"{record}: this checkpoint's record is damaged")
    if not same_tensors:
        raise InputError(f"{arrays}: this checkpoint is damaged")
    return {name: torch.from_numpy(array) for name, array in read_arrays(arrays).items()}, state


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _state_sha256(step: int, state: object) -> str:
    return hashlib.sha256(json.dumps([step, state], sort_keys=True).encode()).hexdigest()


def optimiser_tensors(optimiser: torch.optim.Optimizer, module: nn.Module) -> dict[str, Tensor]:
    """Adam's moments by parameter name: ``adam.<moment>.<name>``."""
    names = {id(parameter): name for name, parameter in module.named_parameters()}
    return {
        f"adam.{key}.{names[id(parameter)]}": torch.as_tensor(value)
        for parameter, state in optimiser.state.items()
        for key, value in state.items()
    }


def restore_optimiser(optimiser: torch.optim.Optimizer, module: nn.Module, tensors: dict[str, Tensor]) -> None:
    """Put back what :func:`optimiser_tensors` gave."""
    parameters = dict(module.named_parameters())
    for name, tensor in tensors.items():
        if name.startswith("adam."):
            _, key, owner = name.split(".", 2)
            parameter = parameters[owner]
            # files hold a single number as an array of one
            shape = () if key == "step" else parameter.shape
            optimiser.state[parameter][key] = tensor.to(parameter.device).reshape(shape).clone()

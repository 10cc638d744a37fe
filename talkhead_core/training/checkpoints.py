"""Checkpoints from which training resumes to the very same result.

Safetensors plus JSON, never pickle. They live outside DVC's outputs, in a folder named by a signature of everything the
result depends on, so that a forced retraining starts afresh and a killed one goes on.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from talkhead_core.artifacts import read_arrays, read_json, write_arrays, write_json

__all__ = ["CheckpointStore", "optimiser_tensors", "restore_optimiser", "signature"]


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
    """The newest whole checkpoint of one training run.

    Args:
        folder: of this run; made on the first save.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def save(self, step: int, tensors: dict[str, Tensor], state: dict[str, Any]) -> None:
        """Write a checkpoint and then drop the older ones; ``state`` is JSON."""
        arrays = {name: tensor.detach().cpu().numpy() for name, tensor in tensors.items()}
        write_arrays(self.folder / f"{step:09d}.safetensors", arrays)
        write_json(self.folder / f"{step:09d}.json", {"step": step, "state": state})
        for old in self._steps()[:-1]:
            (self.folder / f"{old:09d}.json").unlink(missing_ok=True)
            (self.folder / f"{old:09d}.safetensors").unlink(missing_ok=True)

    def latest(self) -> tuple[int, dict[str, Tensor], dict[str, Any]] | None:
        """The newest checkpoint that is whole: step, tensors and state; None when there is none."""
        for step in reversed(self._steps()):
            arrays = self.folder / f"{step:09d}.safetensors"
            if arrays.exists():
                tensors = {name: torch.from_numpy(array) for name, array in read_arrays(arrays).items()}
                return step, tensors, read_json(self.folder / f"{step:09d}.json")["state"]
        return None

    def clear(self) -> None:
        """Remove the run's checkpoints, once its result is written."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _steps(self) -> list[int]:
        return sorted(int(path.stem) for path in self.folder.glob("*.json")) if self.folder.exists() else []


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
            optimiser.state[parameters[owner]][key] = tensor.to(parameters[owner].device).clone()

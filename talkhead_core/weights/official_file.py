"""Finding and reading the official weight files that a back end was pointed at."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from talkhead_core.errors import NotAvailableError

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = ["fill", "official_file", "read_state"]

_COUNTER = "num_batches_tracked"
"""Of batch normalisation: old files lack it, and nothing that only runs reads it."""

_DAMAGE = (RuntimeError, EOFError, LookupError, ValueError, TypeError, AttributeError, OSError)  # what torch.load says of spoiled files


def official_file(user: str, weights: str | Path | None, names: tuple[str, ...], weight_set: str) -> Path:
    """The weight file of a back end.

    Args:
        user: what needs it, for the error message, such as ``"speech feature 'hubert'"``.
        weights: the file, or the folder that holds it; None where nothing is set.
        names: the file's name, and other names that it may have.
        weight_set: what ``talkhead models pull`` calls it.

    Raises:
        NotAvailableError: it is not there.
    """
    path = Path(weights) if weights is not None else None
    candidates = [path / name for name in names] if path is not None and path.is_dir() else [path] if path is not None else []
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    raise NotAvailableError(f"{user} needs {names[0]} ({weights or 'no path is set'}); run 'talkhead models pull {weight_set}'")


def read_state(path: Path, weight_set: str) -> dict[str, Tensor]:
    """The tensors of a PyTorch or safetensors file, by the authors' names, without running anything that the file holds.

    Raises:
        NotAvailableError: it is no file of weights.
    """
    import pickle

    import torch  # two seconds that whoever has no weights does not spend
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        state: Any = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, pickle.UnpicklingError, *_DAMAGE) as error:
        raise NotAvailableError(f"{path}: not a file of weights; remove it and run 'talkhead models pull {weight_set}'") from error
    for key in ("state_dict", "model"):
        if isinstance(state, dict) and isinstance(state.get(key), dict):
            state = state[key]
    if not isinstance(state, dict):
        raise NotAvailableError(f"{path}: holds no named weights; remove it and run 'talkhead models pull {weight_set}'")
    return {str(name): tensor for name, tensor in state.items() if isinstance(tensor, torch.Tensor)}


def fill(network: nn.Module, state: Mapping[str, Tensor], path: Path, whose: str, weight_set: str) -> None:
    """Give ``network`` the tensors of an official file: every name and every shape must be its own.

    Args:
        network: defined under the authors' names.
        state: by those names; counters of batches may lack.
        path: the file, for the error message.
        whose: what the file should be, for the error message, such as ``"FID's Inception"``.
        weight_set: what ``talkhead models pull`` calls it.

    Raises:
        NotAvailableError: the file is of another network.
    """
    given = {name: tensor for name, tensor in state.items() if not name.endswith(_COUNTER)}
    odd = sorted(given.keys() ^ {name for name in network.state_dict() if not name.endswith(_COUNTER)})
    try:
        if odd:
            raise RuntimeError(f"{len(odd)} names do not match, such as {odd[0]}")
        network.load_state_dict(given, strict=False)
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].strip()
        raise NotAvailableError(f"{path} is not {whose} ({reason}); remove it and run 'talkhead models pull {weight_set}'") from error

"""Finding and reading the official weight files that a back end was pointed at."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from talkhead_core.errors import NotAvailableError

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["official_file", "read_state"]

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

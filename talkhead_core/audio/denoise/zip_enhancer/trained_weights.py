"""Networks that ``tasks/train_denoiser.py`` trained: one safetensors file whose header tells the network's size and how it was made.

One file and not two, so that tensors and sizes can never be of different trainings.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import safetensors
from safetensors.torch import save
from torch import Tensor

from talkhead_core.artifacts import whole_file
from talkhead_core.audio.denoise.zip_enhancer.network import NetworkSize, ZipEnhancer
from talkhead_core.audio.denoise.zip_enhancer.official_weights import WEIGHTS_FILE, load_official, sizes_from_shapes
from talkhead_core.errors import NotAvailableError, ParameterError
from talkhead_core.parameters import from_mapping

__all__ = ["TRAINED_FILE", "load_network", "load_trained", "read_record", "save_trained"]

TRAINED_FILE = "zipenhancer.safetensors"

_HEADER = "description"  # one entry, because safetensors writes several in any order, and equal networks shall be equal files


def save_trained(path: Path, size: NetworkSize, tensors: dict[str, Tensor], record: dict[str, Any]) -> None:
    """Write a network, whole.

    Args:
        path: ends in ``.safetensors``.
        size: the network's.
        tensors: its state.
        record: how it was trained, what it scores; JSON.
    """
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    header = json.dumps({"size": asdict(size), "record": record}, sort_keys=True)
    with whole_file(path) as temporary:
        temporary.write_bytes(save(state, {_HEADER: header}))


def load_trained(file: Path) -> ZipEnhancer:
    """The network that :func:`save_trained` wrote, ready to run.

    Raises:
        NotAvailableError: the file is missing, is damaged, or holds something else.
    """
    if not file.is_file():
        raise NotAvailableError(f"denoiser 'zipenhancer' needs {file.name} ({file}); run 'python -m tasks.train_denoiser'")
    try:
        with safetensors.safe_open(file, framework="pt") as opened:
            header = json.loads((opened.metadata() or {})[_HEADER])
            tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 - not a mapping
        size = from_mapping(NetworkSize, header["size"], where="size")
        # what the tensors say is checked before a network of the size that the header says is made
        if sizes_from_shapes(tensors, size.stacks[0].block.heads) != size:
            raise ValueError("its tensors are not of the size that its header tells")
        network = ZipEnhancer(size)
        network.load_state_dict(tensors)
    except (safetensors.SafetensorError, ParameterError, LookupError, ValueError, TypeError, AttributeError, RuntimeError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise NotAvailableError(f"{file} is not a trained ZipEnhancer ({reason}); train it anew, or set another file") from error
    return network.eval()


def read_record(file: Path) -> dict[str, Any]:
    """How a network that :func:`load_trained` reads was trained."""
    with safetensors.safe_open(file, framework="pt") as opened:
        return dict(json.loads((opened.metadata() or {})[_HEADER])["record"])


def load_network(path: Path) -> ZipEnhancer:
    """A network ready to run: the official one, or one that was trained here.

    Args:
        path: ``pytorch_model.bin``, a ``.safetensors``, or a folder that holds one of them (the official file before ours).

    Raises:
        NotAvailableError: there is none, or it is damaged.
    """
    if path.suffix == ".safetensors":
        return load_trained(path)
    if path.is_dir() and not (path / WEIGHTS_FILE).is_file() and (path / TRAINED_FILE).is_file():
        return load_trained(path / TRAINED_FILE)
    return load_official(path)

"""Where tensors live: the processor or a GPU."""

from __future__ import annotations

import torch

from talkhead_core.errors import NotAvailableError, ParameterError

__all__ = ["select_device"]


def select_device(name: str = "auto") -> torch.device:
    """The device called ``name``: ``cpu``, ``cuda``, ``cuda:1`` and so on; ``auto`` is the first GPU when there is one.

    A GPU asked for by number becomes the current one, because Triton starts its programs there.

    Raises:
        NotAvailableError: a GPU is asked for that PyTorch does not see.
        ParameterError: no such device.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    kind, _, index = name.partition(":")
    if kind not in ("cpu", "cuda") or (index and not index.isdigit()):
        raise ParameterError(f"no device called {name!r}; choose auto, cpu, cuda or cuda:N")
    if kind == "cuda" and int(index or 0) >= torch.cuda.device_count():
        raise NotAvailableError(f"device {name!r}: PyTorch {torch.__version__} sees {torch.cuda.device_count()} GPUs; choose auto or cpu")
    if kind == "cuda" and index:
        torch.cuda.set_device(int(index))
    return torch.device(name)

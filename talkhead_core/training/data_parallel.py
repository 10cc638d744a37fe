"""Training on several processes, each with a part of every step's rays, started by ``torchrun``.

Every process draws all the frames of a step and keeps its own share, so that ``n`` processes take the step that one process with
``n`` times the frames would; gradients are averaged before the optimiser, which therefore does the same everywhere.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
import torch.distributed
from torch import Tensor, nn

__all__ = ["average_gradients", "average_values", "broadcast", "broadcast_weights", "process_count", "process_rank", "wait_for_all"]


def process_rank() -> int:
    """This process's number, from 0, which is the one that writes files."""
    return torch.distributed.get_rank() if _several() else 0


def process_count() -> int:
    """How many processes train together; 1 where ``torch.distributed`` was not initialised."""
    return torch.distributed.get_world_size() if _several() else 1


def broadcast(tensor: Tensor) -> None:
    """Give every process the tensor of process 0, in place."""
    if _several():
        torch.distributed.broadcast(tensor, src=0)


def broadcast_weights(module: nn.Module) -> None:
    """Give every process the weights of process 0."""
    for tensor in module.state_dict().values():
        broadcast(tensor)


def average_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Replace every gradient by its mean over the processes, in one message."""
    if not _several():
        return
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    torch.distributed.all_reduce(flat)
    flat /= process_count()
    for gradient, part in zip(gradients, flat.split([gradient.numel() for gradient in gradients]), strict=True):
        gradient.copy_(part.view_as(gradient))


def average_values(values: dict[str, Tensor]) -> dict[str, Tensor]:
    """Scalars averaged over the processes."""
    if not _several():
        return values
    stacked = torch.stack(list(values.values()))
    torch.distributed.all_reduce(stacked)
    return dict(zip(values, stacked / process_count(), strict=True))


def wait_for_all() -> None:
    """Return when every process has come here, so that none reads a file that another still writes."""
    if _several():
        torch.distributed.barrier()


def _several() -> bool:
    return torch.distributed.is_available() and torch.distributed.is_initialized()

"""Which hash kernel runs: the one asked for, or the best that loads here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from torch import Tensor

from talkhead_core.errors import NotAvailableError
from talkhead_core.kernels.hash_layout import HashLayout
from talkhead_core.registry import Registry

__all__ = ["HashKernel", "hash_kernels", "select_hash_kernel"]


class HashKernel(Protocol):
    """``(points [3, S], table [tables, entries, features], layout) -> [channels, S]``."""

    def __call__(self, points: Tensor, table: Tensor, layout: HashLayout) -> Tensor: ...


hash_kernels: Registry[Callable[[Tensor, Tensor, HashLayout], Tensor]] = Registry(
    "hash kernel",
    {
        "torch": "talkhead_core.kernels.hash_torch:encode",
        "numba": "talkhead_core.kernels.hash_numba:encode",
        "triton": "talkhead_core.kernels.hash_triton:encode",
    },
)

_PREFERENCE = {"cpu": ("numba", "torch"), "cuda": ("triton", "torch")}


def select_hash_kernel(name: str, device_type: str) -> tuple[str, HashKernel]:
    """The kernel called ``name``; ``auto`` takes the fastest that loads for ``device_type`` (``cpu`` or ``cuda``).

    Returns:
        Its name, for the log and the model's record, and the kernel.

    Raises:
        NotAvailableError: it cannot load; for ``auto``, with the cause of every candidate.
        ParameterError: no such kernel.
    """
    if name != "auto":
        return name, hash_kernels.get(name)
    causes = []
    for candidate in _PREFERENCE.get(device_type, ("torch",)):
        try:
            return candidate, hash_kernels.get(candidate)
        except NotAvailableError as error:
            causes.append(f"{candidate}: {error}")
    raise NotAvailableError(f"no hash kernel loads on {device_type}: {'; '.join(causes)}")

"""Which kernels run: those asked for, or the best that load here."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, TypeAlias

from torch import Tensor

from talkhead_core.errors import NotAvailableError
from talkhead_core.kernels.hash_layout import HashLayout
from talkhead_core.kernels.shell_geometry import ShellGeometry
from talkhead_core.registry import Registry

__all__ = [
    "CompositingKernel",
    "HashKernel",
    "MarchingKernel",
    "PerceptronKernel",
    "ShellKernel",
    "compositing_kernels",
    "hash_kernels",
    "marching_kernels",
    "perceptron_kernels",
    "select_kernel",
    "shell_kernels",
]


HashKernel: TypeAlias = Callable[[Tensor, Tensor, HashLayout], Tensor]
"""See :func:`talkhead_core.kernels.hash_torch.encode`."""

PerceptronKernel: TypeAlias = Callable[[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor], Tensor]
"""See :func:`talkhead_core.kernels.perceptron_torch.perceptron`."""

ShellKernel: TypeAlias = Callable[[ShellGeometry, Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]
"""See :func:`talkhead_core.kernels.shell_torch.shell_points`."""

MarchingKernel: TypeAlias = Callable[[ShellGeometry, Tensor, Tensor, Tensor, Tensor, int], tuple[Tensor, Tensor, Tensor]]
"""See :func:`talkhead_core.kernels.marching_torch.march`."""

CompositingKernel: TypeAlias = Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]
"""See :func:`talkhead_core.kernels.compositing_torch.composite`."""

hash_kernels: Registry[HashKernel] = Registry(
    "hash kernel",
    {
        "torch": "talkhead_core.kernels.hash_torch:encode",
        "numba": "talkhead_core.kernels.hash_numba:encode",
        "triton": "talkhead_core.kernels.hash_triton:encode",
        "tinycudann": "talkhead_core.kernels.hash_tinycudann:encode",
    },
)

perceptron_kernels: Registry[PerceptronKernel] = Registry(
    "perceptron kernel",
    {
        "torch": "talkhead_core.kernels.perceptron_torch:perceptron",
        "numba": "talkhead_core.kernels.perceptron_numba:perceptron",
    },
)

shell_kernels: Registry[ShellKernel] = Registry(
    "shell kernel",
    {
        "torch": "talkhead_core.kernels.shell_torch:shell_points",
        "numba": "talkhead_core.kernels.shell_numba:shell_points",
        "triton": "talkhead_core.kernels.shell_triton:shell_points",
    },
)

marching_kernels: Registry[MarchingKernel] = Registry(
    "marching kernel",
    {
        "torch": "talkhead_core.kernels.marching_torch:march",
        "numba": "talkhead_core.kernels.marching_numba:march",
    },
)

compositing_kernels: Registry[CompositingKernel] = Registry(
    "compositing kernel",
    {
        "torch": "talkhead_core.kernels.compositing_torch:composite",
        "numba": "talkhead_core.kernels.compositing_numba:composite",
        "triton": "talkhead_core.kernels.compositing_triton:composite",
    },
)

_FASTEST_FIRST = {"cpu": ("numba", "torch"), "cuda": ("triton", "torch")}
"""What ``auto`` tries. Not ``tinycudann``: wherever it can be built, Triton is already there, and has the fewer launches."""


@cache
def select_kernel(kernels: Registry[Any], name: str, device_type: str) -> tuple[str, Callable[..., Any]]:
    """The kernel called ``name``; ``auto`` takes the fastest that loads for ``device_type`` (``cpu`` or ``cuda``).

    A name that another kind of kernel has and this one has not (there is no ``triton`` or ``tinycudann`` perceptron) counts as ``auto``.

    Returns:
        Its name, for the log and the model's record, and the kernel.

    Raises:
        NotAvailableError: it cannot load or does not run on that device; for ``auto``, with the cause of every candidate.
        ParameterError: no such kernel.
    """
    if name in kernels or not _known(name):
        return name, _loaded(kernels, name, device_type)
    causes = []
    for candidate in filter(kernels.__contains__, _FASTEST_FIRST.get(device_type, ("torch",))):
        try:
            return candidate, _loaded(kernels, candidate, device_type)
        except NotAvailableError as error:
            causes.append(f"{candidate}: {error}")
    raise NotAvailableError(f"no {kernels.kind} loads on {device_type}: {'; '.join(causes)}")


def _known(name: str) -> bool:
    return name == "auto" or any(name in kernels for kernels in (hash_kernels, perceptron_kernels))


def _loaded(kernels: Registry[Any], name: str, device_type: str) -> Callable[..., Any]:
    if name == "numba" and device_type != "cpu":
        raise NotAvailableError(f"{kernels.kind} 'numba' runs on the processor, and the model is on {device_type}; choose auto or torch")
    kernel = kernels.get(name)
    if name in ("triton", "tinycudann") and device_type != "cuda" and not (name == "triton" and _triton_interprets()):
        raise NotAvailableError(f"{kernels.kind} {name!r} needs a CUDA device, and the model is on {device_type}; choose auto or numba")
    return kernel


def _triton_interprets() -> bool:
    from triton import knobs

    return bool(knobs.runtime.interpret)

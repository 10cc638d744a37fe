"""Compiled kernels beside their torch references; ``select_kernel`` picks."""

from talkhead_core.kernels.denormals import denormals_as_zero
from talkhead_core.kernels.devices import select_device
from talkhead_core.kernels.hash_layout import HashLayout
from talkhead_core.kernels.selection import (
    CompositingKernel,
    HashKernel,
    MarchingKernel,
    PerceptronKernel,
    ShellKernel,
    compositing_kernels,
    hash_kernels,
    marching_kernels,
    perceptron_kernels,
    select_kernel,
    shell_kernels,
)
from talkhead_core.kernels.shell_geometry import ShellGeometry

__all__ = [
    "CompositingKernel",
    "HashKernel",
    "HashLayout",
    "MarchingKernel",
    "PerceptronKernel",
    "ShellGeometry",
    "ShellKernel",
    "compositing_kernels",
    "denormals_as_zero",
    "hash_kernels",
    "marching_kernels",
    "perceptron_kernels",
    "select_device",
    "select_kernel",
    "shell_kernels",
]

"""The tri-plane hash encoder as a module: owns the table, which every kernel shares."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from talkhead_core.kernels import HashLayout, hash_kernels, select_kernel

__all__ = ["TriPlaneEncoder"]


class TriPlaneEncoder(nn.Module):
    """Encode points in the unit cube (RAE-NeRF eqs. 7-8).

    Args:
        layout: sizes of the grid.
        kernel: ``auto``, ``torch``, ``numba``, ``triton`` or ``tinycudann``; a checkpoint loads under any.
    """

    def __init__(self, layout: HashLayout, kernel: str = "auto") -> None:
        super().__init__()
        self.layout = layout
        self.kernel = kernel
        self.table = nn.Parameter(torch.empty(layout.entries, layout.features).uniform_(-1e-4, 1e-4))

    @property
    def kernel_name(self) -> str:
        """The kernel that runs on the table's present device."""
        return select_kernel(hash_kernels, self.kernel, self.table.device.type)[0]

    def forward(self, points: Tensor) -> Tensor:
        """``[3, samples]`` in [0, 1] to ``[samples, channels]``."""
        _, kernel = select_kernel(hash_kernels, self.kernel, self.table.device.type)
        return kernel(points, self.table, self.layout).t()  # type: ignore[no-any-return]

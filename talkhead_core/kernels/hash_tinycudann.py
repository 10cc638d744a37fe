"""The tri-plane hash encoding by NVIDIA's tiny-cuda-nn, for its GPUs.

The table stays ours, so a checkpoint loads under this kernel and any other: each call hands it over in tiny-cuda-nn's layout
(:mod:`talkhead_core.kernels.tinycudann_layout`). All in float32; positions are rounded once more than in the other kernels, by the
shift of half a cell, which moves a point by up to 3e-5 of a cell at 512 cells.
"""

from __future__ import annotations

from functools import lru_cache
from importlib.util import find_spec
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from talkhead_core.errors import NotAvailableError
from talkhead_core.kernels.hash_layout import HashLayout
from talkhead_core.kernels.tinycudann_layout import encoding_config, shifted_points, to_parameters

__all__ = ["encode"]


def _package() -> Any:
    """The package ``tinycudann``.

    Raises:
        NotAvailableError: it does not load; every cause is named.
    """
    causes = [] if torch.cuda.is_available() else [f"PyTorch {torch.__version__} sees no CUDA device"]
    if find_spec("tinycudann") is None:
        causes.append("the package tinycudann is not installed (it is built from source: docs/back_ends.md)")
    else:
        try:
            import tinycudann
        except (ImportError, OSError) as error:  # no device, built for another capability, or against another PyTorch
            causes.append(f"tinycudann does not load, so build it again for this PyTorch and GPU ({' '.join(str(error).split())})")
        else:
            return tinycudann
    raise NotAvailableError(f"hash kernel 'tinycudann': {'; '.join(causes)}")


_tinycudann = _package()


def encode(points: Tensor, table: Tensor, layout: HashLayout) -> Tensor:
    """The same as :func:`talkhead_core.kernels.hash_torch.encode`.

    Raises:
        ParameterError: tiny-cuda-nn has no grid with so many features.
    """
    samples = points.shape[1]
    inputs = shifted_points(points if samples else F.pad(points, (0, 1)), layout)  # it takes no batch of none
    parameters = to_parameters(table.float(), layout)
    encoded: Tensor = torch.func.functional_call(_grids(layout), {"params": parameters}, (inputs,))
    return encoded[:samples, : layout.output_channels].t()


@lru_cache(maxsize=16)
def _grids(layout: HashLayout) -> torch.nn.Module:
    """tiny-cuda-nn's module for a layout; its own parameters are never used."""
    grids: torch.nn.Module = _tinycudann.Encoding(2 * layout.tables, encoding_config(layout), dtype=torch.float32)
    return grids

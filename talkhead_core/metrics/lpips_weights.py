"""The official weights of LPIPS, found and checked before anything heavy is imported."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from talkhead_core.errors import NotAvailableError
from talkhead_core.types import Image

if TYPE_CHECKING:
    from talkhead_core.metrics.lpips import Lpips

__all__ = ["ALEXNET_FILE", "HEADS_FILE", "load_lpips", "load_lpips_network"]

ALEXNET_FILE = "alexnet-owt-7be5be79.pth"
HEADS_FILE = "lpips-alex-v0.1.pth"
_PULL = "run 'talkhead models pull lpips-alexnet'"


def load_lpips(folder: Path) -> Callable[[Image, Image], float]:
    """A function from (reference, rendered), RGB ``[H, W, 3]`` uint8, to their LPIPS distance with the official weights.

    Args:
        folder: see :func:`load_lpips_network`.

    Raises:
        NotAvailableError: a file is missing, or is not the official one.
    """
    return load_lpips_network(folder).score


def load_lpips_network(folder: Path) -> Lpips:
    """LPIPS with the official weights, a module that gradients pass through.

    Args:
        folder: holds :data:`ALEXNET_FILE` (torchvision's ImageNet AlexNet) and :data:`HEADS_FILE` (``alex.pth`` of LPIPS v0.1).

    Raises:
        NotAvailableError: a file is missing, or is not the official one.
    """
    backbone, heads = folder / ALEXNET_FILE, folder / HEADS_FILE
    missing = [path.name for path in (backbone, heads) if not path.is_file()]
    if missing:
        raise NotAvailableError(f"metric 'lpips' needs {' and '.join(missing)}; {_PULL}")
    digest = hashlib.sha256(backbone.read_bytes()).hexdigest()
    expected = ALEXNET_FILE.rsplit("-", 1)[1].removesuffix(".pth")
    if not digest.startswith(expected):
        raise NotAvailableError(
            f"{backbone}: sha256 {digest[:8]}... is not {expected}..., so it is not the official file; remove it and {_PULL}"
        )
    import torch  # two seconds that an evaluation without these weights does not spend

    from talkhead_core.metrics.lpips import lpips_from

    return lpips_from(torch.load(backbone, weights_only=True), torch.load(heads, weights_only=True))

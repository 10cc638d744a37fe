"""LaMa (Suvorov et al., Resolution-robust Large Mask Inpainting with Fourier Convolutions, WACV 2022)."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from talkhead_core.errors import NotAvailableError
from talkhead_core.inpaint.inpainter import Filled
from talkhead_core.types import Image
from talkhead_core.weights.store import require_unchanged

__all__ = ["LamaInpainter"]

_FILE = "big-lama.pt"
_MULTIPLE = 8
_PULL = "run 'talkhead models pull lama'"


class LamaInpainter:
    """Fills each frame by itself with the TorchScript export of the official ``big-lama``; knows nothing of other frames.

    Args:
        weights: path of ``big-lama.pt``, or of the folder that holds it.

    Raises:
        NotAvailableError: the file is missing, is not TorchScript, or was changed since it was fetched.
    """

    def __init__(self, weights: str | None = None) -> None:
        path = Path(weights) if weights else Path(_FILE)
        path = path / _FILE if path.is_dir() else path
        if weights is None or not path.is_file():
            raise NotAvailableError(f"inpainter 'lama' needs {_FILE} ({weights or 'no path is set'}); {_PULL}")
        require_unchanged(path)  # TorchScript is less than Python, but a program
        import torch  # two seconds that the other inpainters do not spend

        self._torch = torch
        try:
            self._network = torch.jit.load(str(path), map_location="cpu").eval()  # type: ignore[no-untyped-call]
        except RuntimeError as error:
            raise NotAvailableError(f"{path}: not a TorchScript file; remove it and {_PULL}") from error

    def begin_shot(self, samples: Iterable[tuple[Image, np.ndarray]]) -> None:
        """Nothing to learn."""

    def __call__(self, image: Image, hole: np.ndarray) -> Filled:
        """Fill the boolean ``hole`` ``[H, W]`` of an RGB frame ``[H, W, 3]``."""
        nothing = np.zeros(hole.shape, bool)
        if not hole.any():
            return Filled(image=image, recovered=nothing)
        height, width = hole.shape
        border = ((0, -height % _MULTIPLE), (0, -width % _MULTIPLE))
        colour = np.pad(image, (*border, (0, 0)), mode="symmetric").astype(np.float32) / 255
        mask = np.pad(hole, border, mode="symmetric").astype(np.float32)
        with self._torch.inference_mode():
            filled = self._network(
                self._torch.from_numpy(colour.transpose(2, 0, 1)[None].copy()), self._torch.from_numpy(mask[None, None].copy())
            )
        result = np.clip(np.round(filled[0].numpy().transpose(1, 2, 0)[:height, :width] * 255), 0, 255).astype(np.uint8)
        return Filled(image=np.where(hole[..., None], result, image), recovered=nothing, invented_by="lama")

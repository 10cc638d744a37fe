"""Optical flow networks with official weights: loading, padding, and images in and out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from talkhead_core.types import FloatArray, Image
from talkhead_core.weights.official_file import fill, official_file, read_state

if TYPE_CHECKING:
    from torch import nn

__all__ = ["LearntFlow", "gmflow", "raft_small"]


class LearntFlow:
    """A network as an optical flow back end.

    Args:
        network: takes two images ``[1, 3, H, W]`` of values 0 to 255 and returns displacement ``[1, 2, H, W]`` in pixels.
        multiple: what its image sizes must be a multiple of.
        least_px: the smallest side that it takes.
    """

    def __init__(self, network: nn.Module, *, multiple: int, least_px: int) -> None:
        self._network, self._multiple, self._least = network.eval(), multiple, least_px

    def __call__(self, first: Image, second: Image) -> FloatArray:
        """RGB ``[H, W, 3]`` twice to displacement ``[H, W, 2]`` float32 in pixels."""
        import torch

        height, width = first.shape[:2]
        with torch.inference_mode():
            flow = self._network(*(torch.from_numpy(self._padded(image)) for image in (first, second)))
        return np.ascontiguousarray(flow[0].numpy().transpose(1, 2, 0)[:height, :width])

    def _padded(self, image: Image) -> np.ndarray:
        border = [(0, -max(side, self._least) % self._multiple + max(0, self._least - side)) for side in image.shape[:2]]
        return np.pad(image, [*border, (0, 0)], mode="edge").astype(np.float32).transpose(2, 0, 1)[None].copy()


def raft_small(weights: str | None) -> LearntFlow:
    """RAFT-small (Teed and Deng, ECCV 2020) with torchvision's weights.

    Raises:
        NotAvailableError: the weights are missing or are not these.
    """
    path = official_file("optical flow 'raft_small'", weights, ("raft_small_C_T_V2-01064c6d.pth",), "raft_small")
    from talkhead_core.motion.raft import RaftSmall

    return LearntFlow(_filled(RaftSmall(), path, "RAFT-small", "raft_small"), multiple=8, least_px=128)


def gmflow(weights: str | None) -> LearntFlow:
    """GMFlow (Xu et al., CVPR 2022), one scale, with the official weights for Sintel.

    Raises:
        NotAvailableError: the weights are missing or are not these.
    """
    path = official_file("optical flow 'gmflow'", weights, ("gmflow_sintel-0c07dcb3.pth",), "gmflow")
    from talkhead_core.motion.gmflow import GmFlow

    return LearntFlow(_filled(GmFlow(), path, "GMFlow of one scale", "gmflow"), multiple=16, least_px=32)


def _filled(network: nn.Module, path: Path, whose: str, weight_set: str) -> nn.Module:
    state = {name.removeprefix("module."): tensor for name, tensor in read_state(path, weight_set).items()}
    fill(network, state, path, whose, weight_set)
    return network

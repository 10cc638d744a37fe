"""FID: the Fréchet distance of Inception features (Heusel et al., GANs trained by a two time-scale update rule, NeurIPS 2017, eq. 6).

It compares two sets of pictures as wholes and is biased upwards for few of them: a figure from a few hundred frames is not one from the
50,000 of the literature on generators. The number of frames belongs beside it.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from talkhead_core.types import FloatArray, Image
from talkhead_core.weights.official_file import fill, official_file, read_state

if TYPE_CHECKING:
    from talkhead_core.metrics.inception_network import InceptionV3

__all__ = ["INCEPTION_FILE", "FrechetInception", "Moments", "frechet_distance", "load_inception"]

INCEPTION_FILE = "pt_inception-2015-12-05-6726825d.pth"
_NOT_NEEDED = re.compile(r"^fc\.|^AuxLogits\.")


class Moments:
    """Mean and covariance of vectors that come one batch after another, in constant memory: at most as many rows as they have entries."""

    def __init__(self, size: int) -> None:
        self.count, self._size = 0, size
        self._rows: list[FloatArray] = []
        self._sum, self._products = np.zeros(size), np.zeros((0, 0))

    def add(self, rows: FloatArray) -> None:
        """Take ``[n, size]``."""
        rows = rows.astype(np.float64)
        self.count += len(rows)
        self._sum += rows.sum(axis=0)
        self._rows.append(rows)
        if self.count > self._size:  # more rows than entries: their products are smaller
            products = sum(part.T @ part for part in self._rows)
            self._products = products + self._products if self._products.size else np.asarray(products)
            self._rows = []

    @property
    def mean(self) -> FloatArray:
        """``[size]``."""
        return self._sum / self.count

    @property
    def centred(self) -> FloatArray | None:
        """``[count, size]`` with the mean removed, over ``sqrt(count - 1)``; None once there are more rows than entries."""
        if self.count > self._size:
            return None
        return (np.concatenate(self._rows) - self.mean) / np.sqrt(self.count - 1)

    @property
    def covariance(self) -> FloatArray:
        """``[size, size]``, unbiased."""
        centred = self.centred
        if centred is not None:
            return centred.T @ centred
        return (self._products - self.count * np.outer(self.mean, self.mean)) / (self.count - 1)


def frechet_distance(first: Moments, second: Moments) -> float:
    """``|m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2))``.

    With ``C = X^T X``, the root's trace is the sum of the singular values of ``X1 X2^T``: for few frames a small matrix. For many,
    the square root of ``C`` stands for ``X``.
    """
    parts = []
    for moments in (first, second):
        centred = moments.centred
        if centred is None:
            values, vectors = np.linalg.eigh(moments.covariance)
            centred = np.sqrt(np.maximum(values, 0))[:, None] * vectors.T
        parts.append(centred)
    shared = np.linalg.svd(parts[0] @ parts[1].T, compute_uv=False).sum()
    apart = float(((first.mean - second.mean) ** 2).sum())
    return max(apart + float((parts[0] ** 2).sum() + (parts[1] ** 2).sum() - 2 * shared), 0.0)


class FrechetInception:
    """The distance of a video's frames from its reference's, added pair by pair."""

    def __init__(self, network: InceptionV3) -> None:
        from talkhead_core.metrics.inception_network import FEATURES

        self._network = network
        self._reference, self._rendered = Moments(FEATURES), Moments(FEATURES)

    def add(self, reference: Image, rendered: Image) -> None:
        """Take a frame of each, RGB ``[H, W, 3]`` uint8."""
        import torch

        with torch.inference_mode():
            for moments, image in ((self._reference, reference), (self._rendered, rendered)):
                values = torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1))[None]).float() / 255
                moments.add(self._network(values).numpy())

    def figures(self) -> dict[str, float]:
        """``fid`` and ``fid_frames``; nothing for fewer than two frames."""
        if self._reference.count < 2:
            return {}
        return {"fid": frechet_distance(self._reference, self._rendered), "fid_frames": self._reference.count}


def load_inception(weights: Path) -> InceptionV3:
    """The network with the official weights.

    Args:
        weights: the folder of the weight store.

    Raises:
        NotAvailableError: the file is missing or is another network's.
    """
    path = official_file("metric 'fid'", weights, (INCEPTION_FILE,), "inception")
    state = {name: tensor for name, tensor in read_state(path, "inception").items() if not _NOT_NEEDED.search(name)}
    from talkhead_core.metrics.inception_network import InceptionV3

    network = InceptionV3()
    fill(network, state, path, "FID's Inception", "inception")
    return network

"""The numbers of a kernel readout, in closed form: kernel ridge regression, by Nystroem's method where the footage is long."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from talkhead_core.encoders.kernel_readout import KernelReadout, KernelReadoutConfig
from talkhead_core.parameters import require
from talkhead_core.types import FloatArray

__all__ = ["KernelRegression", "KernelRegressionConfig"]

Windows = Callable[[np.ndarray], Tensor]
"""Frame ids to ``[frames, window, channels]``; asked for a few hundred at once, because an hour of windows fits no memory."""

_BLOCK_FRAMES = 256


@dataclass(frozen=True, kw_only=True)
class KernelRegressionConfig:
    """How the kernel readout is fitted.

    Args:
        ridge: noise variance of the codes against a prior of 1.
        most_centres: frames that are compared with at most; longer footage is represented by so many, evenly spread, and learned in full.
        dimensions: principal components kept, at most.
    """

    ridge: float = 0.2
    most_centres: int = 2000
    dimensions: int = 256

    def __post_init__(self) -> None:
        require(self.ridge > 0, f"ridge must be above 0, not {self.ridge}")
        require(self.most_centres >= 1 and self.dimensions >= 1, "most_centres and dimensions must be at least 1")


class KernelRegression:
    """Where all frames of one speaker lie, computed once, and fitted to any part of them.

    Args:
        windows: reads frames.
        frames: how many there are.
        train_ids: frames that scales and principal components are taken from.
        groups: channels of each group of features.
        config: how.
    """

    def __init__(
        self, windows: Windows, frames: int, train_ids: np.ndarray, groups: tuple[int, ...], config: KernelRegressionConfig
    ) -> None:
        self.config = config
        sample = torch.cat([windows(part) for part in _blocks(_spread(train_ids, config.most_centres))])
        self._window = sample.shape[1]
        self._scaled = KernelReadout(KernelReadoutConfig(groups=groups, dimensions=min(config.dimensions, len(sample))), self._window, 1)
        self._scale(sample)
        self._reduce(sample)
        self.points = torch.cat([self._scaled.points(windows(part)) for part in _blocks(np.arange(frames))])

    def fit(self, lip_codes: FloatArray, learned: np.ndarray) -> KernelReadout:
        """The readout that learned codes ``lip_codes [N, codes]`` of the frames ``learned``."""
        centres = self.points[_spread(learned, self.config.most_centres)]
        config = dataclasses.replace(self._scaled.config, centres=len(centres))
        readout = KernelReadout(config, self._window, lip_codes.shape[1])
        for name in ("channel_mean", "channel_scale", "row_mean", "components"):
            getattr(readout, name).copy_(getattr(self._scaled, name))
        wanted = torch.from_numpy(lip_codes[learned]).double()
        readout.centres.copy_(centres)
        readout.mean_codes.copy_(wanted.mean(dim=0))
        readout.weights.copy_(_ridge_weights(readout, self.points[learned], wanted - wanted.mean(dim=0), self.config.ridge))
        return readout

    def _scale(self, sample: Tensor) -> None:
        """Unit variance for each channel, then a mean squared length of one for the rows, to which every group gives its equal share."""
        readout, groups = self._scaled, self._scaled.config.groups
        flat = sample.flatten(0, 1)
        readout.channel_mean.copy_(flat.mean(dim=0))
        readout.channel_scale.copy_(1 / (flat.std(dim=0) + 1e-6))
        energy = readout.rows(sample).view(len(sample), -1, sum(groups)).square().sum(dim=1).mean(dim=0)
        shares = torch.cat([part.sum().expand(len(part)) for part in energy.split(list(groups))])
        readout.channel_scale.div_((shares * len(groups)).sqrt() + 1e-6)

    def _reduce(self, sample: Tensor) -> None:
        """Principal components, from the rows' products with each other: there are fewer rows than numbers in a row."""
        rows = self._scaled.rows(sample)
        centred = (rows - rows.mean(dim=0)).double()
        values, vectors = torch.linalg.eigh(centred @ centred.T)
        kept = min(self._scaled.config.dimensions, rows.shape[1])
        directions = centred.T @ vectors[:, -kept:] / values[-kept:].clamp(min=1e-9).sqrt()
        self._scaled.row_mean.copy_(rows.mean(dim=0))
        self._scaled.components[:, :kept] = directions.float()


def _ridge_weights(readout: KernelReadout, points: Tensor, wanted: Tensor, ridge: float) -> Tensor:
    """Weights ``[centres, codes]`` for frames at ``points`` with codes ``wanted``; exact kernel ridge regression when all are centres."""
    among = readout.kernel(readout.centres, readout.centres).double()
    factor = torch.linalg.cholesky(among + 1e-6 * torch.eye(len(among), dtype=among.dtype))
    features = torch.linalg.solve_triangular(factor, readout.kernel(points, readout.centres).double().T, upper=False)
    damped = features @ features.T + ridge * torch.eye(len(features), dtype=features.dtype)
    solved = torch.linalg.solve(damped, features @ wanted)
    return torch.linalg.solve_triangular(factor.T, solved, upper=True)


def _spread(ids: np.ndarray, most: int) -> np.ndarray:
    """At most ``most`` of ``ids``, evenly spread."""
    return ids if len(ids) <= most else ids[np.linspace(0, len(ids) - 1, most).round().astype(np.int64)]


def _blocks(ids: np.ndarray) -> list[np.ndarray]:
    return [ids[start : start + _BLOCK_FRAMES] for start in range(0, len(ids), _BLOCK_FRAMES)]

"""The training loop that every head shares: resumable to the same bits, rolled back when the loss is not a number, watched as it goes."""

from __future__ import annotations

import copy
import math
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

from talkhead_core.artifacts import whole_file
from talkhead_core.errors import TrainingError
from talkhead_core.parameters import require
from talkhead_core.progress import Progress, silent
from talkhead_core.rendering.region_aware_head import RegionAwareHead
from talkhead_core.rendering.shell_cache import ShellCache
from talkhead_core.rendering.talking_head import TalkingHead
from talkhead_core.training.checkpoints import CheckpointStore, optimiser_tensors, restore_optimiser
from talkhead_core.training.data_parallel import average_values, broadcast_weights, process_rank, wait_for_all
from talkhead_core.training.portrait_dataset import PortraitDataset

__all__ = ["HeadTrainingConfig", "ResumableTrainer"]

_MOST_ROLLBACKS = 3
_HISTORY_EVERY = 50
_LOOK_EVERY = 10
"""Steps between looks at the loss: to look is to wait for the GPU."""


@dataclass(frozen=True, kw_only=True)
class HeadTrainingConfig:
    """How the head field is trained.

    Args:
        iterations: optimiser steps.
        marched_iterations: those of a head whose rays march through a grid, where a step costs many times ours; 0: ``iterations`` too.
        frames_per_step: frames that a step's rays come from.
        rays_per_frame: rays from each.
        samples: samples a ray in the shell.
        mouth_fraction: part of the rays that fall on the mouth.
        table_rate: learning rate of the hash tables.
        network_rate: learning rate of everything else.
        first_rate_fraction: of the rates, at the first step.
        last_rate_fraction: of the rates, at the last step; exponential between.
        opacity_weight: of the squared difference between opacity and the person mask.
        structure_weight: of the multi-scale gradient loss on patches; 0 draws no patches.
        patch_px: side of a patch.
        ema_decay: of the running mean of the weights, a tenth of the steps; the mean is what is saved.
        checkpoint_every: steps.
        cuda_graph: on a GPU with Triton's kernels, record our own head's step once and replay it as one launch.
        seed: of all draws.
    """

    iterations: int = 8000
    marched_iterations: int = 0
    frames_per_step: int = 16
    rays_per_frame: int = 256
    samples: int = 3
    mouth_fraction: float = 0.2
    table_rate: float = 1e-2
    network_rate: float = 2e-3
    first_rate_fraction: float = 1.0
    last_rate_fraction: float = 0.1
    opacity_weight: float = 1e-3
    structure_weight: float = 0.0
    patch_px: int = 32
    ema_decay: float = 0.95
    checkpoint_every: int = 1000
    cuda_graph: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        require(self.iterations >= 1, f"iterations must be at least 1, not {self.iterations}")
        require(self.marched_iterations >= 0, f"marched_iterations must not be negative, as {self.marched_iterations} is")
        require(1 <= self.frames_per_step <= 256, "frames_per_step must be 1 to 256")
        require(1 <= self.rays_per_frame <= 65536, "rays_per_frame must be 1 to 65536")
        require(1 <= self.samples <= 64, f"samples must be 1 to 64, not {self.samples}")
        require(0.0 <= self.mouth_fraction <= 1.0, "mouth_fraction must be in [0, 1]")
        require(self.patch_px >= 8, f"patch_px must be at least 8, not {self.patch_px}")
        require(0.0 <= self.ema_decay < 1.0, "ema_decay must be in [0, 1)")

    def for_marched_head(self) -> HeadTrainingConfig:
        """The same with the steps of a head whose rays march."""
        return replace(self, iterations=self.marched_iterations or self.iterations, marched_iterations=0)


class ResumableTrainer(ABC):
    """Train a head on a speaker; what one step is, a subclass says in :meth:`step`.

    Args:
        head: the model; its weights are trained in place and end as their running mean.
        dataset: the speaker.
        cache: the shell's maps and poses, one row a frame id.
        config: how.
        store: where checkpoints go.
        optimiser: of the head's parameters.
    """

    def __init__(
        self,
        *,
        head: TalkingHead | RegionAwareHead,
        dataset: PortraitDataset,
        cache: ShellCache,
        config: HeadTrainingConfig,
        store: CheckpointStore,
        optimiser: torch.optim.Optimizer,
    ) -> None:
        self.head, self.dataset, self.cache, self.config, self.store = head, dataset, cache, config, store
        self._plate = torch.from_numpy(dataset.plate.reshape(-1, 3).astype(np.float32) / 255).to(head.device)
        self._optimiser = optimiser
        broadcast_weights(head)
        self._mean = copy.deepcopy(head.state_dict())
        self._mean_every = _LOOK_EVERY
        self._rate_factor, self._rollbacks, self._seconds = 1.0, 0, 0.0
        self.history: list[dict[str, float]] = []

    @abstractmethod
    def step(self, step: int) -> dict[str, Tensor]:
        """Take optimiser step number ``step``; returns its losses, ``loss`` and ``mse`` among them, still on the device."""

    @abstractmethod
    def conditions(self, frames: Tensor) -> Tensor:
        """The field's conditions ``[F, channels]`` of frame ids ``[F]``."""

    def rate(self, step: int) -> float:
        """What the learning rates are multiplied by at a step: exponential from the first to the last fraction."""
        config = self.config
        fraction = step / max(1, config.iterations)
        return config.first_rate_fraction * (config.last_rate_fraction / config.first_rate_fraction) ** fraction * self._rate_factor

    def train(self, progress: Progress = silent) -> list[dict[str, float]]:
        """Run to the end, from the newest checkpoint if there is one.

        Returns:
            The history: one row every 50 steps with step, seconds, loss and psnr.

        Raises:
            TrainingError: the loss was not a number four times.
        """
        config = self.config
        step = self._resume()
        started, before = time.perf_counter(), self._seconds
        sums: dict[str, Tensor] = {}
        while step < config.iterations:
            for name, value in self.step(step).items():
                sums[name] = sums[name] + value if name in sums else value
            step += 1
            if step % _LOOK_EVERY == 0 or step % config.checkpoint_every == 0 or step == config.iterations:
                if not math.isfinite(average_values(sums)["loss"].item()):
                    step, sums = self._roll_back(step), {}
                    continue
                if step % self._mean_every == 0:
                    self._average(first=step <= 10 * self._mean_every)
            self._seconds = before + time.perf_counter() - started
            if step % _HISTORY_EVERY == 0 or step == config.iterations:
                count = (step - 1) % _HISTORY_EVERY + 1
                means = {name: value.item() / count for name, value in average_values(sums).items()}
                sums = {}
                psnr = -10 * math.log10(max(means["mse"], 1e-10))
                self.history.append({"step": step, "seconds": self._seconds, "psnr": psnr, **means})
                progress(step, config.iterations, f"loss {means['loss']:.5f}, psnr {psnr:.2f}")
            if step % config.checkpoint_every == 0 and step < config.iterations:
                self._save(step)
        if self._mean:
            self.head.load_state_dict(self._mean)
        return self.history

    def _average(self, *, first: bool) -> None:
        weight = 1.0 if first else 1.0 - self.config.ema_decay
        for name, value in self.head.state_dict().items():
            self._mean[name].lerp_(value, weight)

    def _save(self, step: int) -> None:
        if process_rank() == 0:
            self._write(step)
        wait_for_all()

    def _write(self, step: int) -> None:
        tensors = {f"head.{name}": value for name, value in self.head.state_dict().items()}
        tensors |= {f"mean.{name}": value for name, value in self._mean.items()}
        tensors |= optimiser_tensors(self._optimiser, self.head)
        state: dict[str, Any] = {
            "history": self.history,
            "seconds": self._seconds,
            "rate_factor": self._rate_factor,
            "rollbacks": self._rollbacks,
        }
        self.store.save(step, tensors, state)
        self._preview(self.store.folder / "preview.png")

    def _resume(self) -> int:
        latest = self.store.latest()
        if latest is None:
            return 0
        step, tensors, state = latest
        parts: dict[str, dict[str, Tensor]] = {"head": {}, "mean": {}}
        for name, tensor in tensors.items():
            kind, _, rest = name.partition(".")
            if kind in parts:
                parts[kind][rest] = tensor.to(self.head.device)
        self.head.load_state_dict(parts["head"])
        self._mean = parts["mean"]
        restore_optimiser(self._optimiser, self.head, tensors)
        self.history, self._seconds = state["history"], state["seconds"]
        self._rate_factor, self._rollbacks = state["rate_factor"], state["rollbacks"]
        return step

    def _roll_back(self, step: int) -> int:
        rollbacks, factor = self._rollbacks + 1, self._rate_factor / 2
        if rollbacks > _MOST_ROLLBACKS:
            raise TrainingError(
                f"the loss is not a number by step {step}, after {_MOST_ROLLBACKS} returns to a good checkpoint with halved rates; "
                "lower table_rate and network_rate"
            )
        resumed = self._resume()
        if resumed == 0:
            self._optimiser.state.clear()
            self.head.load_state_dict(self._mean)
            self.history = []
        self._rollbacks, self._rate_factor = rollbacks, factor
        return resumed

    def _preview(self, path: Path) -> None:
        """A training frame beside its render, for whoever wants to look while it trains."""
        size = self.dataset.size_px
        frame = int(self.dataset.train_ids[len(self.dataset.train_ids) // 2])
        covered = cv2.resize(self.cache.covered[frame].astype(np.uint8), (size, size), interpolation=cv2.INTER_NEAREST)
        flat = torch.nonzero(torch.from_numpy(covered).to(self.head.device).view(-1))[:, 0]
        pixel = torch.stack([flat % size, flat // size], dim=1) + 0.5
        one = torch.tensor([frame], device=self.head.device)
        colour, opacity = self.head.pixels(self.cache, frame, pixel, self.config.samples, self.conditions(one).detach()).split(
            [3, 1], dim=1
        )
        seen = (colour + (1 - opacity) * self._plate[flat]).mul(255).add(0.5).clamp(0, 255)
        image = self.dataset.frames[frame].reshape(-1, 3).copy()
        image[flat.cpu().numpy()] = seen.to(torch.uint8).cpu().numpy()
        side_by_side = np.hstack([self.dataset.frames[frame], image.reshape(size, size, 3)])
        with whole_file(path) as temporary:
            cv2.imwrite(str(temporary), cv2.cvtColor(side_by_side, cv2.COLOR_RGB2BGR))

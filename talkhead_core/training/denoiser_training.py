"""Training of ZipEnhancer: the steps, the judgement by PESQ on recordings kept aside, and what a killed process takes up again.

The paper (Wang and Tian 2025) uses ScaledAdam and the Eden schedule; here it is AdamW with MP-SENet's moments, a warm-up and a cosine,
and the running mean of the weights is what is judged and kept.
"""

from __future__ import annotations

import copy
import csv
import io
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from talkhead_core.artifacts import write_text
from talkhead_core.audio.denoise.zip_enhancer.chunked import enhanced_stream
from talkhead_core.audio.denoise.zip_enhancer.network import NetworkSize, ZipEnhancer, compressed_spectrum
from talkhead_core.audio.denoise.zip_enhancer.trained_weights import TRAINED_FILE, save_trained
from talkhead_core.errors import InputError, TrainingError
from talkhead_core.kernels.denormals import denormals_as_zero
from talkhead_core.media.audio_file import SPEECH_SAMPLE_RATE_HZ
from talkhead_core.metrics.speech.perceptual import pesq_mos
from talkhead_core.parameters import require
from talkhead_core.progress import Progress, silent
from talkhead_core.training.checkpoints import CheckpointStore, optimiser_tensors, restore_optimiser
from talkhead_core.training.denoiser_losses import LossWeights, denoiser_losses, total_loss
from talkhead_core.training.noisy_mixtures import MixtureConfig, NoisyMixtures, ValidationPair
from talkhead_core.types import FloatArray

__all__ = ["HISTORY_FILE", "DenoiserTrainer", "DenoiserTrainingConfig", "pesq_of"]

HISTORY_FILE = "history.csv"
_COLUMNS = ("step", "seconds", "learning_rate", "loss", "magnitude", "phase", "complex", "consistency", "time", "pesq")
_HISTORY_EVERY = 25
_MOST_REFUSED = 10
_LOWEST_PESQ = 1.0


@dataclass(frozen=True, kw_only=True)
class DenoiserTrainingConfig:
    """How ZipEnhancer is trained.

    Args:
        network: its sizes; the published ones want a GPU.
        mixtures: what noisy speech is made of.
        losses: their weights.
        iterations: optimiser steps.
        batch: examples a step.
        learning_rate: after the warm-up.
        warm_up: share of the steps over which the rate rises from zero.
        last_rate_fraction: of the rate, at the last step; a cosine between.
        weight_decay: of AdamW.
        clip_norm: largest norm of a step's gradient.
        mean_decay: of the running mean of the weights.
        validation: share of the speech files and of the noise files that are kept aside, at least one of each.
        validation_clips: how many of the speech files kept aside are judged.
        validation_s: longer ones are cut to this.
        validation_snr_db: their ratios, in turn.
        validate_every: steps.
        checkpoint_every: steps.
        seed: of initial weights, split and draws.
    """

    network: NetworkSize = field(default_factory=NetworkSize)
    mixtures: MixtureConfig = field(default_factory=MixtureConfig)
    losses: LossWeights = field(default_factory=LossWeights)
    iterations: int = 200_000
    batch: int = 4
    learning_rate: float = 5e-4
    warm_up: float = 0.02
    last_rate_fraction: float = 0.02
    weight_decay: float = 1e-2
    clip_norm: float = 5.0
    mean_decay: float = 0.999
    validation: float = 0.1
    validation_clips: int = 20
    validation_s: float = 8.0
    validation_snr_db: tuple[float, ...] = (0.0, 5.0, 10.0, 15.0)
    validate_every: int = 2000
    checkpoint_every: int = 500
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("iterations", "batch", "validation_clips", "validate_every", "checkpoint_every"):
            require(getattr(self, name) >= 1, f"{name} must be at least 1, not {getattr(self, name)}")
        require(0 < self.learning_rate < 1, f"learning_rate must be in (0, 1), not {self.learning_rate}")
        require(0 <= self.warm_up < 1, f"warm_up must be in [0, 1), not {self.warm_up}")
        require(0 < self.last_rate_fraction <= 1, f"last_rate_fraction must be in (0, 1], not {self.last_rate_fraction}")
        require(self.weight_decay >= 0, f"weight_decay must not be negative, not {self.weight_decay}")
        require(self.clip_norm > 0, f"clip_norm must be above 0, not {self.clip_norm}")
        require(0 <= self.mean_decay < 1, f"mean_decay must be in [0, 1), not {self.mean_decay}")
        require(0 < self.validation < 1, f"validation must be in (0, 1), not {self.validation}")
        require(self.validation_s >= 1, f"validation_s must be at least 1, not {self.validation_s}")
        require(len(self.validation_snr_db) >= 1, "validation_snr_db must not be empty")

    def rate(self, step: int) -> float:
        """The learning rate of step number ``step``, from 0."""
        warm = round(self.warm_up * self.iterations)
        if step < warm:
            return self.learning_rate * (step + 1) / warm
        done = (step - warm) / max(1, self.iterations - warm)
        return self.learning_rate * (self.last_rate_fraction + (1 - self.last_rate_fraction) * (1 + math.cos(math.pi * done)) / 2)


class DenoiserTrainer:
    """Train a network on mixtures and keep the weights that PESQ likes best.

    Args:
        network: its weights are trained in place, on the device it is on.
        mixtures: to learn from.
        pairs: to judge by.
        config: how.
        store: where checkpoints go.
        out: where ``zipenhancer.safetensors`` and ``history.csv`` go, which is written as training goes on.
        record: what the weights' file says of how they were made, beside the step and the scores.
    """

    def __init__(
        self,
        *,
        network: ZipEnhancer,
        mixtures: NoisyMixtures,
        pairs: Sequence[ValidationPair],
        config: DenoiserTrainingConfig,
        store: CheckpointStore,
        out: Path,
        record: dict[str, Any],
    ) -> None:
        self.network, self.config = network, config
        self._mixtures, self._pairs, self._store, self._out, self._record = mixtures, pairs, store, out, record
        self._device = next(network.parameters()).device
        self._optimiser = torch.optim.AdamW(
            network.parameters(), lr=config.learning_rate, betas=(0.8, 0.99), weight_decay=config.weight_decay
        )
        self._judged = copy.deepcopy(network).eval()
        self._mean = self._judged.state_dict()  # its own tensors: what is averaged is what is judged
        self._seconds, self._refused = 0.0, 0
        self.history: list[dict[str, float | None]] = []
        self.best: dict[str, float] | None = None
        self.pesq_noisy = pesq_of([(pair.clean, pair.noisy) for pair in pairs])

    @denormals_as_zero()
    def train(self, progress: Progress = silent) -> dict[str, float]:
        """Run to the end, from the newest checkpoint if there is one.

        Returns:
            ``step`` and ``pesq`` of the best weights, and ``pesq_noisy`` of the same recordings as they are.

        Raises:
            TrainingError: gradients were not numbers ten times in a row.
        """
        config = self.config
        step = self._resume()
        started, before = time.perf_counter(), self._seconds
        sums: dict[str, float] = {}
        count = 0
        self.network.train()
        while step < config.iterations:
            losses = self._step(step)
            for name, value in losses.items():
                sums[name] = sums.get(name, 0.0) + value
            count += bool(losses)
            step += 1
            last = step == config.iterations
            judged = last or step % config.validate_every == 0
            kept = step % config.checkpoint_every == 0 and not last
            self._seconds = before + time.perf_counter() - started
            if judged or kept or step % _HISTORY_EVERY == 0:
                pesq = self._judge(step) if judged else None
                means = {name: value / count for name, value in sums.items()}
                row = {"step": step, "seconds": round(self._seconds, 1), "learning_rate": config.rate(step - 1), **means, "pesq": pesq}
                self._note(row)
                sums, count = {}, 0
                progress(step, config.iterations, self._told(means.get("loss", math.nan)))
            if kept:
                self._save(step)
        assert self.best is not None
        return {**self.best, "pesq_noisy": self.pesq_noisy}

    def _step(self, step: int) -> dict[str, float]:
        """One step; its losses, or nothing where their gradient is not a number and nothing was learned."""
        config = self.config
        for group in self._optimiser.param_groups:
            group["lr"] = config.rate(step)
        clean, noisy = (torch.from_numpy(part).to(self._device) for part in self._mixtures.draw(step, config.batch))
        level = noisy.square().mean(dim=1, keepdim=True).sqrt().clamp(min=1e-8)
        magnitude, phase = self.network(*compressed_spectrum(noisy / level))
        losses = denoiser_losses(magnitude, phase, clean / level)
        loss = total_loss(losses, config.losses)
        self._optimiser.zero_grad()
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(self.network.parameters(), config.clip_norm)
        if not torch.isfinite(norm):  # an angle of nothing at all has no gradient
            self._refused += 1
            if self._refused >= _MOST_REFUSED:
                raise TrainingError(f"gradients are not numbers since step {step + 1 - _MOST_REFUSED}; lower learning_rate and train anew")
            return {}
        self._refused = 0
        self._optimiser.step()
        weight = 1.0 - min(config.mean_decay, (1 + step) / (10 + step))
        for name, value in self.network.state_dict().items():
            self._mean[name].lerp_(value, weight)
        return {name: value.item() for name, value in {"loss": loss, **losses}.items()}

    def _judge(self, step: int) -> float:
        """PESQ of the mean weights as the back end would run them; the best so far are written."""
        enhanced = [np.concatenate(list(enhanced_stream(self._judged, [pair.noisy]))) for pair in self._pairs]
        pesq = pesq_of([(pair.clean, found) for pair, found in zip(self._pairs, enhanced, strict=True)])
        if self.best is None or pesq > self.best["pesq"]:
            self.best = {"step": step, "pesq": pesq}
            record = {**self._record, **self.best, "pesq_noisy": self.pesq_noisy}
            save_trained(self._out / TRAINED_FILE, self.network.size, self._mean, record)
        return pesq

    def _note(self, row: dict[str, float | None]) -> None:
        self.history.append(row)
        text = io.StringIO()
        writer = csv.DictWriter(text, _COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.history)
        write_text(self._out / HISTORY_FILE, text.getvalue())

    def _told(self, loss: float) -> str:
        known = f", PESQ {self.best['pesq']:.2f} (noisy {self.pesq_noisy:.2f})" if self.best else ""
        return f"loss {loss:.3f}{known}"

    def _save(self, step: int) -> None:
        tensors = {f"network.{name}": value for name, value in self.network.state_dict().items()}
        tensors |= {f"mean.{name}": value for name, value in self._mean.items()}
        tensors |= optimiser_tensors(self._optimiser, self.network)
        state = {"history": self.history, "seconds": self._seconds, "refused": self._refused, "best": self.best}
        self._store.save(step, tensors, state)

    def _resume(self) -> int:
        latest = self._store.latest()
        if latest is None:
            return 0
        step, tensors, state = latest
        parts: dict[str, dict[str, Tensor]] = {"network": {}, "mean": {}}
        for name, tensor in tensors.items():
            kind, _, rest = name.partition(".")
            if kind in parts:
                parts[kind][rest] = tensor
        self.network.load_state_dict(parts["network"])
        self._judged.load_state_dict(parts["mean"])
        restore_optimiser(self._optimiser, self.network, tensors)
        self.history, self._seconds = state["history"], state["seconds"]
        self._refused, self.best = state["refused"], state["best"]
        return step


def pesq_of(pairs: Sequence[tuple[FloatArray, FloatArray]]) -> float:
    """Mean wide-band PESQ of (clean, other) pairs; where nothing of the speech is left in the other, the scale's lowest."""
    scores = []
    for clean, other in pairs:
        try:
            scores.append(pesq_mos(clean, other, SPEECH_SAMPLE_RATE_HZ))
        except InputError:
            scores.append(_LOWEST_PESQ)
    return float(np.mean(scores))

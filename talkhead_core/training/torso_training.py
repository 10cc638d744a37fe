"""Training of the torso field on the inpainted clip, transient regions weighted down (WildTalker eq. 6)."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

import numpy as np
import torch

from talkhead_core.errors import TrainingError
from talkhead_core.fields.torso_field import TorsoField
from talkhead_core.parameters import require
from talkhead_core.progress import Progress, silent
from talkhead_core.rendering.talking_head import mixed_precision
from talkhead_core.training.portrait_dataset import PortraitDataset
from talkhead_core.types import Label

__all__ = ["TorsoTrainingConfig", "train_torso_field"]


@dataclass(frozen=True, kw_only=True)
class TorsoTrainingConfig:
    """How the torso field is trained.

    Args:
        iterations: optimiser steps.
        frames_per_step: frames that a step's pixels come from.
        pixels_per_frame: pixels from each.
        torso_fraction: part of the pixels that fall on torso and neck; the rest fall anywhere but on the head.
        table_rate: learning rate of the hash table.
        network_rate: learning rate of the networks.
        last_rate_fraction: of the rates, at the last step.
        opacity_weight: of the squared difference between opacity and the torso mask.
        transient_weighting: weigh each pixel by 1 - M. Eq. 6 prints M, but eq. 4 sets M to 1 on what the text says is de-emphasised.
        seed: of all draws.
    """

    iterations: int = 2500
    frames_per_step: int = 16
    pixels_per_frame: int = 256
    torso_fraction: float = 0.75
    table_rate: float = 1e-2
    network_rate: float = 2e-3
    last_rate_fraction: float = 0.05
    opacity_weight: float = 1e-2
    transient_weighting: bool = True
    seed: int = 0

    def __post_init__(self) -> None:
        require(self.iterations >= 1, f"iterations must be at least 1, not {self.iterations}")
        require(0.0 <= self.torso_fraction <= 1.0, "torso_fraction must be in [0, 1]")


def train_torso_field(
    field: TorsoField,
    dataset: PortraitDataset,
    transient: np.ndarray,
    config: TorsoTrainingConfig,
    progress: Progress = silent,
) -> list[dict[str, float]]:
    """Train in place.

    Args:
        field: the torso field.
        dataset: the speaker; its frames are the *clean* clip, hands removed.
        transient: ``[N, size, size]`` uint8, 255 M.
        config: how.
        progress: listener.

    Returns:
        The history: step, seconds, loss, mse, psnr.

    Raises:
        TrainingError: the loss was not a number.
    """
    size, train_ids = dataset.size_px, dataset.train_ids
    device = field.anchors_cm.device
    rotation, translation = (torch.from_numpy(part).to(device) for part in (dataset.track.rotation, dataset.track.translation_cm))
    focal = dataset.track.camera(size).focal_px / size
    with torch.no_grad():
        codes = field.pose_code(rotation[train_ids], translation[train_ids], focal)
        field.pose_mean.copy_(codes.mean(dim=0))
        field.pose_std.copy_(codes.std(dim=0) + 1e-3)
    pixels, labels = dataset.frames.reshape(len(dataset.frames), -1, 3), dataset.labels.reshape(len(dataset.labels), -1)
    weights = transient.reshape(len(transient), -1)
    plate = torch.from_numpy(dataset.plate.reshape(-1, 3).astype(np.float32) / 255).to(device)
    tables = [p for name, p in field.named_parameters() if name.endswith("table")]
    others = [p for name, p in field.named_parameters() if not name.endswith("table") and name != "anchors_cm"]
    groups = [{"params": tables}, {"params": others}, {"params": [field.anchors_cm]}]
    rates = (config.table_rate, config.network_rate, 10 * config.network_rate)
    optimiser = torch.optim.Adam(groups, lr=1.0, betas=(0.9, 0.99), eps=1e-15, fused=True)
    torso = _TorsoPixels(labels, train_ids)
    history: list[dict[str, float]] = []
    started, total = time.perf_counter(), 0.0
    for step in range(config.iterations):
        generator = np.random.default_rng((config.seed, step, 2))
        frames = generator.choice(train_ids, config.frames_per_step, replace=len(train_ids) < config.frames_per_step)
        flat = np.stack([torso.draw(frame, config.pixels_per_frame, config.torso_fraction, generator) for frame in frames])
        target = torch.from_numpy(pixels[frames[:, None], flat]).to(device).float() / 255
        label = labels[frames[:, None], flat]
        known = label != Label.HEAD
        weight = known.astype(np.float32)
        if config.transient_weighting:
            weight *= 1.0 - weights[frames[:, None], flat].astype(np.float32) / 255
        person = (label == Label.TORSO) | (label == Label.NECK) | (label == Label.HANDS)
        body = torch.from_numpy(person.astype(np.float32)).to(device).unsqueeze(2)
        position = (np.stack([flat % size, flat // size], axis=2).astype(np.float32) + np.float32(0.5)) / np.float32(size)
        with mixed_precision(device):
            code = field.pose_code(rotation[frames], translation[frames], focal)
            colour, opacity = field(torch.from_numpy(position).to(device), code)
        rendered = opacity * colour + (1 - opacity) * plate[torch.from_numpy(flat).to(device)]
        weight_t = torch.from_numpy(weight).to(device).unsqueeze(2)
        mse = (weight_t * (rendered - target).square()).mean()
        loss = mse + config.opacity_weight * (weight_t * (opacity - body).square()).mean()
        fraction = step / max(1, config.iterations)
        for group, rate in zip(optimiser.param_groups, rates, strict=True):
            group["lr"] = rate * config.last_rate_fraction**fraction
        optimiser.zero_grad()
        loss.backward()
        if not math.isfinite(loss.item()):
            raise TrainingError(f"the torso's loss is not a number at step {step}; lower train_torso.table_rate")
        optimiser.step()
        total += mse.item() / max(float(weight.mean()), 1e-6)
        if (step + 1) % 50 == 0 or step + 1 == config.iterations:
            mean = total / ((step % 50) + 1)
            total = 0.0
            psnr = -10 * math.log10(max(mean, 1e-10))
            history.append({"step": step + 1, "seconds": time.perf_counter() - started, "loss": loss.item(), "mse": mean, "psnr": psnr})
            progress(step + 1, config.iterations, f"torso, psnr {psnr:.2f}")
    return history


class _TorsoPixels:
    """Pixels of torso and neck by frame, found when first asked for."""

    def __init__(self, labels: np.ndarray, train_ids: np.ndarray) -> None:
        self._labels, self._found = labels, {int(frame): None for frame in train_ids}

    def draw(self, frame: int, count: int, torso_fraction: float, generator: np.random.Generator) -> np.ndarray:
        where = self._found.get(int(frame))
        if where is None:
            label = self._labels[frame]
            where = np.flatnonzero((label == Label.TORSO) | (label == Label.NECK) | (label == Label.HANDS)).astype(np.int32)
            self._found[int(frame)] = where  # type: ignore[assignment]
        flat = generator.integers(0, self._labels.shape[1], count)
        body = round(count * torso_fraction) if len(where) else 0
        flat[:body] = where[generator.integers(0, len(where), body)] if body else flat[:0]
        return flat

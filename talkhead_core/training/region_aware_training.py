"""Training of the papers' heads: audio encoder, region-aware field and occupancy grid end to end from pixels."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from talkhead_core.encoders.audio_attention import ATTENTION_BEFORE, AudioAttention
from talkhead_core.face.mesh_topology import CHEEKS, JAW, LEFT_BROW, LEFT_EYE, LIPS, RIGHT_BROW, RIGHT_EYE
from talkhead_core.progress import Progress, silent
from talkhead_core.rendering.region_aware_head import RegionAwareHead, RenderedRays
from talkhead_core.rendering.shell_cache import ShellCache
from talkhead_core.rendering.speaker_model import SpeakerModel
from talkhead_core.training.checkpoints import CheckpointStore
from talkhead_core.training.data_parallel import average_gradients, broadcast, process_count, process_rank
from talkhead_core.training.perceptual_loss import PerceptualLoss, perceptual_loss
from talkhead_core.training.portrait_dataset import PortraitDataset
from talkhead_core.training.ray_sampling import RayBatch, RaySampler, mouth_boxes
from talkhead_core.training.region_aware_losses import (
    RegionAwareLossConfig,
    ambient_loss,
    opacity_entropy,
    photometric_loss,
    uncertainty_loss,
)
from talkhead_core.training.resumable_training import HeadTrainingConfig, ResumableTrainer
from talkhead_core.types import FloatArray, Label

__all__ = ["RegionAwareTrainer"]

_GRID, _JITTER = 2, 3
"""Kinds of draws, beside the ray sampler's 0 and 1."""
_MEANS = 100
"""Updates of the running mean over a training: SyncTalk's every 1000 of 100,000 steps, at any length."""
_SMALLEST_PATCH_PX, _PATCH_GRID_PX = 32, 8


class RegionAwareTrainer(ResumableTrainer):
    """Train a region-aware head on a speaker.

    Args:
        head: the model; its weights are trained in place and end as their running mean.
        dataset: the speaker.
        cache: poses, and the region whose rays are drawn, one row a frame id.
        speech: speech features ``[N, window, channels]``.
        lip_codes: of the tracked mesh ``[N, L]``, for ``lip_code_supervision``.
        expression: standardised ``[N, E]``.
        boxes: boxes of mouth, lower face and eyes, ``[N, 2, 2]`` each.
        config: steps, rays and rates.
        losses: what is minimised.
        perceptual: the loss on patches.
        store: where checkpoints go.
    """

    head: RegionAwareHead

    def __init__(
        self,
        *,
        head: RegionAwareHead,
        dataset: PortraitDataset,
        cache: ShellCache,
        speech: FloatArray,
        lip_codes: FloatArray,
        expression: FloatArray,
        boxes: tuple[FloatArray, FloatArray, FloatArray],
        config: HeadTrainingConfig,
        losses: RegionAwareLossConfig,
        perceptual: PerceptualLoss,
        store: CheckpointStore,
    ) -> None:
        device = head.device
        self.losses, self.perceptual = losses, perceptual
        padded = np.concatenate([speech, np.zeros_like(speech[:1])]).astype(np.float32)  # the last row stands for frames beyond the clip
        self._speech = torch.from_numpy(padded).to(device)
        self._expression, self._lips = (torch.from_numpy(part.astype(np.float32)).to(device) for part in (expression, lip_codes))
        self._lower_face, self._eyes = (torch.from_numpy(box.astype(np.float32)).to(device) for box in boxes[1:])
        widest = float(np.median((boxes[0][:, 1] - boxes[0][:, 0]).max(axis=1)))
        side = max(_SMALLEST_PATCH_PX, int(np.ceil(widest / _PATCH_GRID_PX)) * _PATCH_GRID_PX)
        self.lip_patch_px = min(side, dataset.size_px)
        self._sampler = RaySampler(cache, dataset, boxes[0], config.seed, (process_rank(), process_count()))
        self._draws = torch.Generator(device)
        super().__init__(head=head, dataset=dataset, cache=cache, config=config, store=store, optimiser=_optimiser(head, config))
        self._mean_every = max(10, config.iterations // _MEANS // 10 * 10)

    @classmethod
    def for_model(
        cls,
        model: SpeakerModel,
        dataset: PortraitDataset,
        speech: FloatArray,
        config: HeadTrainingConfig,
        losses: RegionAwareLossConfig,
        store: CheckpointStore,
        perceptual: PerceptualLoss | None = None,
        progress: Progress = silent,
    ) -> RegionAwareTrainer:
        """The trainer of a speaker's model, on the device the model is on; ``perceptual`` is the gradient loss when None."""
        assert isinstance(model.head, RegionAwareHead), "the model is driven by lip codes"
        track, shell = dataset.track, model.head.shell
        codes = model.lip_codes.encode(track.mesh_cm, track.shape_cm)
        expression = model.expression(track.mesh_cm, track.shape_cm, track.expression)
        moved = np.concatenate([codes, model.upper_face_codes.encode(track.mesh_cm, track.shape_cm, model.lip_codes)], axis=1)
        eyes = [*LEFT_EYE, *RIGHT_EYE, *LEFT_BROW, *RIGHT_BROW]
        boxes = (
            mouth_boxes(shell, dataset, moved),
            mouth_boxes(shell, dataset, moved, vertices=sorted({*LIPS, *JAW, *CHEEKS}), margin=0.0),
            mouth_boxes(shell, dataset, moved, vertices=eyes, margin=0.1),
        )
        at_rest = model.shell_codes(codes, expression)
        return cls(
            head=model.head,
            dataset=dataset,
            cache=ShellCache(
                shell, track.camera(dataset.size_px), track.rotation, track.translation_cm, at_rest, progress, model.head.device
            ),
            speech=speech,
            lip_codes=codes,
            expression=model.standardised(expression),
            boxes=boxes,
            config=config,
            losses=losses,
            perceptual=perceptual or perceptual_loss("gradient", None),
            store=store,
        )

    def conditions(self, frames: Tensor) -> Tensor:
        """The field's conditions ``[F, channels]`` of frame ids ``[F]``."""
        return self._conditions(frames, self.audio_codes(frames))

    def audio_codes(self, frames: Tensor) -> Tensor:
        """What is heard around frame ids ``[F]``, ``[F, channels]``."""
        around = frames[:, None] + torch.arange(-ATTENTION_BEFORE, AudioAttention.frames - ATTENTION_BEFORE, device=frames.device)
        beyond = len(self._speech) - 1
        rows = torch.where((around < 0) | (around >= beyond), beyond, around)
        return self.head.audio.attended(self._speech[rows])

    def step(self, step: int) -> dict[str, Tensor]:
        """Take optimiser step number ``step``; returns its losses, still on the device."""
        rate, losses = self.rate(step), self.losses
        for group in self._optimiser.param_groups:
            fast = losses.attention_rate_factor if group["name"] == "attention" else 1.0
            group["lr"] = (self.config.table_rate if group["name"] == "tables" else self.config.network_rate) * fast * rate
        batch, patch_px = self._draw(step)
        heard = self.audio_codes(batch.frames)
        condition = self._conditions(batch.frames, heard)
        rays = self.head.render(self.cache, batch.row, batch.pixel, batch.jitter[:, 0], condition)
        seen = (batch.label != Label.HANDS).float().unsqueeze(1)  # no hand before the head
        rendered, target = (rays.colour + (1 - rays.opacity) * self._plate[batch.flat]) * seen, batch.colour * seen
        terms = self._terms(step, batch, rays, rendered, target, condition)
        if self.head.lip_readout is not None:
            error = self.head.lip_readout(heard) - self._lips[batch.frames]
            terms["lip_codes"] = losses.lip_code_weight * error.square().mean()
        if patch_px:
            terms[self.perceptual.name] = self._of_patches(step, rendered, target, patch_px)
        loss = torch.stack(list(terms.values())).sum()
        self._optimiser.zero_grad()
        loss.backward()
        average_gradients(self.head.parameters())
        self._optimiser.step()
        if (step + 1) % self.head.config.grid.update_every == 0:
            self._update_grid(step, condition.detach())
        mse = (rendered - target).detach().square().mean()
        return {"loss": loss.detach(), "mse": mse} | {name: value.detach() for name, value in terms.items()}

    def _conditions(self, frames: Tensor, heard: Tensor) -> Tensor:
        return self.head.condition(heard, self._expression[frames], heard, self.head.appearance[frames])

    def _draw(self, step: int) -> tuple[RayBatch, int]:
        """Rays, and the side of their patches; 0 for independent rays."""
        config = self.config
        if self.losses.patches == "none":
            return self._sampler.draw(
                step, frames=config.frames_per_step, rays=config.rays_per_frame, mouth_fraction=config.mouth_fraction, samples=1
            ), 0
        of_lips = step % 2 == 1
        side = self.lip_patch_px if of_lips else min(config.patch_px, self.dataset.size_px)
        count = max(1, config.frames_per_step * config.rays_per_frame // side**2)
        return self._sampler.draw_patches(step, frames=count, patch_px=side, mouth_fraction=float(of_lips), samples=1), side

    def _terms(
        self, step: int, batch: RayBatch, rays: RenderedRays, rendered: Tensor, target: Tensor, condition: Tensor
    ) -> dict[str, Tensor]:
        """The weighted terms of the loss that every step has."""
        losses, config, progress = self.losses, self.config, step / max(1, self.config.iterations)
        inside = [_inside(batch.pixel, boxes[batch.row]) for boxes in (self._lower_face, self._eyes)]
        terms = {
            "photometric": photometric_loss(rendered, target, losses.photometric),
            "entropy": losses.entropy_weight * opacity_entropy(rays.opacity),
            "ambient": losses.ambient_weight * progress * ambient_loss(rays.attention, inside[0], inside[1]),
            "uncertainty": losses.uncertainty_weight * uncertainty_loss(rendered, target, rays.attention[:, 2]),
        }
        if config.opacity_weight:
            person = (batch.label != Label.BACKGROUND).float()
            terms["opacity"] = config.opacity_weight * (rays.opacity[:, 0] - person).square().mean()
        if losses.jitter_weight and step % losses.jitter_every == 0:
            terms["jitter"] = losses.jitter_weight * progress * self._jitter(step, rays.points)
        return terms

    def _jitter(self, step: int, points: Tensor) -> Tensor:
        """Attention a little beside the samples against attention at them (ER-NeRF)."""
        self._seed(step, _JITTER)
        shift = torch.rand(points.shape, generator=self._draws, device=points.device) - 0.5
        field = self.head.field
        with torch.no_grad():
            here = field.attention(field.encoder(points))
        beside = field.attention(field.encoder(points + shift * self.losses.jitter))
        return sum((((a - b).square().mean() for a, b in zip(here, beside, strict=True))), start=points.new_zeros(()))

    def _of_patches(self, step: int, rendered: Tensor, target: Tensor, side: int) -> Tensor:
        losses = self.losses
        weight = losses.gradient_weight
        if self.perceptual.name == "lpips":
            weight = losses.lpips_lip_weight if step % 2 == 1 else losses.lpips_patch_weight
        patches = [image.view(-1, side, side, 3).permute(0, 3, 1, 2) for image in (rendered, target)]
        return weight * self.perceptual.of(*patches)

    def _update_grid(self, step: int, condition: Tensor) -> None:
        self._seed(step, _GRID)
        head = self.head
        head.grid.update(self._draws, lambda points, lot: head.field.density_of(points, condition, lot % len(condition)))
        broadcast(head.grid.density)  # each process looked with frames of its own
        head.grid.forget()

    def _seed(self, step: int, kind: int) -> None:
        sequence = np.random.SeedSequence((self.config.seed, step, kind))
        self._draws.manual_seed(int(sequence.generate_state(1, np.uint32)[0]))

    def _average(self, *, first: bool) -> None:
        super()._average(first=first)
        self._mean["grid.density"].copy_(self.head.grid.density)


def _optimiser(head: RegionAwareHead, config: HeadTrainingConfig) -> torch.optim.Optimizer:
    """AdamW with the betas of RAD-NeRF's lineage: tables, the audio attention, and everything else."""
    kind = {
        name: "tables" if name.endswith("table") else "attention" if name.startswith("audio.attention") else "networks"
        for name, _ in head.named_parameters()
    }
    groups = [
        {"name": group, "params": [p for name, p in head.named_parameters() if kind[name] == group]}
        for group in ("tables", "attention", "networks")
    ]
    return torch.optim.AdamW(groups, lr=config.network_rate, betas=(0.0, 0.99), eps=1e-8, weight_decay=0.0, fused=True)


def _inside(pixel: Tensor, box: Tensor) -> Tensor:
    """Which pixels ``[R, 2]`` lie in their boxes ``[R, 2, 2]``."""
    return ((pixel >= box[:, 0]) & (pixel <= box[:, 1])).all(dim=1)

"""Training of the head field: coarse (independent rays) and fine (patches as well), resumable to the same result."""

from __future__ import annotations

import torch
from torch import Tensor

from talkhead_core.progress import Progress, silent
from talkhead_core.rendering.pose_correction import corrected_poses
from talkhead_core.rendering.shell_cache import ShellCache
from talkhead_core.rendering.speaker_model import SpeakerModel
from talkhead_core.rendering.talking_head import TalkingHead
from talkhead_core.training.checkpoints import CheckpointStore
from talkhead_core.training.data_parallel import average_gradients, broadcast, process_count, process_rank
from talkhead_core.training.photometric_poses import PoseRefinementConfig, refined_corrections
from talkhead_core.training.portrait_dataset import PortraitDataset
from talkhead_core.training.ray_sampling import RayBatch, RaySampler, mouth_boxes
from talkhead_core.training.repeated_step import RepeatedStep
from talkhead_core.training.resumable_training import HeadTrainingConfig, ResumableTrainer
from talkhead_core.training.structure_loss import multiscale_gradient_loss
from talkhead_core.types import FloatArray, Label

__all__ = ["HeadTrainer", "HeadTrainingConfig"]


class HeadTrainer(ResumableTrainer):
    """Train a talking head on a speaker.

    Args:
        head: the model; its weights are trained in place and end as their running mean.
        dataset: the speaker.
        cache: the shell's maps, one row a frame id.
        conditions: per-frame lip codes ``[N, L]`` and standardised expression ``[N, E]``.
        boxes: mouth boxes ``[N, 2, 2]``.
        config: how.
        store: where checkpoints go.
        poses: how the frames' poses are refined on the way; None: not at all.
    """

    head: TalkingHead

    def __init__(
        self,
        *,
        head: TalkingHead,
        dataset: PortraitDataset,
        cache: ShellCache,
        conditions: tuple[FloatArray, FloatArray],
        boxes: FloatArray,
        config: HeadTrainingConfig,
        store: CheckpointStore,
        poses: PoseRefinementConfig | None = None,
    ) -> None:
        device = head.device
        self._poses = poses
        self._refine_before = set(poses.steps(config.iterations)) if poses is not None else set()
        self._lips, self._expression = (torch.from_numpy(part).to(device) for part in conditions)
        self._directions = torch.from_numpy(cache.directions()).to(device)
        self._sampler = RaySampler(cache, dataset, boxes, config.seed, (process_rank(), process_count()))
        # only kernels that wait for nothing: PyTorch's own reference and tiny-cuda-nn start one by one
        waits = device.type != "cuda" or head.field.encoder.kernel_name != "triton" or process_count() > 1
        recorded = config.cuda_graph and not waits
        optimiser = _optimiser(head, config, recorded=recorded)
        super().__init__(head=head, dataset=dataset, cache=cache, config=config, store=store, optimiser=optimiser)
        self._rays_step = RepeatedStep(self._learn_rays, self._sampler.generator, recorded=recorded)
        self._patches_step = RepeatedStep(self._learn_patches, self._sampler.generator, recorded=recorded)

    @classmethod
    def for_model(
        cls,
        model: SpeakerModel,
        dataset: PortraitDataset,
        config: HeadTrainingConfig,
        store: CheckpointStore,
        progress: Progress = silent,
        poses: PoseRefinementConfig | None = None,
    ) -> HeadTrainer:
        """The trainer of a speaker's model, on the device the model is on; ``progress`` hears of the shell's maps."""
        assert isinstance(model.head, TalkingHead), "the model's head listens itself"
        track, shell = dataset.track, model.head.shell
        codes = model.lip_codes.encode(track.mesh_cm, track.shape_cm)
        expression = model.expression(track.mesh_cm, track.shape_cm, track.expression)
        shell_codes = model.shell_codes(codes, expression)
        camera = track.camera(dataset.size_px)
        return cls(
            head=model.head,
            dataset=dataset,
            cache=ShellCache(shell, camera, track.rotation, track.translation_cm, shell_codes, progress, model.head.device),
            conditions=(codes, model.standardised(expression)),
            boxes=mouth_boxes(shell, dataset, shell_codes),
            config=config,
            store=store,
            poses=poses,
        )

    def step(self, step: int) -> dict[str, Tensor]:
        """Take optimiser step number ``step``; returns its losses, still on the device."""
        if step in self._refine_before:
            self._refine_poses()
        config = self.config
        rate = self.rate(step)
        for group, base in zip(self._optimiser.param_groups, (config.table_rate, config.network_rate), strict=True):
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(base * rate)
            else:
                group["lr"] = base * rate
        if config.structure_weight > 0 and step % 2 == 1:
            count = max(1, config.frames_per_step * config.rays_per_frame // config.patch_px**2)
            return self._patches_step(self._sampler.begin(step, frames=count, patches=True))
        return self._rays_step(self._sampler.begin(step, frames=config.frames_per_step))

    def _learn_rays(self, chosen: Tensor) -> dict[str, Tensor]:
        config = self.config
        return self._learn(
            self._sampler.rays(chosen, rays=config.rays_per_frame, mouth_fraction=config.mouth_fraction, samples=config.samples)
        )

    def _learn_patches(self, chosen: Tensor) -> dict[str, Tensor]:
        config = self.config
        batch = self._sampler.patches(chosen, patch_px=config.patch_px, mouth_fraction=0.5, samples=config.samples)
        return self._learn(batch, patches=True)

    def _learn(self, batch: RayBatch, *, patches: bool = False) -> dict[str, Tensor]:
        """One step of the optimiser; on the device alone, where it may be recorded."""
        config = self.config
        rendered, opacity = self._render(batch)
        person = (batch.label != Label.BACKGROUND).float()
        seen = (batch.label != Label.HANDS).float().unsqueeze(1)  # no hand before the head
        rendered, target = rendered * seen, batch.colour * seen
        mse = (rendered - target).square().mean()
        appearance = self.head.appearance[batch.frames].square().mean()
        loss = mse + config.opacity_weight * (opacity[:, 0] - person).square().mean() + 1e-4 * appearance
        structure = torch.zeros_like(mse)
        if patches:
            shape = (len(batch.frames), config.patch_px, config.patch_px, 3)
            structural = multiscale_gradient_loss(rendered.view(shape).permute(0, 3, 1, 2), target.view(shape).permute(0, 3, 1, 2))
            loss = loss + config.structure_weight * structural
            structure = structural.detach()
        self._optimiser.zero_grad()
        loss.backward()
        average_gradients(self.head.parameters())
        self._optimiser.step()
        result = {"loss": loss.detach(), "mse": mse.detach()}
        if config.structure_weight > 0:
            result["structure"] = structure * 2
        return result

    def conditions(self, frames: Tensor) -> Tensor:
        """The field's conditions ``[F, channels]`` of frame ids ``[F]``."""
        return self.head.condition(self._lips[frames], self._expression[frames], self._directions[frames], self.head.appearance[frames])

    def _refine_poses(self) -> None:
        assert self._poses is not None
        every = torch.arange(len(self.dataset.frames), device=self.head.device)
        with torch.no_grad():
            found = refined_corrections(self.head, self.cache, self.dataset, self.conditions(every), self._poses)
            self.head.pose_correction.copy_(torch.from_numpy(found))
            broadcast(self.head.pose_correction)  # sums on a GPU may differ in their last bits
            self._mean["pose_correction"].copy_(self.head.pose_correction)
        self._use_corrections()

    def _resume(self) -> int:
        step = super()._resume()
        self._use_corrections()
        return step

    def _use_corrections(self) -> None:
        track = self.dataset.track
        for step in (self._rays_step, self._patches_step):
            step.forget()
        self.cache.set_poses(*corrected_poses(track.rotation, track.translation_cm, self.head.pose_correction.cpu().numpy()))

    def _render(self, batch: RayBatch) -> tuple[Tensor, Tensor]:
        colour, opacity = self.head.rays(self.cache, batch.row, batch.pixel, batch.jitter, self.conditions(batch.frames))
        return colour + (1 - opacity) * self._plate[batch.flat], opacity


def _optimiser(head: TalkingHead, config: HeadTrainingConfig, *, recorded: bool) -> torch.optim.Optimizer:
    """Adam over the tables and over everything else; its rates are tensors where a recorded step has to read them anew."""
    tables = [p for name, p in head.named_parameters() if name.endswith("table")]
    others = [p for name, p in head.named_parameters() if not name.endswith("table")]
    groups = [
        {"params": params, "lr": torch.tensor(rate, device=head.device) if recorded else rate}
        for params, rate in ((tables, config.table_rate), (others, config.network_rate))
    ]
    return torch.optim.Adam(groups, betas=(0.9, 0.99), eps=1e-15, fused=True, capturable=recorded)

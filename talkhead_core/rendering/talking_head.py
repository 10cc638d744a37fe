"""The model of one speaker: shell, head field and the conditions that steer it."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn

from talkhead_core.fields.head_field import HeadField, HeadFieldConfig
from talkhead_core.rendering.head_shell import HeadShell
from talkhead_core.rendering.shell_cache import ShellCache
from talkhead_core.rendering.volume_compositing import composite

__all__ = ["TalkingHead", "mixed_precision"]

_CHUNK_RAYS = {"cpu": 8192, "cuda": 1 << 18}
"""Rays rendered at a time: what stays in a processor's cache, or fills a GPU."""


def mixed_precision(device: torch.device) -> AbstractContextManager[object]:
    """bfloat16 matrix products where the processor has them, float32 elsewhere."""
    if device.type == "cpu" and not torch.cpu._is_avx512_bf16_supported():
        return nullcontext()
    return torch.autocast(device.type, dtype=torch.bfloat16)


class TalkingHead(nn.Module):
    """One person's head: geometry from the shell, appearance from the field.

    Args:
        shell: the person's shell.
        config: sizes of the field.
        frames: number of frames that own an appearance code and a correction of their tracked pose.
    """

    pose_correction: Tensor

    def __init__(self, shell: HeadShell, config: HeadFieldConfig, frames: int) -> None:
        super().__init__()
        self.shell, self.config = shell, config
        self.field = HeadField(config)
        self.appearance = nn.Parameter(torch.zeros(frames, config.appearance))
        self.register_buffer("pose_correction", torch.zeros(frames, 6))  # as rendering.pose_correction reads it

    @property
    def device(self) -> torch.device:
        """Where the parameters are."""
        return self.appearance.device

    def condition(self, lip_codes: Tensor, expression: Tensor, direction: Tensor, appearance: Tensor) -> Tensor:
        """Stack ``[frames, ...]`` parts into the field's condition."""
        return torch.cat([lip_codes, expression, direction * 2.0, appearance], dim=1)

    def rays(self, cache: ShellCache, row: Tensor, pixel: Tensor, jitter: Tensor, condition: Tensor) -> tuple[Tensor, Tensor]:
        """Colour and opacity of rays.

        Args:
            cache: maps and poses.
            row: ``[rays]`` row in the cache, frame-major, the same number of rays for each row of ``condition``.
            pixel: ``[rays, 2]``.
            jitter: ``[rays, samples]``.
            condition: ``[frames, channels]``.

        Returns:
            Premultiplied colour ``[rays, 3]`` and opacity ``[rays, 1]``.
        """
        points, step = cache.points(row, pixel, jitter)
        with mixed_precision(self.device):
            density, colour = self.field(points, condition)
        rays, samples = jitter.shape
        return composite(density.view(rays, samples), colour.view(rays, samples, 3), step)

    @torch.no_grad()
    def pixels(self, cache: ShellCache, row: int, pixel: Tensor, samples: int, condition: Tensor) -> Tensor:
        """Render the given pixels ``[rays, 2]`` of one frame: premultiplied colour in [0, 1] and opacity, ``[rays, 4]``."""
        parts = []
        for chunk in pixel.split(_CHUNK_RAYS[self.device.type]):
            rows = torch.full((len(chunk),), row, dtype=torch.int64, device=self.device)
            middle = torch.full((len(chunk), samples), 0.5, device=self.device)
            parts.append(torch.cat(self.rays(cache, rows, chunk, middle, condition), dim=1))
        return torch.cat(parts)

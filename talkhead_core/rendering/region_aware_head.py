"""The head of the papers' configurations: it listens itself, attends by region, and is marched through an occupancy grid."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from talkhead_core.encoders.audio_encoder import AudioEncoder, AudioEncoderConfig
from talkhead_core.fields.region_aware_field import FieldSamples, RegionAwareField, RegionAwareFieldConfig
from talkhead_core.kernels import marching_kernels, select_kernel
from talkhead_core.kernels.marching_torch import view_rays
from talkhead_core.parameters import require
from talkhead_core.rendering.head_shell import HeadShell
from talkhead_core.rendering.occupancy_grid import OccupancyGrid, OccupancyGridConfig
from talkhead_core.rendering.shell_cache import ShellCache
from talkhead_core.rendering.talking_head import mixed_precision
from talkhead_core.rendering.volume_compositing import composite

__all__ = ["RegionAwareHead", "RegionAwareHeadConfig", "RenderedRays"]

_CHUNK_RAYS = {"cpu": 4096, "cuda": 1 << 16}
_BLINK_COLUMNS = {4: (0, 1), 7: (5, 6), 8: (7,)}
"""Columns of the track's expression that tell how far the eyes are open or closed, by their number: landmarks, blendshapes,
action units."""


@dataclass(frozen=True, kw_only=True)
class RegionAwareHeadConfig:
    """The parts of a head.

    Args:
        field: sizes of the field; what follows from other parts (audio, eyes) is set when the head is built for a speaker.
        speech: sizes of the audio encoder.
        grid: sizes of the occupancy grid.
        eyes: ``blink``: one value, how far the eyes are closed (ER-NeRF's AU45); ``expression``: every value of the track, seven
            with ``track_head.expression.source: blendshapes`` (SyncTalk), four with landmarks.
        measured: how many values the track's expression has, 4, 7 or 8; what follows them are upper-face codes. Set as the sizes are.
        lip_code_supervision: the audio code is also asked for the lip codes of the tracked mesh; in none of the papers.
    """

    field: RegionAwareFieldConfig = dataclasses.field(default_factory=RegionAwareFieldConfig)
    speech: AudioEncoderConfig = dataclasses.field(default_factory=AudioEncoderConfig)
    grid: OccupancyGridConfig = dataclasses.field(default_factory=OccupancyGridConfig)
    eyes: str = "expression"
    measured: int = 4
    lip_code_supervision: bool = False

    def __post_init__(self) -> None:
        require(self.eyes in ("blink", "expression"), f"eyes must be 'blink' or 'expression', not {self.eyes!r}")

    def for_speaker(self, *, window: int, channels: int, expression: int) -> RegionAwareHeadConfig:
        """The same for speech features ``[window, channels]`` and so many expression values a frame."""
        eyes = 1 if self.eyes == "blink" else expression
        return dataclasses.replace(
            self,
            measured=expression,
            field=dataclasses.replace(self.field, audio=self.speech.outputs, eyes=eyes),
            speech=dataclasses.replace(self.speech, window=window, channels=channels),
        )


class RenderedRays(NamedTuple):
    """What ``R`` rays saw.

    Args:
        colour: ``[R, 3]``, premultiplied.
        opacity: ``[R, 1]``.
        attention: ``[R, 3]``: audio attention, eye attention and uncertainty, accumulated like colour.
        points: ``[3, S]`` where the field was asked.
    """

    colour: Tensor
    opacity: Tensor
    attention: Tensor
    points: Tensor


class RegionAwareHead(nn.Module):
    """One person's head in the rigid head frame.

    Args:
        shell: the person's shell: its box, and the region of the image that is the head's.
        config: the parts, fitted to the speaker (:meth:`RegionAwareHeadConfig.for_speaker`).
        frames: number of frames that own an individual code.
        hull: where the occupancy grid may be occupied; None for a head that is about to be loaded.
        lip_codes: lip codes that the audio code is asked for, under ``lip_code_supervision``.
    """

    def __init__(
        self, shell: HeadShell, config: RegionAwareHeadConfig, frames: int, hull: np.ndarray | None = None, lip_codes: int = 8
    ) -> None:
        super().__init__()
        self.shell, self.config = shell, config
        self.field = RegionAwareField(config.field)
        self.audio = AudioEncoder(config.speech)
        self.grid = OccupancyGrid(config.grid, hull)
        self.appearance = nn.Parameter(torch.randn(frames, config.field.individual) * 0.1)
        self.lip_readout = nn.Linear(config.speech.outputs, lip_codes) if config.lip_code_supervision else None

    @property
    def device(self) -> torch.device:
        """Where the parameters are."""
        return self.appearance.device

    def eyes(self, expression: Tensor) -> Tensor:
        """A frame's expression ``[frames, measured and more]`` as the field takes it ``[frames, eyes]``."""
        if self.config.eyes == "expression":
            return expression[:, : self.config.field.eyes]
        columns = _BLINK_COLUMNS[self.config.measured]
        return expression[:, list(columns)].mean(dim=1, keepdim=True)

    def condition(self, audio_codes: Tensor, expression: Tensor, direction: Tensor, appearance: Tensor) -> Tensor:
        """Stack ``[frames, ...]`` parts into the field's condition; each sample has a viewing direction of its own, so this one is idle."""
        return torch.cat([audio_codes, self.eyes(expression), appearance], dim=1)

    def render(self, cache: ShellCache, row: Tensor, pixel: Tensor, start: Tensor, condition: Tensor) -> RenderedRays:
        """March, evaluate, composite.

        Args:
            cache: poses.
            row: ``[rays]`` row in the cache, frame-major, the same number of rays for each row of ``condition``.
            pixel: ``[rays, 2]``.
            start: ``[rays]`` in [0, 1), the place of the samples in their steps.
            condition: ``[frames, channels]``.
        """
        config, geometry = self.config.grid, cache.geometry
        with torch.no_grad():
            _, march = select_kernel(marching_kernels, "auto", self.device.type)
            points, ray, place = march(geometry, self.grid.occupied, row, pixel, start, config.samples)
            direction = nn.functional.normalize(view_rays(geometry, row, pixel)[1], dim=1)[ray]
        rays = len(row)
        with mixed_precision(self.device):
            seen = self.field(points, direction, condition, ray // max(1, rays // len(condition)))
        density, colour, attention = self._padded(seen, ray, place, rays)
        step = torch.full((rays,), 2 * math.sqrt(3.0) / config.cells, device=self.device)
        total, opacity = composite(density, colour, step)
        attended, _ = composite(density.detach(), attention, step)
        return RenderedRays(total, opacity, attended, points)

    def rays(self, cache: ShellCache, row: Tensor, pixel: Tensor, jitter: Tensor, condition: Tensor) -> tuple[Tensor, Tensor]:
        """As :meth:`TalkingHead.rays`: premultiplied colour ``[rays, 3]`` and opacity ``[rays, 1]``; of ``jitter`` one column counts."""
        rendered = self.render(cache, row, pixel, jitter[:, 0], condition)
        return rendered.colour, rendered.opacity

    @torch.no_grad()
    def pixels(self, cache: ShellCache, row: int, pixel: Tensor, samples: int, condition: Tensor) -> Tensor:
        """Render pixels ``[rays, 2]`` of one frame, ``[rays, 4]``; the grid says how many samples a ray takes, not ``samples``."""
        parts = []
        for chunk in pixel.split(_CHUNK_RAYS[self.device.type]):
            rows = torch.full((len(chunk),), row, dtype=torch.int64, device=self.device)
            middle = torch.full((len(chunk), 1), 0.5, device=self.device)
            parts.append(torch.cat(self.rays(cache, rows, chunk, middle, condition), dim=1))
        return torch.cat(parts)

    def _padded(self, seen: FieldSamples, ray: Tensor, place: Tensor, rays: int) -> tuple[Tensor, Tensor, Tensor]:
        """Samples as ``[rays, samples]``, ``[rays, samples, 3]`` twice; places that no sample takes are clear."""
        slot, samples = ray * self.config.grid.samples + place, self.config.grid.samples
        attention = torch.stack([seen.audio_attention, seen.eye_attention, seen.uncertainty], dim=1)
        density = torch.zeros(rays * samples, device=self.device).index_copy(0, slot, seen.density)
        colour = torch.zeros(rays * samples, 3, device=self.device).index_copy(0, slot, seen.colour)
        around = torch.zeros(rays * samples, 3, device=self.device).index_copy(0, slot, attention)
        return density.view(rays, samples), colour.view(rays, samples, 3), around.view(rays, samples, 3)

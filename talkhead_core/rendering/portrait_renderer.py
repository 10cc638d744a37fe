"""Whole frames of a speaker: head field in the head region over what lies behind it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from talkhead_core.rendering.shell_cache import ShellCache
from talkhead_core.rendering.speaker_model import SpeakerModel
from talkhead_core.rendering.talking_head import mixed_precision
from talkhead_core.types import Camera, FloatArray, Image

__all__ = ["HeadLayer", "PortraitRenderer"]


@dataclass(frozen=True, kw_only=True)
class HeadLayer:
    """The head of one frame.

    Args:
        colour: ``[size, size, 3]`` float32 in [0, 1], premultiplied by opacity.
        opacity: ``[size, size, 1]``, of the head field; zero outside the region.
        region: ``[size, size, 1]``, weight of the head region, soft at its edge.
    """

    colour: FloatArray
    opacity: FloatArray
    region: FloatArray

    def over(self, behind: FloatArray, around: FloatArray | None = None) -> Image:
        """Compose into an image.

        Args:
            behind: ``[size, size, 3]`` in [0, 1], what shows through the head region where the head is not opaque.
            around: what is outside the region; ``behind`` when None.
        """
        inside = self.colour + (1.0 - self.opacity) * behind
        image = self.region * inside + (1.0 - self.region) * (behind if around is None else around)
        return np.asarray(np.clip(image * 255.0 + 0.5, 0, 255), dtype=np.uint8)


class PortraitRenderer:
    """Render frames of a speaker's model, one at a time, so that memory does not grow with their number.

    Args:
        model: the trained speaker.
        camera: of the output; its size is the size of the frames.
        samples: samples a ray.
        feather: width of the region's soft edge, as a part of the frame's side.
    """

    def __init__(self, model: SpeakerModel, camera: Camera, *, samples: int = 3, feather: float = 0.02) -> None:
        self.model, self.camera, self.samples, self.feather = model, camera, samples, feather

    def head(self, rotation: FloatArray, translation_cm: FloatArray, lip_codes: FloatArray, expression: FloatArray) -> HeadLayer:
        """The head under one pose ``[3, 3]``, ``[3]``, lip codes ``[L]`` and expression ``[E]``."""
        size = self.camera.width
        shell = self.model.head.shell
        codes = self.model.shell_codes(lip_codes[None], expression[None])
        cache = ShellCache(shell, self.camera, rotation[None], translation_cm[None], codes, device=self.model.head.device)
        region = shell.region(cache.covered[0], size, self.feather * size)
        flat = np.flatnonzero(region > 0)
        pixel = np.stack([flat % size, flat // size], axis=1).astype(np.float32) + np.float32(0.5)
        condition = self.model.conditions(lip_codes[None], expression[None], cache.directions())
        colour, opacity = np.zeros((size * size, 3), np.float32), np.zeros((size * size, 1), np.float32)
        if len(flat):
            colour[flat], opacity[flat] = self.model.head.pixels(cache, 0, pixel, self.samples, condition.detach())
        return HeadLayer(colour=colour.reshape(size, size, 3), opacity=opacity.reshape(size, size, 1), region=region[..., None])

    @torch.no_grad()
    def torso(self, rotation: FloatArray, translation_cm: FloatArray, plate: FloatArray) -> FloatArray:
        """The torso field over the plate ``[size, size, 3]`` in [0, 1]; the plate alone when no torso was trained."""
        field, size = self.model.torso, self.camera.width
        if field is None:
            return plate
        device = field.anchors_cm.device
        centres = (torch.arange(size, dtype=torch.float32, device=device) + 0.5) / size
        v, u = torch.meshgrid(centres, centres, indexing="ij")
        position = torch.stack([u, v], dim=2).view(1, -1, 2)
        pose = field.pose_code(
            torch.from_numpy(rotation[None].astype(np.float32)).to(device),
            torch.from_numpy(translation_cm[None].astype(np.float32)).to(device),
            self.camera.focal_px / size,
        )
        parts = []
        for chunk in position.split(16384, dim=1):
            with mixed_precision(pose.device):
                colour, opacity = field(chunk, pose)
            parts.append(torch.cat([colour * opacity, opacity], dim=2)[0])
        layers = torch.cat(parts).view(size, size, 4).cpu().numpy()
        return np.asarray(layers[..., :3] + (1.0 - layers[..., 3:]) * plate, dtype=np.float32)

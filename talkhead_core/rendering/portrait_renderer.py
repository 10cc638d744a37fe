"""Whole frames of a speaker: head field in the head region over what lies behind it."""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeAlias

import cv2
import numpy as np
import torch
from torch import Tensor

from talkhead_core.rendering.face_region import clothes_region, face_region, speaking_region
from talkhead_core.rendering.shell_cache import ShellCache
from talkhead_core.rendering.speaker_model import SpeakerModel
from talkhead_core.rendering.talking_head import mixed_precision
from talkhead_core.types import Camera, FloatArray, Image

__all__ = ["Driven", "HeadLayer", "PortraitRenderer"]

Driven: TypeAlias = tuple[FloatArray, FloatArray, FloatArray, FloatArray]
"""What a frame's head is drawn from, the arguments of :meth:`PortraitRenderer.head`."""

_FRAMES_AHEAD = 2


@dataclass(frozen=True, kw_only=True)
class HeadLayer:
    """The head of one frame, on the model's device.

    Args:
        colour: ``[size, size, 3]`` float32 in [0, 1], premultiplied by opacity.
        opacity: ``[size, size, 1]``, of the head field; zero outside the region.
        weight: ``[size, size, 1]``, of the head region, soft at its edge.
    """

    colour: Tensor
    opacity: Tensor
    weight: Tensor

    @property
    def region(self) -> FloatArray:
        """``weight`` as an array."""
        return np.asarray(self.weight.cpu().numpy(), dtype=np.float32)

    def over(self, behind: FloatArray, around: FloatArray | None = None) -> Image:
        """Compose into an image.

        Args:
            behind: ``[size, size, 3]``, what shows through the head region where the head is not opaque: uint8, or in [0, 1].
            around: what is outside the region; ``behind`` when None.
        """
        through = self._on_device(behind)
        outside = through if around is None else self._on_device(around)
        inside = torch.addcmul(self.colour, 1.0 - self.opacity, through)
        image = torch.lerp(outside, inside, self.weight).mul_(255.0).add_(0.5).clamp_(0, 255)
        return np.asarray(image.to(torch.uint8).cpu().numpy())

    def within(self, region: FloatArray) -> HeadLayer:
        """The same layer, shown only where ``region`` ``[size, size, 1]`` in [0, 1] allows it."""
        return dataclasses.replace(self, weight=self.weight * torch.from_numpy(region).to(self.weight.device))

    def without(self, region: FloatArray) -> HeadLayer:
        """The same layer, hidden where ``region`` ``[size, size, 1]`` in [0, 1] is."""
        return self.within(np.float32(1.0) - region)

    def _on_device(self, image: FloatArray | Image) -> Tensor:
        moved = torch.from_numpy(np.ascontiguousarray(image)).to(self.colour.device)
        return moved.float().div_(255.0) if image.dtype == np.uint8 else moved.float()


@dataclass(frozen=True, kw_only=True)
class _PlacedHead:
    """A frame's shell and what is to be drawn of it, on the model's device.

    Args:
        cache: the shell, one row.
        weight: ``[size, size]`` of the head region.
        flat: ``[pixels]`` of the region, in the flattened image.
        pixel: ``[pixels, 2]`` their centres.
        condition: ``[1, channels]`` of the field.
    """

    cache: ShellCache
    weight: Tensor
    flat: Tensor
    pixel: Tensor
    condition: Tensor


class PortraitRenderer:
    """Render frames of a speaker's model, one at a time, so that memory does not grow with their number.

    Args:
        model: the trained speaker.
        camera: of the output; its size is the size of the frames.
        samples: samples a ray.
        feather: width of the region's soft edge, as a part of the frame's side.
        ahead: how many frames' shells :meth:`heads` places ahead of the one it draws; None: as many as pay, which is none on a processor.
    """

    def __init__(self, model: SpeakerModel, camera: Camera, *, samples: int = 3, feather: float = 0.02, ahead: int | None = None) -> None:
        self.model, self.camera, self.samples, self.feather = model, camera, samples, feather
        self.ahead = ahead if ahead is not None else 0 if model.head.device.type == "cpu" else _FRAMES_AHEAD

    def head(self, rotation: FloatArray, translation_cm: FloatArray, lip_codes: FloatArray, expression: FloatArray) -> HeadLayer:
        """The head under one pose ``[3, 3]``, ``[3]``, lip codes ``[L]`` and expression ``[E]``."""
        return self._drawn(self._placed((rotation, translation_cm, lip_codes, expression)))

    def heads(self, driven: Iterable[Driven]) -> Iterator[HeadLayer]:
        """:meth:`head` for one frame's arguments after the other.

        While a GPU draws a frame, the processor already places the shells of the next.
        """
        if not self.ahead:
            yield from (self._drawn(self._placed(each)) for each in driven)
            return
        with ThreadPoolExecutor(max_workers=1) as pool:
            placed: deque[Future[_PlacedHead]] = deque()
            for each in driven:
                placed.append(pool.submit(self._placed, each))
                if len(placed) > self.ahead:
                    yield self._drawn(placed.popleft().result())
            while placed:
                yield self._drawn(placed.popleft().result())

    def _placed(self, driven: Driven) -> _PlacedHead:
        """Where a frame's head is: the part of the work that is the processor's."""
        rotation, translation_cm, lip_codes, expression = driven
        size, shell = self.camera.width, self.model.head.shell
        codes = self.model.shell_codes(lip_codes[None], expression[None])
        cache = ShellCache(shell, self.camera, rotation[None], translation_cm[None], codes, device=self.model.head.device)
        region = shell.region(cache.covered[0], size, self.feather * size)
        flat = torch.from_numpy(np.flatnonzero(region)).to(cache.device)
        return _PlacedHead(
            cache=cache,
            weight=torch.from_numpy(region).to(cache.device),
            flat=flat,
            pixel=torch.stack([flat % size, flat // size], dim=1) + 0.5,
            condition=self.model.conditions(lip_codes[None], expression[None], cache.directions()).detach(),
        )

    def _drawn(self, placed: _PlacedHead) -> HeadLayer:
        size = self.camera.width
        layers = torch.zeros(size * size, 4, device=placed.weight.device)
        if len(placed.flat):
            layers[placed.flat] = self.model.head.pixels(placed.cache, 0, placed.pixel, self.samples, placed.condition)
        layers = layers.view(size, size, 4)
        return HeadLayer(colour=layers[..., :3], opacity=layers[..., 3:], weight=placed.weight.unsqueeze(2))

    def face(self, rotation: FloatArray, translation_cm: FloatArray, lip_codes: FloatArray, expression: FloatArray) -> FloatArray:
        """Weight of the face alone ``[size, size, 1]`` in [0, 1] under the arguments of :meth:`head`, for :meth:`HeadLayer.within`."""
        codes = self.model.shell_codes(lip_codes[None], expression[None])[0]
        return face_region(self.model.head.shell, self.camera, rotation, translation_cm, codes, self.feather * self.camera.width)

    def speaking(
        self, rotation: FloatArray, translation_cm: FloatArray, lip_codes: FloatArray, expression: FloatArray, recorded_cm: FloatArray
    ) -> FloatArray:
        """Weight ``[size, size, 1]`` in [0, 1] of what other words change in a recorded frame, whose tracked mesh is ``[V, 3]``."""
        codes = self.model.shell_codes(lip_codes[None], expression[None])[0]
        feather_px = 2 * self.feather * self.camera.width  # the edge crosses skin
        return speaking_region(self.model.head.shell, self.camera, rotation, translation_cm, codes, recorded_cm, feather_px)

    def clothes(
        self, rotation: FloatArray, translation_cm: FloatArray, lip_codes: FloatArray, expression: FloatArray, labels: np.ndarray
    ) -> FloatArray:
        """Weight ``[size, size, 1]`` in [0, 1] of the clothes in a recorded frame, whose labels are ``[height, width]``, that stay as they
        are, for :meth:`HeadLayer.without`."""
        size = self.camera.width
        scaled = labels if labels.shape[0] == size else cv2.resize(labels, (size, size), interpolation=cv2.INTER_NEAREST)
        return clothes_region(scaled, self.face(rotation, translation_cm, lip_codes, expression), self.feather * size)

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

"""S3FD (Zhang et al., Single shot scale-invariant face detector, ICCV 2017), whose boxes SyncNet's authors crop faces by.

Modules bear the names of the published weights (``sfd_face.pth``).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["FaceDetector"]

_STEPS = (4, 8, 16, 32, 64, 128)  # pixels between anchors; each anchor is four steps wide
_CENTRE_VARIANCE, _SIZE_VARIANCE = 0.1, 0.2
_TAPS = (15, 22, 29)  # after conv3_3, conv4_3 and conv5_3


class _ScaledNorm(nn.Module):
    """Each position's vector at unit length, times a weight a channel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        return x / (x.norm(dim=1, keepdim=True) + 1e-10) * self.weight[:, None, None]


class FaceDetector(nn.Module):
    """RGB less (123, 117, 104), ``[1, 3, H, W]``, to boxes ``[n, 4]`` (left, top, right, bottom; pixels) and their scores ``[n]``."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 3
        for width, count in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
            for _ in range(count):
                layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()]
                channels = width
            layers.append(nn.MaxPool2d(2, 2, ceil_mode=width == 256))
        layers += [nn.Conv2d(512, 1024, 3, padding=6, dilation=6), nn.ReLU(), nn.Conv2d(1024, 1024, 1), nn.ReLU()]
        self.vgg = nn.ModuleList(layers)
        self.L2Norm3_3, self.L2Norm4_3, self.L2Norm5_3 = _ScaledNorm(256), _ScaledNorm(512), _ScaledNorm(512)
        extras = ((1024, 256, 1, 1), (256, 512, 3, 2), (512, 128, 1, 1), (128, 256, 3, 2))
        self.extras = nn.ModuleList([nn.Conv2d(a, b, size, stride, size // 2) for a, b, size, stride in extras])
        sources = (256, 512, 512, 1024, 512, 256)
        self.loc = nn.ModuleList([nn.Conv2d(width, 4, 3, padding=1) for width in sources])
        self.conf = nn.ModuleList([nn.Conv2d(width, 2 if index else 4, 3, padding=1) for index, width in enumerate(sources)])
        self.requires_grad_(False).eval()

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """See the class."""
        boxes, scores = [], []
        for step, source, place, confidence in zip(_STEPS, self._sources(image), self.loc, self.conf, strict=True):
            likely = confidence(source)
            if likely.shape[1] == 4:  # the finest anchors have three ways of being background, of which the likeliest counts
                likely = torch.cat([likely[:, :3].amax(dim=1, keepdim=True), likely[:, 3:]], dim=1)
            scores.append(likely.softmax(dim=1)[0, 1].flatten())
            boxes.append(_boxes(place(source)[0], step))
        return torch.cat(boxes), torch.cat(scores)

    def _sources(self, x: Tensor) -> list[Tensor]:
        found = []
        norms = dict(zip(_TAPS, (self.L2Norm3_3, self.L2Norm4_3, self.L2Norm5_3), strict=True))
        for index, layer in enumerate(self.vgg):
            x = layer(x)
            if index in norms:
                found.append(norms[index](x))
        found.append(x)
        for index, layer in enumerate(self.extras):
            x = F.relu(layer(x))
            if index % 2:
                found.append(x)
        return found


def _boxes(offsets: Tensor, step: int) -> Tensor:
    """Offsets ``[4, h, w]`` from anchors of a size ``4 step`` in the middle of each ``step``, to boxes ``[h * w, 4]`` in pixels."""
    _, height, width = offsets.shape
    rows, columns = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    side = 4.0 * step
    centre = torch.stack([columns, rows]) * step + offsets[:2] * _CENTRE_VARIANCE * side
    half = side * torch.exp(offsets[2:] * _SIZE_VARIANCE) / 2
    return torch.cat([centre - half, centre + half]).flatten(1).T

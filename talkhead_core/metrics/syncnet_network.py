"""SyncNet (Chung and Zisserman, Out of time: automated lip sync in the wild, ACCV-W 2016): sound and lips into one space.

Modules bear the names of the published weights (``syncnet_v2.model``).
"""

from __future__ import annotations

from torch import Tensor, nn

__all__ = ["SyncNet"]

_CHANNELS = 1024


class SyncNet(nn.Module):
    """0.2 s of sound and 5 frames of a mouth to 1024 numbers each; what belongs together lies close together."""

    def __init__(self) -> None:
        super().__init__()
        self.netcnnaud = nn.Sequential(
            nn.Conv2d(1, 64, 3, 1, 1), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(1, 1),
            nn.Conv2d(64, 192, 3, 1, 1), nn.BatchNorm2d(192), nn.ReLU(), nn.MaxPool2d(3, (1, 2)),
            nn.Conv2d(192, 384, 3, 1, 1), nn.BatchNorm2d(384), nn.ReLU(),
            nn.Conv2d(384, 256, 3, 1, 1), nn.BatchNorm2d(256), nn.ReLU(),
            nn.Conv2d(256, 256, 3, 1, 1), nn.BatchNorm2d(256), nn.ReLU(), nn.MaxPool2d(3, 2),
            nn.Conv2d(256, 512, (5, 4)), nn.BatchNorm2d(512), nn.ReLU(),
        )  # fmt: skip
        self.netfcaud, self.netfclip = _embedding(), _embedding()
        self.netcnnlip = nn.Sequential(
            nn.Conv3d(3, 96, (5, 7, 7), (1, 2, 2)), nn.BatchNorm3d(96), nn.ReLU(), nn.MaxPool3d((1, 3, 3), (1, 2, 2)),
            nn.Conv3d(96, 256, (1, 5, 5), (1, 2, 2), (0, 1, 1)), nn.BatchNorm3d(256), nn.ReLU(),
            nn.MaxPool3d((1, 3, 3), (1, 2, 2), (0, 1, 1)),
            nn.Conv3d(256, 256, (1, 3, 3), 1, (0, 1, 1)), nn.BatchNorm3d(256), nn.ReLU(),
            nn.Conv3d(256, 256, (1, 3, 3), 1, (0, 1, 1)), nn.BatchNorm3d(256), nn.ReLU(),
            nn.Conv3d(256, 256, (1, 3, 3), 1, (0, 1, 1)), nn.BatchNorm3d(256), nn.ReLU(), nn.MaxPool3d((1, 3, 3), (1, 2, 2)),
            nn.Conv3d(256, 512, (1, 6, 6)), nn.BatchNorm3d(512), nn.ReLU(),
        )  # fmt: skip
        self.requires_grad_(False).eval()

    def sound(self, cepstra: Tensor) -> Tensor:
        """13 cepstra of 20 columns, 100 a second, ``[B, 1, 13, 20]`` to ``[B, 1024]``."""
        return self.netfcaud(self.netcnnaud(cepstra).flatten(1))

    def lips(self, faces: Tensor) -> Tensor:
        """Five faces, BGR, 0 to 255, ``[B, 3, 5, 224, 224]`` to ``[B, 1024]``."""
        return self.netfclip(self.netcnnlip(faces).flatten(1))


def _embedding() -> nn.Sequential:
    return nn.Sequential(nn.Linear(512, 512), nn.BatchNorm1d(512), nn.ReLU(), nn.Linear(512, _CHANNELS))

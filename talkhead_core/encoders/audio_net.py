"""The audio encoders of the papers' configurations: one window of speech features to one audio code.

``audio_net`` is AD-NeRF's convolutional AudioNet, which ER-NeRF kept; ``fc`` the fully connected head on SyncTalk's audio-visual
features (``ave``); ``fc_res_block`` RAE-NeRF's three residual blocks in its place (section 3.2.1, eq. 2).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from torch import Tensor, nn

from talkhead_core.encoders.fc_res_block import ResidualAudioEncoder
from talkhead_core.registry import Registry

__all__ = ["AUDIO_ENCODERS", "AudioNet", "AudioWindowEncoder", "FullyConnectedAudioEncoder", "fc_res_blocks"]

_EMBEDDING = 512
"""Numbers of an audio-visual embedding (SyncTalk's AVE), which ``fc`` and ``fc_res_block`` take."""

AudioWindowEncoder: TypeAlias = Callable[[int, int, int], nn.Module]
"""``(window, channels, outputs)`` to a module from ``[rows, window, channels]`` to ``[rows, outputs]``."""


class AudioNet(nn.Module):
    """Four convolutions of stride 2 over the window and three linear layers (AD-NeRF, Guo et al., ICCV 2021; ER-NeRF).

    Args:
        window: columns of a window; of more than 16 the middle 16 are heard.
        channels: channels of a column.
        outputs: size of the audio code.
    """

    columns = 16

    def __init__(self, window: int, channels: int, outputs: int) -> None:
        super().__init__()
        self.first_column = max(0, (window - self.columns) // 2)
        sizes = (channels, 32, 32, 64, 64)
        layers: list[nn.Module] = []
        for inputs, width in zip(sizes[:-1], sizes[1:], strict=True):
            layers += [nn.Conv1d(inputs, width, 3, stride=2, padding=1), nn.LeakyReLU(0.02)]
        self.convolutions = nn.Sequential(*layers)
        self.linear = nn.Sequential(nn.Linear(64, 64), nn.LeakyReLU(0.02), nn.Linear(64, outputs))

    def forward(self, windows: Tensor) -> Tensor:
        """``[rows, window, channels]`` to ``[rows, outputs]``."""
        heard = windows[:, self.first_column : self.first_column + self.columns].transpose(1, 2)
        return self.linear(self.convolutions(heard).mean(dim=2))  # one column is left of 16


class FullyConnectedAudioEncoder(nn.Module):
    """Three linear layers, 512 to 256 to 128 to the code (SyncTalk's head on its audio-visual features).

    Features that are no vector of 512 numbers a frame (log-mel bands, say) come through one linear layer to 512 first, which stands
    where SyncTalk has its pretrained audio-visual encoder.

    Args:
        window: columns of a window.
        channels: channels of a column.
        outputs: size of the audio code.
    """

    def __init__(self, window: int, channels: int, outputs: int) -> None:
        super().__init__()
        self.stem = embedding_stem(window, channels)
        self.layers = nn.Sequential(
            nn.Linear(_EMBEDDING, 256), nn.LeakyReLU(0.02), nn.Linear(256, 128), nn.LeakyReLU(0.02), nn.Linear(128, outputs)
        )

    def forward(self, windows: Tensor) -> Tensor:
        """``[rows, window, channels]`` to ``[rows, outputs]``."""
        return self.layers(self.stem(windows))  # type: ignore[no-any-return]


def fc_res_blocks(window: int, channels: int, outputs: int) -> nn.Module:
    """RAE-NeRF's residual encoder, 512 to 256 to 128 to ``outputs``, behind the same stem as :class:`FullyConnectedAudioEncoder`."""
    return nn.Sequential(embedding_stem(window, channels), ResidualAudioEncoder(_EMBEDDING, outputs))


def embedding_stem(window: int, channels: int) -> nn.Module:
    """``[rows, window, channels]`` to ``[rows, 512]``; no parameters where a window holds 512 numbers already."""
    if window * channels == _EMBEDDING:
        return nn.Flatten()
    return nn.Sequential(nn.Flatten(), nn.Linear(window * channels, _EMBEDDING), nn.LeakyReLU(0.02))


AUDIO_ENCODERS: Registry[AudioWindowEncoder] = Registry(
    "audio encoder",
    {
        "audio_net": "talkhead_core.encoders.audio_net:AudioNet",
        "fc": "talkhead_core.encoders.audio_net:FullyConnectedAudioEncoder",
        "fc_res_block": "talkhead_core.encoders.audio_net:fc_res_blocks",
    },
)

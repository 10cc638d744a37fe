"""Speech features of a clip to one audio code a frame, for the fields that listen themselves (the papers' configurations)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from talkhead_core.encoders.audio_attention import ATTENTION_AFTER, ATTENTION_BEFORE, AudioAttention
from talkhead_core.encoders.audio_net import AUDIO_ENCODERS
from talkhead_core.parameters import require
from talkhead_core.types import FloatArray, FrameRows

__all__ = ["AudioEncoder", "AudioEncoderConfig", "predict_audio_codes"]


@dataclass(frozen=True, kw_only=True)
class AudioEncoderConfig:
    """Sizes of the audio encoder.

    Args:
        encoder: a name in ``AUDIO_ENCODERS``.
        window: columns of a frame's speech features; follows the features.
        channels: channels of a column; follows the features.
        outputs: size of the audio code (ER-NeRF and SyncTalk: 32, RAE-NeRF: 64).
    """

    encoder: str = "fc_res_block"
    window: int = 1
    channels: int = 512
    outputs: int = 64

    def __post_init__(self) -> None:
        require(self.encoder in AUDIO_ENCODERS, f"no audio encoder called {self.encoder!r}; choose one of {', '.join(AUDIO_ENCODERS)}")
        require(1 <= self.outputs <= 512, f"outputs must be 1 to 512, not {self.outputs}")


class AudioEncoder(nn.Module):
    """An encoder of windows and attention over eight frames; frames beyond the clip count as zeros."""

    def __init__(self, config: AudioEncoderConfig) -> None:
        super().__init__()
        self.config = config
        self.window = AUDIO_ENCODERS.get(config.encoder)(config.window, config.channels, config.outputs)
        self.attention = AudioAttention(config.outputs)

    def attended(self, neighbours: Tensor) -> Tensor:
        """Codes ``[rows, outputs]`` of frames whose neighbourhoods ``[rows, 8, window, channels]`` are given, frames -4 to +3."""
        return self.attention(self.window(neighbours.flatten(0, 1)).view(*neighbours.shape[:2], -1))  # type: ignore[no-any-return]

    def forward(self, features: Tensor) -> Tensor:
        """``[frames, window, channels]`` of consecutive frames to codes ``[frames, outputs]``."""
        padded = nn.functional.pad(features, (0, 0, 0, 0, ATTENTION_BEFORE, ATTENTION_AFTER))
        codes = self.window(padded)
        return self.attention(codes.unfold(0, AudioAttention.frames, 1).transpose(1, 2))  # type: ignore[no-any-return]


@torch.no_grad()
def predict_audio_codes(encoder: AudioEncoder, features: FrameRows, block: int = 1000) -> FloatArray:
    """Audio codes ``[N, outputs]`` of consecutive frames ``[N, window, channels]``, in blocks of constant memory that do not show."""
    device = next(encoder.parameters()).device
    parts = []
    for start in range(0, len(features), block):
        low, high = max(0, start - ATTENTION_BEFORE), min(len(features), start + block + ATTENTION_AFTER)
        given = torch.from_numpy(np.ascontiguousarray(features[low:high], dtype=np.float32)).to(device)
        parts.append(encoder(given)[start - low : start - low + block].cpu().numpy())
    return np.concatenate(parts)

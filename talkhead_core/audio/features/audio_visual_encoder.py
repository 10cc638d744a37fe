"""SyncTalk's audio-visual encoder (Peng et al., CVPR 2024): 512 channels from 200 ms of mel spectrogram, one column a 25th of a second.

Its sound half alone: a residual convolutional network, trained so that speech lands near the mouth that spoke it.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from functools import cache

import numpy as np
import scipy.fft
import torch
from torch import Tensor, nn

from talkhead_core.audio.features.frame_windows import frame_windows
from talkhead_core.audio.features.speech_features import stacked
from talkhead_core.audio.hann_window import hann_window
from talkhead_core.audio.mel_filters import mel_filters
from talkhead_core.media.audio_file import SPEECH_SAMPLE_RATE_HZ
from talkhead_core.types import FloatArray
from talkhead_core.weights.official_file import fill, official_file, read_state

__all__ = ["AVE_FILE", "AudioVisualEncoder", "AudioVisualNetwork", "encoder_mel"]

AVE_FILE = "audio_visual_encoder.pth"

_FFT, _HOP, _COLUMNS, _BANDS = 800, 200, 16, 80
_LOWEST_HZ, _HIGHEST_HZ, _EMPHASIS = 55.0, 7600.0, 0.97
_SPAN = (_COLUMNS - 1) * _HOP + _FFT
_REFERENCE_DB, _RANGE_DB, _LARGEST = 20.0, 100.0, 4.0
_BATCH = 64


class _Convolution(nn.Module):
    def __init__(
        self, inputs: int, outputs: int, kernel: int, *, stride: int | tuple[int, int] = 1, padding: int = 0, residual: bool = False
    ) -> None:
        super().__init__()
        self.conv_block = nn.Sequential(nn.Conv2d(inputs, outputs, kernel, stride, padding), nn.BatchNorm2d(outputs))
        self._residual = residual

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv_block(x)
        return torch.relu(y + x if self._residual else y)


class AudioVisualNetwork(nn.Module):
    """Mel spectrogram ``[n, 1, 80, 16]`` to ``[n, 512]``."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        # inputs, outputs, stride, residual layers after it
        for inputs, outputs, stride, more in ((1, 32, (1, 1), 2), (32, 64, (3, 1), 2), (64, 128, (3, 3), 2), (128, 256, (3, 2), 1)):
            layers.append(_Convolution(inputs, outputs, 3, stride=stride, padding=1))
            layers += [_Convolution(outputs, outputs, 3, padding=1, residual=True) for _ in range(more)]
        layers += [_Convolution(256, 512, 3), _Convolution(512, 512, 1)]
        self.audio_encoder = nn.Sequential(*layers)
        self.requires_grad_(False).eval()

    def forward(self, mel: Tensor) -> Tensor:
        """See the class."""
        return self.audio_encoder(mel).flatten(1)


class AudioVisualEncoder:
    """SyncTalk's default feature.

    Each column is heard from the 200 ms around its own moment, so that nothing farther away reaches it.

    Args:
        window: columns in each frame's window, a 25th of a second apart; SyncTalk attends over 8.
        weights: ``audio_visual_encoder.pth``, or the folder that holds it.

    Raises:
        NotAvailableError: the file is missing or is another network's.
    """

    channels = 512
    columns_per_second = 25

    def __init__(self, *, window: int, weights: str | None = None) -> None:
        path = official_file("speech feature 'ave'", weights, (AVE_FILE,), "ave")
        state = read_state(path, "ave")
        self.window, self._network = window, AudioVisualNetwork()
        # the file holds the sequence alone, or the whole of the encoder
        named = {f"audio_encoder.{name.removeprefix('audio_encoder.')}": value for name, value in state.items()}
        fill(self._network, named, path, "SyncTalk's audio-visual encoder", "ave")

    def blocks(self, audio: FloatArray, fps: Fraction, frames: int, first_frame: int = 0) -> Iterator[FloatArray]:
        """See ``SpeechFeatures.blocks``."""
        return frame_windows(
            audio,
            fps,
            frames,
            self._columns,
            window=self.window,
            hop=SPEECH_SAMPLE_RATE_HZ // self.columns_per_second,
            segment=_SPAN + 2,  # even, so that its middle is a sample; the first is for the pre-emphasis
            sample_rate_hz=SPEECH_SAMPLE_RATE_HZ,
            first_frame=first_frame,
        )

    def extract(self, audio: FloatArray, fps: Fraction, frames: int, first_frame: int = 0) -> FloatArray:
        """See ``SpeechFeatures.extract``."""
        return stacked(self.blocks(audio, fps, frames, first_frame), frames, self.window, self.channels)

    def _columns(self, segments: FloatArray) -> FloatArray:
        found = []
        for first in range(0, len(segments), _BATCH):
            mel = encoder_mel(segments[first : first + _BATCH, : _SPAN + 1])
            with torch.inference_mode():
                found.append(self._network(torch.from_numpy(mel)[:, None]).numpy())
        return np.concatenate(found)


def encoder_mel(segments: FloatArray) -> FloatArray:
    """Mel spectrogram ``[n, 80, 16]`` float32 in [-4, 4] of segments ``[n, 3801]``, whose first sample is for the pre-emphasis."""
    emphasised = segments[:, 1:] - _EMPHASIS * segments[:, :-1]
    pieces = np.lib.stride_tricks.sliding_window_view(emphasised, _FFT, axis=1)[:, ::_HOP]
    magnitude = np.abs(scipy.fft.rfft(pieces * hann_window(_FFT), axis=2))
    decibels = 20 * np.log10(np.maximum(magnitude @ _filters().T, 10 ** (-_RANGE_DB / 20))) - _REFERENCE_DB
    scaled = np.clip(2 * _LARGEST * (decibels + _RANGE_DB) / _RANGE_DB - _LARGEST, -_LARGEST, _LARGEST)
    return np.ascontiguousarray(scaled.swapaxes(1, 2), dtype=np.float32)


@cache
def _filters() -> FloatArray:
    return mel_filters(rate_hz=SPEECH_SAMPLE_RATE_HZ, fft=_FFT, bands=_BANDS, lowest_hz=_LOWEST_HZ, highest_hz=_HIGHEST_HZ, equal_area=True)

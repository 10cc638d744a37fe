"""Google's speech embedding (Lin, Kilgour, Roblek and Sharifi, ICASSP 2020): 96 channels from 0.4 s of speech, 50 columns a second.

A convolutional network that learned from many voices to tell keywords apart. What lips need is not its last layer, which sums up three
quarters of a second, but the one in the middle that still tells one sound from the next. Its weights come inside the package
``openwakeword`` (Apache-2.0, as Google published them on TensorFlow Hub, ``google/speech_embedding``), whose code is not run.
"""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
import scipy.fft
import torch
from torch import Tensor, nn

from talkhead_core.audio.features.context_columns import COLUMN_SAMPLES, HOP_SAMPLES, ContextColumns
from talkhead_core.audio.hann_window import hann_window
from talkhead_core.audio.mel_filters import mel_filters
from talkhead_core.errors import NotAvailableError
from talkhead_core.media.audio_file import SPEECH_SAMPLE_RATE_HZ
from talkhead_core.types import FloatArray

__all__ = ["EMBEDDING_FILE", "EmbeddingNetwork", "SpeechEmbedding", "embedding_mel"]

EMBEDDING_FILE = "embedding_model.onnx"
_PACKAGE, _FOLDER = "openwakeword", "resources/models"
_INSTALL = "run 'pip install openwakeword==0.4.0'"

_BANDS, _FFT, _MEL_HOP = 32, 512, 160
_LOWEST_HZ, _HIGHEST_HZ = 60.0, 3800.0
_FULL_SCALE = 32768.0
_FLOOR = 4.2
"""80 dB under the loudest of speech at -26 dBFS (see ``loudness``), in the network's unit; its makers cut there, too."""

_HEARD = 40
"""Mel columns that one column of the embedding hears."""

_SLOPE, _LEAST = 0.2, -0.4
_OFFICIAL_CONVOLUTIONS = 20


class EmbeddingNetwork(nn.Module):
    """The first fifteen of the network's twenty convolutions; each is over frequency or over time, and none is padded in time."""

    def __init__(self) -> None:
        super().__init__()
        widths = ((24, 24), (24, 48), (48, 48), (48, 72), (72, 72), (72, 96), (96, 96))
        layers: list[nn.Conv2d] = [nn.Conv2d(1, 24, 3, padding=(0, 1), bias=False)]
        for inputs, outputs in widths:
            layers += [nn.Conv2d(inputs, outputs, (1, 3), padding=(0, 1)), nn.Conv2d(outputs, outputs, (3, 1))]
        self.convolutions = nn.ModuleList(layers)
        self.normalised = nn.BatchNorm2d(24, eps=1e-3)
        self.pools = nn.ModuleDict({"2": nn.MaxPool2d(2), "6": nn.MaxPool2d((1, 2)), "10": nn.MaxPool2d(2), "14": nn.MaxPool2d((1, 2))})
        self.requires_grad_(False).eval()

    def forward(self, mel: Tensor) -> Tensor:
        """Mel spectrogram ``[batch, columns, 32]`` to ``[batch, (columns - 36) // 4, 96]``; column ``m`` hears 4 m to 4 m + 39."""
        x = mel[:, None]
        for number, convolution in enumerate(self.convolutions):
            x = convolution(x)
            if number == 0:
                x = self.normalised(torch.relu(x))
            x = nn.functional.leaky_relu(x, _SLOPE).clamp(min=_LEAST)
            if str(number) in self.pools:
                x = self.pools[str(number)](x)
        return x.mean(dim=3).transpose(1, 2)

    @classmethod
    def load(cls, path: Path) -> EmbeddingNetwork:
        """With the weights of the ONNX file ``path``.

        Raises:
            NotAvailableError: it is not there, or holds another network.
        """
        if not path.is_file():
            raise NotAvailableError(f"speech feature 'speech_embedding' needs {EMBEDDING_FILE}, which is not at {path}; {_INSTALL}")
        network = cls()
        try:
            official = cv2.dnn.readNetFromONNX(str(path))
            layers = [official.getLayer(official.getLayerId(name)) for name in official.getLayerNames()]
            blobs = [layer.blobs for layer in layers if layer.type == "Convolution"]
            if len(blobs) != _OFFICIAL_CONVOLUTIONS:
                raise ValueError(f"{len(blobs)} convolutions")
            scales = next(layer.blobs for layer in layers if layer.type == "BatchNorm")
            for convolution, values in zip(network.convolutions, blobs, strict=False):
                for parameter, value in zip(convolution.parameters(), values, strict=True):
                    parameter.copy_(torch.from_numpy(np.asarray(value)).view_as(parameter))
            buffers = (network.normalised.running_mean, network.normalised.running_var, network.normalised.weight, network.normalised.bias)
            for buffer, value in zip(buffers, scales, strict=True):
                assert buffer is not None
                buffer.copy_(torch.from_numpy(np.asarray(value)).view_as(buffer))
        except (cv2.error, StopIteration, ValueError, RuntimeError) as error:
            raise NotAvailableError(f"{path}: is not Google's speech embedding; {_INSTALL} again") from error
        return network


class SpeechEmbedding(ContextColumns[None]):
    """What the network hears, as a speech feature.

    Args:
        window: columns in each frame's window, 20 ms apart.
        weights: ``embedding_model.onnx`` or the folder that holds it; else the one inside the installed package.

    Raises:
        NotAvailableError: the package or the file is missing, or is another network's.
    """

    def __init__(self, *, window: int, weights: str | None = None) -> None:
        super().__init__(_Columns(_network(_file(weights))), window=window)


class _Columns:
    """See :class:`talkhead_core.audio.features.context_columns.ColumnNetwork`."""

    channels = 96

    def __init__(self, network: EmbeddingNetwork) -> None:
        self._network = network

    def statistics(self, audio: FloatArray) -> None:
        """Nothing: the speech comes with its loudness set."""

    def columns(self, segment: FloatArray, statistics: None) -> FloatArray:
        """See ``ColumnNetwork.columns``; the ends are heard as if their sound went on."""
        pieces = np.lib.stride_tricks.sliding_window_view(segment, COLUMN_SAMPLES)[::_MEL_HOP]
        mel = torch.from_numpy(np.pad(embedding_mel(pieces), ((_HEARD // 2, _HEARD // 2), (0, 0)), mode="edge"))
        columns = np.empty(((len(segment) - COLUMN_SAMPLES) // HOP_SAMPLES + 1, self.channels), np.float32)
        with torch.inference_mode():  # a column of the network's every 40 ms, twice
            for phase in range(2):
                wanted = columns[phase::2]
                wanted[:] = self._network(mel[None, phase * HOP_SAMPLES // _MEL_HOP :])[0, : len(wanted)].numpy()
        return columns


def embedding_mel(segments: FloatArray) -> FloatArray:
    """Segments ``[columns, 400]`` of 16 kHz audio to the network's mel spectrogram ``[columns, 32]`` float32: a unit is 10 dB."""
    spectrum = scipy.fft.rfft(segments * (_FULL_SCALE * hann_window(COLUMN_SAMPLES)), n=_FFT, axis=1)
    power = (spectrum.real**2 + spectrum.imag**2) @ _filters().T
    return np.asarray(np.maximum(np.log10(np.maximum(power, 1e-10)) + 2.0, _FLOOR), dtype=np.float32)


@cache
def _filters() -> FloatArray:
    return mel_filters(rate_hz=SPEECH_SAMPLE_RATE_HZ, fft=_FFT, bands=_BANDS, lowest_hz=_LOWEST_HZ, highest_hz=_HIGHEST_HZ, equal_area=True)


@cache
def _network(path: Path) -> EmbeddingNetwork:
    return EmbeddingNetwork.load(path)


def _file(weights: str | None) -> Path:
    """The network's file; the package is found without running it."""
    if weights is not None:
        path = Path(weights)
        if not path.is_dir():
            return path
        if (path / EMBEDDING_FILE).is_file():
            return path / EMBEDDING_FILE
    package = find_spec(_PACKAGE)
    if package is None or package.origin is None:
        raise NotAvailableError(f"speech feature 'speech_embedding' needs the package {_PACKAGE}, which brings its weights; {_INSTALL}")
    return Path(package.origin).parent / _FOLDER / EMBEDDING_FILE

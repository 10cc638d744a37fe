"""A wav2vec 2.0 network with its weights as a column network."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from talkhead_core.audio.features.wav2vec2_network import Wav2Vec2Network, official_tensors, size_of
from talkhead_core.errors import NotAvailableError
from talkhead_core.types import FloatArray
from talkhead_core.weights.official_file import official_file, read_state

__all__ = ["SoundLevel", "TransformerColumns"]

_SMALLEST_VARIANCE = 1e-7


@dataclass(frozen=True)
class SoundLevel:
    """Mean and standard deviation of a recording's samples."""

    mean: float
    std: float


class TransformerColumns:
    """See :class:`talkhead_core.audio.features.context_columns.ColumnNetwork`."""

    def __init__(self, network: Wav2Vec2Network) -> None:
        self._network, self.channels = network, network.channels

    @classmethod
    def load(cls, name: str, weights: str | None, files: tuple[str, ...], *, letters: bool) -> TransformerColumns:
        """The network called ``name`` with the weights of an official file.

        Raises:
            NotAvailableError: the file is missing or is of another network.
        """
        path = official_file(f"speech feature {name!r}", weights, files, name)
        try:
            tensors = official_tensors(read_state(path, name), letters=letters)
            network = Wav2Vec2Network(size_of(tensors))
            network.load_state_dict(tensors)
        except (KeyError, RuntimeError, ValueError) as error:
            reason = str(error).splitlines()[-1].strip()
            raise NotAvailableError(f"{path} is no weight file of {name} ({reason}); run 'talkhead models pull {name}'") from error
        return cls(network)

    def statistics(self, audio: FloatArray) -> SoundLevel:
        """The model was trained on recordings of zero mean and unit variance."""
        if not len(audio):
            return SoundLevel(0.0, 1.0)
        return SoundLevel(float(audio.mean(dtype=np.float64)), float(np.sqrt(audio.var(dtype=np.float64) + _SMALLEST_VARIANCE)))

    def columns(self, segment: FloatArray, statistics: SoundLevel) -> FloatArray:
        """See ``ColumnNetwork.columns``."""
        sound = torch.from_numpy((segment - statistics.mean) / statistics.std).float()
        with torch.inference_mode():
            return self._network(sound[None])[0].numpy()

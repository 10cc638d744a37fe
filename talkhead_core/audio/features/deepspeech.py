"""DeepSpeech's letter scores, the feature of AD-NeRF: 29 channels, 50 columns a second."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from talkhead_core.audio.features.context_columns import COLUMN_SAMPLES, HOP_SAMPLES, ContextColumns
from talkhead_core.audio.features.deepspeech_network import CEPSTRA, CONTEXT, DeepSpeechNetwork, tensors_of_graph
from talkhead_core.audio.features.frame_windows import gather_segments
from talkhead_core.audio.features.speech_cepstra import speech_cepstra
from talkhead_core.errors import NotAvailableError
from talkhead_core.types import FloatArray
from talkhead_core.weights.frozen_graph import frozen_constants
from talkhead_core.weights.official_file import official_file

__all__ = ["DEEPSPEECH_FILES", "DeepSpeech"]

DEEPSPEECH_FILES = ("deepspeech-0_1_0-b90017e8.pb.zip", "deepspeech-0_1_0-b90017e8.pb")
_BLOCK_COLUMNS = 10_000


@dataclass(frozen=True)
class CepstraLevel:
    """Mean and standard deviation of all cepstra of a recording."""

    mean: float
    std: float


class DeepSpeech(ContextColumns[CepstraLevel]):
    """Mozilla's DeepSpeech 0.1.0 from its frozen TensorFlow graph.

    Args:
        window: columns in each frame's window; the AD-NeRF family takes 16.
        weights: the graph (``.pb``, or the ``.zip`` it is published in), or the folder that holds it.

    Raises:
        NotAvailableError: the file is missing or is another graph.
    """

    def __init__(self, *, window: int, weights: str | None = None) -> None:
        path = official_file("speech feature 'deepspeech'", weights, DEEPSPEECH_FILES, "deepspeech")
        try:
            tensors = tensors_of_graph(frozen_constants(path))
            network = DeepSpeechNetwork(
                inputs=tensors["first.weight"].shape[1],
                hidden=len(tensors["first.weight"]),
                cell=len(tensors["third.weight"]),
                letters=len(tensors["letters.weight"]),
            )
            network.load_state_dict(tensors)
        except (KeyError, RuntimeError, ValueError) as error:
            reason = str(error).splitlines()[-1].strip()
            raise NotAvailableError(f"{path} is not DeepSpeech 0.1.0's graph ({reason}); run 'talkhead models pull deepspeech'") from error
        super().__init__(_DeepSpeechColumns(network), window=window)


class _DeepSpeechColumns:
    def __init__(self, network: DeepSpeechNetwork) -> None:
        self._network, self.channels = network, network.letters.out_features

    def statistics(self, audio: FloatArray) -> CepstraLevel:
        count, total, squares = 0, 0.0, 0.0
        for first in range(0, max(len(audio) // HOP_SAMPLES, 0), _BLOCK_COLUMNS):
            cepstra = _cepstra(audio, first, min(_BLOCK_COLUMNS, len(audio) // HOP_SAMPLES - first)).astype(np.float64)
            count, total, squares = count + cepstra.size, total + cepstra.sum(), squares + (cepstra**2).sum()
        mean = total / max(count, 1)
        return CepstraLevel(float(mean), float(np.sqrt(max(squares / max(count, 1) - mean**2, 1e-6))))

    def columns(self, segment: FloatArray, statistics: CepstraLevel) -> FloatArray:
        """The network hears nine columns before and after each; beyond the segment there is what its authors pad with, zeros."""
        count = (len(segment) - COLUMN_SAMPLES) // HOP_SAMPLES + 1
        cepstra = np.pad(_cepstra(segment, 0, count), ((CONTEXT, CONTEXT), (0, 0)))
        windows = np.lib.stride_tricks.sliding_window_view(cepstra, 2 * CONTEXT + 1, axis=0).swapaxes(1, 2).reshape(count, -1)
        normalised = torch.from_numpy((windows - statistics.mean) / statistics.std).float()
        with torch.inference_mode():
            return self._network(normalised).numpy()


def _cepstra(audio: FloatArray, first: int, count: int) -> FloatArray:
    """Columns ``[count, 26]`` from column ``first`` on, which begins at sample ``320 first``."""
    centres = (first + np.arange(count)) * HOP_SAMPLES + COLUMN_SAMPLES // 2 - 1  # one sample earlier, for the pre-emphasis
    cepstra = speech_cepstra(gather_segments(audio, centres, COLUMN_SAMPLES + 1))
    assert cepstra.shape == (count, CEPSTRA)
    return cepstra

"""DeepSpeech 0.1.0 (Mozilla; Hannun et al., Deep Speech, 2014) in torch, and its constants' names in the frozen graph.

Three dense layers over 19 columns of 26 cepstra, a bidirectional LSTM, a dense layer and letter scores. Rectifiers are clipped at 20.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn

from talkhead_core.types import FloatArray

__all__ = ["CEPSTRA", "CONTEXT", "DeepSpeechNetwork", "tensors_of_graph"]

CEPSTRA, CONTEXT = 26, 9
_CLIP = 20.0
_FORGET_BIAS = 1.0  # added by TensorFlow's cell, not part of the stored bias


class DeepSpeechNetwork(nn.Module):
    """Normalised windows of cepstra ``[columns, 19 * 26]`` to letter scores ``[columns, letters]``.

    Args:
        inputs: channels of a window.
        hidden: of the first three layers, and of the fifth.
        cell: of the LSTM, each way.
        letters: outputs: 26 letters, space, apostrophe, blank.
    """

    def __init__(self, *, inputs: int, hidden: int, cell: int, letters: int) -> None:
        super().__init__()
        self.first, self.second, self.third = nn.Linear(inputs, hidden), nn.Linear(hidden, hidden), nn.Linear(hidden, cell)
        self.recurrent = nn.LSTM(cell, cell, bidirectional=True)
        self.fifth, self.letters = nn.Linear(2 * cell, hidden), nn.Linear(hidden, letters)
        self.requires_grad_(False).eval()

    def forward(self, windows: Tensor) -> Tensor:
        """See the class."""
        x = windows
        for layer in (self.first, self.second, self.third):
            x = layer(x).clamp(0.0, _CLIP)
        x, _ = self.recurrent(x)
        return self.letters(self.fifth(x).clamp(0.0, _CLIP))


# the graph's names (an import may have put a prefix before them) to ours
_DENSE = {"h1": "first", "h2": "second", "h3": "third", "h5": "fifth", "h6": "letters"}
_CELL = re.compile(r"(?:^|/)bidirectional_rnn/(fw|bw)/basic_lstm_cell/(kernel|weights|bias|biases)$")


def tensors_of_graph(constants: Mapping[str, FloatArray]) -> dict[str, Tensor]:
    """The constants of the frozen graph as tensors under our names.

    TensorFlow's cell keeps one matrix ``[inputs + cell, 4 cell]`` for the gates in the order input, candidate, forget, output; torch
    keeps one for inputs and one for the state, in the order input, forget, candidate, output.

    Raises:
        KeyError: a constant is missing.
        ValueError: its shape does not fit.
    """
    short = {name.rsplit("/", 1)[-1]: array for name, array in constants.items() if "bidirectional_rnn" not in name}
    tensors: dict[str, FloatArray] = {}
    for theirs, ours in _DENSE.items():
        tensors[f"{ours}.weight"], tensors[f"{ours}.bias"] = short[theirs].T, short[theirs.replace("h", "b")]
    for name, array in constants.items():
        found = _CELL.search(name)
        if found is None:
            continue
        suffix = "_reverse" if found[1] == "bw" else ""
        gates = np.split(array, 4, axis=-1)
        if found[2].startswith("bias"):
            gates[2] = gates[2] + _FORGET_BIAS
            tensors[f"recurrent.bias_ih_l0{suffix}"] = _torch_order(gates)
            tensors[f"recurrent.bias_hh_l0{suffix}"] = np.zeros_like(array)
        else:
            cell = array.shape[1] // 4
            tensors[f"recurrent.weight_ih_l0{suffix}"] = _torch_order([gate[: len(array) - cell].T for gate in gates])
            tensors[f"recurrent.weight_hh_l0{suffix}"] = _torch_order([gate[len(array) - cell :].T for gate in gates])
    return {name: torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32)) for name, array in tensors.items()}


def _torch_order(gates: list[FloatArray]) -> FloatArray:
    entry, candidate, forget, output = gates
    return np.concatenate([entry, forget, candidate, output])

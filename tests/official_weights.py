"""Small weight files in the formats of the official ones, with random numbers that are the same everywhere."""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from talkhead_core.types import FloatArray


def randomised(module: nn.Module, *, scale: float = 0.1, seed: int = 0) -> dict[str, Tensor]:
    """The state of ``module`` filled with random numbers, name by name; running variances are positive."""
    return {name: random_tensor(name, tensor.shape, scale=scale, seed=seed) for name, tensor in module.state_dict().items()}


def random_tensor(name: str, shape: tuple[int, ...] | torch.Size, *, scale: float = 0.1, seed: int = 0) -> Tensor:
    """Random numbers that depend on the name and the shape alone."""
    if name.endswith("num_batches_tracked"):
        return torch.zeros((), dtype=torch.int64)
    rng = np.random.default_rng([seed, *name.encode()])
    values = rng.normal(0, 1, tuple(shape)).astype(np.float32)
    if name.endswith("running_var"):
        return torch.from_numpy(0.5 + np.abs(values))
    fan = max(1, int(np.prod(shape[1:])))
    return torch.from_numpy(values * (1 / np.sqrt(fan) if len(shape) > 1 else scale))


def wav2vec2_state(family: str, *, large: bool, letters: int = 0) -> dict[str, Tensor]:
    """The state dict that Hugging Face publishes for a HuBERT or wav2vec 2.0 of 128 channels and two blocks."""
    channels, feed_forward, convolution, kernels = 128, 192, 32, (10, 3, 3, 3, 3, 2, 2)
    shapes: dict[str, tuple[int, ...]] = {"masked_spec_embed": (channels,)}
    for index, kernel in enumerate(kernels):
        layer = f"feature_extractor.conv_layers.{index}"
        shapes[f"{layer}.conv.weight"] = (convolution, convolution if index else 1, kernel)
        if large:
            shapes[f"{layer}.conv.bias"] = (convolution,)
        if large or index == 0:
            shapes |= _pair(f"{layer}.layer_norm", (convolution,))
    shapes |= _pair("feature_projection.layer_norm", (convolution,))
    shapes |= _pair("feature_projection.projection", (channels, convolution))
    position = "encoder.pos_conv_embed.conv"
    shapes |= {
        f"{position}.bias": (channels,),
        f"{position}.weight_g": (1, 1, 128),
        f"{position}.weight_v": (channels, channels // 16, 128),
    }
    shapes |= _pair("encoder.layer_norm", (channels,))
    for index in range(2):
        block = f"encoder.layers.{index}"
        for part in ("k_proj", "v_proj", "q_proj", "out_proj"):
            shapes |= _pair(f"{block}.attention.{part}", (channels, channels))
        shapes |= _pair(f"{block}.layer_norm", (channels,)) | _pair(f"{block}.final_layer_norm", (channels,))
        shapes |= _pair(f"{block}.feed_forward.intermediate_dense", (feed_forward, channels))
        shapes |= _pair(f"{block}.feed_forward.output_dense", (channels, feed_forward))
    state = {f"{family}.{name}": random_tensor(name, shape) for name, shape in shapes.items()}
    for name in state:
        if "norm.weight" in name:
            state[name] = 1 + state[name]
    if letters:
        state |= {"lm_head.weight": random_tensor("lm_head.weight", (letters, channels)), "lm_head.bias": random_tensor("b", (letters,))}
    return state


def _pair(name: str, shape: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": shape, f"{name}.bias": shape[:1]}


def deepspeech_constants(*, hidden: int = 24, cell: int = 20, letters: int = 29) -> dict[str, FloatArray]:
    """The constants of DeepSpeech 0.1.0's graph, with fewer units."""
    inputs = 19 * 26
    shapes = {
        "h1": (inputs, hidden), "b1": (hidden,), "h2": (hidden, hidden), "b2": (hidden,), "h3": (hidden, cell), "b3": (cell,),
        "h5": (2 * cell, hidden), "b5": (hidden,), "h6": (hidden, letters), "b6": (letters,),
    }  # fmt: skip
    for way in ("fw", "bw"):
        shapes[f"bidirectional_rnn/{way}/basic_lstm_cell/kernel"] = (2 * cell, 4 * cell)
        shapes[f"bidirectional_rnn/{way}/basic_lstm_cell/bias"] = (4 * cell,)
    return {name: random_tensor(name, shape).numpy() * (5 if len(shape) == 2 else 1) for name, shape in shapes.items()}


def write_frozen_graph(path: Path, constants: Mapping[str, FloatArray]) -> None:
    """Write a TensorFlow ``GraphDef`` with a ``Const`` and an ``Identity`` node for each constant, and the graph's placeholders."""
    nodes = [_node("input_node", "Placeholder"), _node("input_lengths", "Placeholder")]
    for name, array in constants.items():
        nodes += [_node(name, "Const", _tensor_attribute(array)), _node(f"{name}/read", "Identity", inputs=(name,))]
    path.write_bytes(b"".join(_bytes_field(1, node) for node in nodes) + _bytes_field(4, _varint_field(1, 24)))


def _node(name: str, operation: str, attribute: bytes = b"", inputs: tuple[str, ...] = ()) -> bytes:
    parts = [_bytes_field(1, name.encode()), _bytes_field(2, operation.encode()), *(_bytes_field(3, part.encode()) for part in inputs)]
    kind = _bytes_field(5, _bytes_field(1, b"dtype") + _bytes_field(2, _varint_field(6, 1)))
    return b"".join([*parts, kind, attribute])


def _tensor_attribute(array: FloatArray) -> bytes:
    shape = b"".join(_bytes_field(2, _varint_field(1, size)) for size in array.shape)
    if array.size and (array == array.flat[0]).all():  # TensorFlow keeps one value where all are alike
        content = _bytes_field(5, struct.pack("<f", array.flat[0]))
    else:
        content = _bytes_field(4, np.ascontiguousarray(array, "<f4").tobytes())
    tensor = _varint_field(1, 1) + _bytes_field(2, shape) + content
    return _bytes_field(5, _bytes_field(1, b"value") + _bytes_field(2, _bytes_field(8, tensor)))


def _varint(value: int) -> bytes:
    parts = bytearray()
    while value > 0x7F:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*parts, value])


def _varint_field(number: int, value: int) -> bytes:
    return _varint(number << 3) + _varint(value)


def _bytes_field(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def write_feature_weights(folder: Path, *, local: bool = False) -> dict[str, str]:
    """A weight folder for each speech feature that needs one.

    Args:
        folder: where.
        local: without what listens beyond a column's own sound, so that a click stays where it is.
    """
    from talkhead_core.audio.features.audio_visual_encoder import AVE_FILE, AudioVisualNetwork

    folders = {name: folder / name for name in ("hubert", "wav2vec2", "deepspeech", "ave")}
    for path in folders.values():
        path.mkdir()
    for family, letters in (("hubert", 0), ("wav2vec2", 44)):
        state = wav2vec2_state(family, large=True, letters=letters)
        if local:
            state |= {name: 0 * value for name, value in state.items() if re.search(r"out_proj|output_dense|weight_g|pos_conv.*bias", name)}
        torch.save(state, folders[family] / "pytorch_model.bin")
    constants = deepspeech_constants()
    if local:
        for way in ("fw", "bw"):
            cell = f"bidirectional_rnn/{way}/basic_lstm_cell"
            inputs = constants[f"{cell}/kernel"].shape[1] // 4
            constants[f"{cell}/kernel"][inputs:] = 0
            constants[f"{cell}/bias"][2 * inputs : 3 * inputs] = -1e4  # the forget gate
            constants[f"{cell}/kernel"][:, 2 * inputs : 3 * inputs] = 0
    write_frozen_graph(folders["deepspeech"] / "deepspeech-0_1_0-b90017e8.pb", constants)
    encoder = {name.removeprefix("audio_encoder."): value for name, value in randomised(AudioVisualNetwork()).items()}
    torch.save(encoder, folders["ave"] / AVE_FILE)
    return {name: str(path) for name, path in folders.items()}


def write_bisenet_weights(folder: Path) -> Path:
    """A file in ``folder`` with the names and shapes of ``79999_iter.pth``, the training's own outputs included; gives the folder."""
    from talkhead_core.segmentation.bisenet_network import BiSeNet
    from talkhead_core.segmentation.face_parser import BISENET_FILE

    state = randomised(BiSeNet())
    for head in ("16", "32"):
        state[f"conv_out{head}.conv.conv.weight"] = torch.zeros(64, 128, 3, 3)
        state[f"conv_out{head}.conv_out.weight"] = torch.zeros(19, 64, 1, 1)
        state |= {f"conv_out{head}.conv.bn.{part}": torch.zeros(64) for part in ("weight", "bias", "running_mean", "running_var")}
    torch.save(state, folder / BISENET_FILE)
    return folder

"""Reading the official weights: ModelScope ``iic/speech_zipenhancer_ans_multiloss_16k_base``, ``pytorch_model.bin`` (Apache-2.0).

The file holds a dictionary whose entry ``generator`` maps the authors' names to tensors. The sizes of the network follow from the
tensors' shapes, except for the number of heads, which ``configuration.json`` beside the file tells (4 where it is not there).
"""

from __future__ import annotations

import json
import pickle
import re
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from talkhead_core.audio.denoise.zip_enhancer.dual_path import StackSize
from talkhead_core.audio.denoise.zip_enhancer.network import NetworkSize, ZipEnhancer
from talkhead_core.audio.denoise.zip_enhancer.zipformer_block import BlockSize
from talkhead_core.errors import NotAvailableError, ParameterError

__all__ = ["WEIGHTS_FILE", "load_official", "our_name", "sizes_from_shapes"]

WEIGHTS_FILE = "pytorch_model.bin"
_PULL = "run 'talkhead models pull zipenhancer'"
_HEADS = 4

# the authors' names to ours, applied in order
_RENAMES = (
    (r"^dense_encoder\.dense_conv_1\.", "encoder.widen."),
    (r"^dense_encoder\.dense_conv_2\.", "encoder.halve."),
    (r"^dense_encoder\.dense_block\.dense_block\.", "encoder.dense.layers."),
    (r"^mask_decoder\.dense_block\.dense_block\.", "magnitude_decoder.dense.layers."),
    (r"^mask_decoder\.mask_conv\.0\.conv1\.", "magnitude_decoder.upsample."),
    (r"^mask_decoder\.mask_conv\.1\.", "magnitude_decoder.settle.0."),
    (r"^mask_decoder\.mask_conv\.2\.", "magnitude_decoder.settle.1."),
    (r"^mask_decoder\.mask_conv\.3\.", "magnitude_decoder.maps.0."),
    (r"^phase_decoder\.dense_block\.dense_block\.", "phase_decoder.dense.layers."),
    (r"^phase_decoder\.phase_conv\.0\.conv1\.", "phase_decoder.upsample."),
    (r"^phase_decoder\.phase_conv\.1\.", "phase_decoder.settle.0."),
    (r"^phase_decoder\.phase_conv\.2\.", "phase_decoder.settle.1."),
    (r"^phase_decoder\.phase_conv_r\.", "phase_decoder.maps.0."),
    (r"^phase_decoder\.phase_conv_i\.", "phase_decoder.maps.1."),
    (r"^TSConformer\.encoders\.(\d+)\.encoder\.", r"TSConformer.encoders.\1."),
    (r"^TSConformer\.encoders\.(\d+)\.f_layers\.", r"stacks.\1.frequency."),
    (r"^TSConformer\.encoders\.(\d+)\.t_layers\.", r"stacks.\1.time."),
    (r"^TSConformer\.encoders\.(\d+)\.bypass_layers\.\d+\.bypass_scale$", r"stacks.\1.path_bypass.weight"),
    (r"^TSConformer\.encoders\.(\d+)\.out_combiner\.bypass_scale$", r"stacks.\1.out_bypass.weight"),
    (r"^TSConformer\.encoders\.(\d+)\.downsample_t\.bias$", r"stacks.\1.down_time.logits"),
    (r"^TSConformer\.encoders\.(\d+)\.downsample_f\.bias$", r"stacks.\1.down_frequency.logits"),
    (r"\.bypass\.bypass_scale$", ".bypass.weight"),
    (r"\.bypass_mid\.bypass_scale$", ".middle_bypass.weight"),
    (r"\.self_attn_weights\.in_proj\.", ".attention_weights.project."),
    (r"\.self_attn_weights\.linear_pos\.", ".attention_weights.position."),
    (r"\.self_attn(\d)\.in_proj\.", r".attention\1.value."),
    (r"\.self_attn(\d)\.out_proj\.", r".attention\1.out."),
    (r"\.feed_forward(\d)\.in_proj\.", r".feed_forward\1.expand."),
    (r"\.feed_forward(\d)\.out_proj\.", r".feed_forward\1.contract."),
    (r"\.nonlin_attention\.in_proj\.", ".nonlinear_attention.project."),
    (r"\.nonlin_attention\.out_proj\.", ".nonlinear_attention.out."),
    (r"\.conv_module(\d)\.in_proj\.", r".convolution\1.gated."),
    (r"\.conv_module(\d)\.depthwise_conv\.", r".convolution\1.depthwise."),
    (r"\.conv_module(\d)\.out_proj\.", r".convolution\1.out."),
)
# what the authors' network holds and never uses
_UNUSED = re.compile(r"(^TSConformer\.downsample_output\.|_layers\.\d+\.bypass_scale$)")


def our_name(official: str) -> str | None:
    """Our name of one of the authors' tensors; None for those their network never uses."""
    if _UNUSED.search(official) and "bypass_layers" not in official:
        return None
    for pattern, ours in _RENAMES:
        official = re.sub(pattern, ours, official)
    return official


def sizes_from_shapes(tensors: Mapping[str, Tensor], heads: int = _HEADS) -> NetworkSize:
    """The network that tensors under our names belong to.

    Raises:
        KeyError: a tensor is missing.
        ValueError: the shapes do not fit ``heads``.
    """
    channels = tensors["encoder.widen.0.weight"].shape[0]
    count = 1 + max(int(name.split(".")[1]) for name in tensors if name.startswith("stacks."))
    return NetworkSize(channels=channels, stacks=tuple(_stack_size(tensors, f"stacks.{index}.", heads) for index in range(count)))


def _stack_size(tensors: Mapping[str, Tensor], stack: str, heads: int) -> StackSize:
    def factor(name: str) -> int:
        return len(tensors[stack + name]) if stack + name in tensors else 1

    first = f"{stack}frequency.0."
    position_width, position = tensors[first + "attention_weights.position.weight"].shape
    project = tensors[first + "attention_weights.project.weight"].shape[0]
    value = tensors[first + "attention1.value.weight"].shape[0]
    if position_width % heads or value % heads or (project - position_width) % (2 * heads):
        raise ValueError(f"attention of {project} channels does not split into {heads} heads")
    return StackSize(
        time_factor=factor("down_time.logits"),
        frequency_factor=factor("down_frequency.logits"),
        layers=1 + max(int(name[len(stack) :].split(".")[1]) for name in tensors if name.startswith(f"{stack}frequency.")),
        block=BlockSize(
            channels=tensors[first + "norm.bias"].shape[0],
            heads=heads,
            query=(project - position_width) // (2 * heads),
            position_query=position_width // heads,
            value=value // heads,
            position=position,
            feed_forward=tensors[first + "feed_forward2.expand.weight"].shape[0],
            kernel=tensors[first + "convolution1.depthwise.weight"].shape[2],
        ),
    )


def load_official(path: Path) -> ZipEnhancer:
    """The network with the weights of ``pytorch_model.bin``, ready to run.

    Args:
        path: the file, or the folder that holds it.

    Raises:
        NotAvailableError: the file is missing, or is not ZipEnhancer's.
    """
    file = path / WEIGHTS_FILE if path.is_dir() else path
    if not file.is_file():
        raise NotAvailableError(f"denoiser 'zipenhancer' needs {WEIGHTS_FILE} ({path}); {_PULL}")
    try:
        checkpoint = torch.load(file, map_location="cpu", weights_only=True)
        official = checkpoint.get("generator") or {name.removeprefix("model."): tensor for name, tensor in checkpoint["state_dict"].items()}
        tensors = {ours: tensor for name, tensor in official.items() if (ours := our_name(name)) is not None}
        network = ZipEnhancer(sizes_from_shapes(tensors, _heads(file)))
        network.load_state_dict(tensors)
    except (KeyError, ValueError, AttributeError, RuntimeError, EOFError, ParameterError, pickle.UnpicklingError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise NotAvailableError(f"{file} is not ZipEnhancer's weight file ({reason}); remove it and {_PULL}") from error
    return network.eval()


def _heads(file: Path) -> int:
    configuration = file.with_name("configuration.json")
    if not configuration.is_file():
        return _HEADS
    heads = json.loads(configuration.read_text(encoding="utf-8")).get("model", {}).get("former_conf", {}).get("num_heads", _HEADS)
    return int(heads if isinstance(heads, int) else heads[0])

"""A small ZipEnhancer in the form of the authors' file, made by the tests."""

from __future__ import annotations

from pathlib import Path

import torch

from talkhead_core.artifacts import write_json
from talkhead_core.audio.denoise.zip_enhancer.dual_path import StackSize
from talkhead_core.audio.denoise.zip_enhancer.network import NetworkSize, ZipEnhancer
from talkhead_core.audio.denoise.zip_enhancer.official_weights import WEIGHTS_FILE
from talkhead_core.audio.denoise.zip_enhancer.zipformer_block import BlockSize

SMALL = BlockSize(channels=8, heads=2, query=2, position_query=1, value=2, position=8, feed_forward=8, kernel=3)


def official_file(folder: Path, stacks: tuple[StackSize, ...]) -> str:
    torch.manual_seed(0)
    network = ZipEnhancer(NetworkSize(channels=8, stacks=stacks))
    torch.save({"generator": official_tensors(network)}, folder / WEIGHTS_FILE)
    write_json(folder / "configuration.json", {"model": {"former_conf": {"num_heads": 2}}})
    return str(folder / WEIGHTS_FILE)


def official_tensors(network: ZipEnhancer) -> dict[str, torch.Tensor]:
    """A network's tensors under the authors' names: the inverse of reading them, written down a second time."""
    plain = {
        "encoder.widen": "dense_encoder.dense_conv_1",
        "encoder.halve": "dense_encoder.dense_conv_2",
        "encoder.dense.layers": "dense_encoder.dense_block.dense_block",
        "magnitude_decoder.dense.layers": "mask_decoder.dense_block.dense_block",
        "magnitude_decoder.upsample": "mask_decoder.mask_conv.0.conv1",
        "magnitude_decoder.settle.0": "mask_decoder.mask_conv.1",
        "magnitude_decoder.settle.1": "mask_decoder.mask_conv.2",
        "magnitude_decoder.maps.0": "mask_decoder.mask_conv.3",
        "phase_decoder.dense.layers": "phase_decoder.dense_block.dense_block",
        "phase_decoder.upsample": "phase_decoder.phase_conv.0.conv1",
        "phase_decoder.settle.0": "phase_decoder.phase_conv.1",
        "phase_decoder.settle.1": "phase_decoder.phase_conv.2",
        "phase_decoder.maps.0": "phase_decoder.phase_conv_r",
        "phase_decoder.maps.1": "phase_decoder.phase_conv_i",
        "attention_weights.project": "self_attn_weights.in_proj",
        "attention_weights.position": "self_attn_weights.linear_pos",
        "nonlinear_attention.project": "nonlin_attention.in_proj",
        "nonlinear_attention.out": "nonlin_attention.out_proj",
        ".middle_bypass.weight": ".bypass_mid.bypass_scale",
        ".out_bypass.weight": ".out_combiner.bypass_scale",
        ".bypass.weight": ".bypass.bypass_scale",
        ".down_time.logits": ".downsample_t.bias",
        ".down_frequency.logits": ".downsample_f.bias",
    }
    for part in "12":
        plain |= {f"attention{part}.value": f"self_attn{part}.in_proj", f"attention{part}.out": f"self_attn{part}.out_proj"}
        plain |= {f"convolution{part}.gated": f"conv_module{part}.in_proj", f"convolution{part}.out": f"conv_module{part}.out_proj"}
        plain |= {f"convolution{part}.depthwise": f"conv_module{part}.depthwise_conv"}
    for part in "123":
        plain |= {
            f"feed_forward{part}.expand": f"feed_forward{part}.in_proj",
            f"feed_forward{part}.contract": f"feed_forward{part}.out_proj",
        }
    official = {}
    for name, tensor in network.state_dict().items():
        stack = int(name.split(".")[1]) if name.startswith("stacks.") else -1
        for ours, theirs in plain.items():
            name = name.replace(ours, theirs)
        if stack >= 0:
            inside = "encoder." if network.size.stacks[stack].time_factor > 1 else ""
            own = name.split(".", 2)[2]
            if own == "path_bypass.weight":
                for number in range(2 * network.size.stacks[stack].layers):
                    official[f"TSConformer.encoders.{stack}.{inside}bypass_layers.{number}.bypass_scale"] = tensor
                continue
            own = own.replace("frequency.", "f_layers.").replace("time.", "t_layers.")
            name = f"TSConformer.encoders.{stack}.{inside if '_layers.' in own else ''}{own}"
            if own.endswith("norm.bias"):
                official[name.replace("norm.bias", "bypass_scale")] = torch.zeros(8)  # in the file, and never used
        official[name] = tensor
    official["TSConformer.downsample_output.bias"] = torch.zeros(1)
    return official

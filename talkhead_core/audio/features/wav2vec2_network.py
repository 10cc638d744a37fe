"""wav2vec 2.0 (Baevski et al., NeurIPS 2020) and HuBERT (Hsu et al., TASLP 2021): one network, trained on different targets.

Seven convolutions make a vector every 20 ms of 25 ms of sound; a Transformer with convolutional position embedding listens around
each. Two variants exist: *base* normalises the first convolution over time (group norm) and each block's output, *large* normalises
every convolution over channels and each block's input. The sizes follow from the official tensors' shapes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["TransformerSize", "Wav2Vec2Network", "official_tensors", "size_of"]

_STRIDES = (5, 2, 2, 2, 2, 2, 2)
_HEAD_CHANNELS = 64
_POSITION_GROUPS = 16


@dataclass(frozen=True, kw_only=True)
class TransformerSize:
    """Sizes of a network.

    Args:
        convolution_channels: of the seven convolutions.
        kernels: their lengths.
        convolution_bias: whether they have one.
        layer_norm_first: the *large* variant.
        channels: of the Transformer.
        feed_forward: hidden channels of its blocks.
        layers: its blocks.
        position_kernel: length of the position convolution.
        letters: outputs of the letter classifier (CTC); 0 without one.
    """

    convolution_channels: int
    kernels: tuple[int, ...]
    convolution_bias: bool
    layer_norm_first: bool
    channels: int
    feed_forward: int
    layers: int
    position_kernel: int
    letters: int

    @property
    def heads(self) -> int:
        """Of attention; 64 channels each, in every official model."""
        return max(1, self.channels // _HEAD_CHANNELS)


class _Convolution(nn.Module):
    def __init__(self, size: TransformerSize, index: int) -> None:
        super().__init__()
        inputs = size.convolution_channels if index else 1
        self.conv = nn.Conv1d(inputs, size.convolution_channels, size.kernels[index], _STRIDES[index], bias=size.convolution_bias)
        self.layer_norm: nn.Module
        if size.layer_norm_first:
            self.layer_norm = nn.LayerNorm(size.convolution_channels)
        elif index == 0:
            self.layer_norm = nn.GroupNorm(size.convolution_channels, size.convolution_channels)
        else:
            self.layer_norm = nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        x = self.layer_norm(x.mT).mT if isinstance(self.layer_norm, nn.LayerNorm) else self.layer_norm(x)
        return F.gelu(x)


class _Attention(nn.Module):
    def __init__(self, size: TransformerSize) -> None:
        super().__init__()
        self._heads = size.heads
        self.q_proj, self.k_proj, self.v_proj, self.out_proj = (nn.Linear(size.channels, size.channels) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = (part(x).unflatten(-1, (self._heads, -1)).transpose(1, 2) for part in (self.q_proj, self.k_proj, self.v_proj))
        heard = F.scaled_dot_product_attention(query, key, value)
        return self.out_proj(heard.transpose(1, 2).flatten(2))


class _Block(nn.Module):
    def __init__(self, size: TransformerSize) -> None:
        super().__init__()
        self._norm_first = size.layer_norm_first
        self.attention = _Attention(size)
        self.layer_norm, self.final_layer_norm = nn.LayerNorm(size.channels), nn.LayerNorm(size.channels)
        self.expand, self.contract = nn.Linear(size.channels, size.feed_forward), nn.Linear(size.feed_forward, size.channels)

    def forward(self, x: Tensor) -> Tensor:
        if self._norm_first:
            x = x + self.attention(self.layer_norm(x))
            return x + self._feed(self.final_layer_norm(x))
        x = self.layer_norm(x + self.attention(x))
        return self.final_layer_norm(x + self._feed(x))

    def _feed(self, x: Tensor) -> Tensor:
        return self.contract(F.gelu(self.expand(x)))


class Wav2Vec2Network(nn.Module):
    """Sound ``[1, samples]`` of zero mean and unit variance to ``[1, columns, channels]``, or letter scores where it has them."""

    def __init__(self, size: TransformerSize) -> None:
        super().__init__()
        self.size = size
        self.convolutions = nn.ModuleList([_Convolution(size, index) for index in range(len(size.kernels))])
        self.projection_norm = nn.LayerNorm(size.convolution_channels)
        self.projection = nn.Linear(size.convolution_channels, size.channels)
        kernel, groups = size.position_kernel, min(_POSITION_GROUPS, size.channels)
        self.position = nn.Conv1d(size.channels, size.channels, kernel, padding=kernel // 2, groups=groups)
        self.norm = nn.LayerNorm(size.channels)
        self.blocks = nn.ModuleList([_Block(size) for _ in range(size.layers)])
        self.letters = nn.Linear(size.channels, size.letters) if size.letters else nn.Identity()
        self.requires_grad_(False).eval()

    @property
    def channels(self) -> int:
        """Of its output."""
        return self.size.letters or self.size.channels

    def forward(self, sound: Tensor) -> Tensor:
        """See the class."""
        x = sound[:, None]
        for convolution in self.convolutions:
            x = convolution(x)
        x = self.projection(self.projection_norm(x.mT))
        position = self.position(x.mT)[..., : x.shape[1]]  # an even kernel gives one column too many
        x = x + F.gelu(position).mT
        if not self.size.layer_norm_first:
            x = self.norm(x)
        for block in self.blocks:
            x = block(x)
        return self.letters(self.norm(x) if self.size.layer_norm_first else x)


# the published names (Hugging Face's) to ours, applied in order
_RENAMES = (
    (r"^(hubert|wav2vec2)\.", ""),
    (r"^feature_extractor\.conv_layers\.", "convolutions."),
    (r"^feature_projection\.layer_norm\.", "projection_norm."),
    (r"^feature_projection\.projection\.", "projection."),
    (r"^encoder\.pos_conv_embed\.conv\.parametrizations\.weight\.original0$", "position.weight_g"),
    (r"^encoder\.pos_conv_embed\.conv\.parametrizations\.weight\.original1$", "position.weight_v"),
    (r"^encoder\.pos_conv_embed\.conv\.", "position."),
    (r"^encoder\.layer_norm\.", "norm."),
    (r"^encoder\.layers\.", "blocks."),
    (r"\.feed_forward\.intermediate_dense\.", ".expand."),
    (r"\.feed_forward\.output_dense\.", ".contract."),
    (r"^lm_head\.", "letters."),
)
# used in pretraining only
_UNUSED = re.compile(r"masked_spec_embed$|^(quantizer|project_q|project_hid)\.")


def official_tensors(state: Mapping[str, Tensor], *, letters: bool) -> dict[str, Tensor]:
    """The published tensors under our names, the position convolution's weight norm resolved.

    Args:
        state: by their published names.
        letters: keep the letter classifier.

    Raises:
        KeyError: a tensor is missing.
    """
    tensors = {}
    for name, tensor in state.items():
        for pattern, ours in _RENAMES:
            name = re.sub(pattern, ours, name)
        if not _UNUSED.search(name) and (letters or not name.startswith("letters.")):
            tensors[name] = tensor.float()
    if "position.weight" not in tensors:
        length, direction = tensors.pop("position.weight_g"), tensors.pop("position.weight_v")
        tensors["position.weight"] = direction * (length / direction.norm(dim=(0, 1), keepdim=True))
    return tensors


def size_of(tensors: Mapping[str, Tensor]) -> TransformerSize:
    """The network that tensors under our names belong to.

    Raises:
        KeyError: a tensor is missing.
    """
    convolutions = [tensors[f"convolutions.{index}.conv.weight"] for index in range(len(_STRIDES))]
    feed_forward, channels = tensors["blocks.0.expand.weight"].shape
    return TransformerSize(
        convolution_channels=convolutions[0].shape[0],
        kernels=tuple(weight.shape[2] for weight in convolutions),
        convolution_bias="convolutions.0.conv.bias" in tensors,
        layer_norm_first="convolutions.1.layer_norm.weight" in tensors,
        channels=channels,
        feed_forward=feed_forward,
        layers=1 + max(int(name.split(".")[1]) for name in tensors if name.startswith("blocks.")),
        position_kernel=tensors["position.weight"].shape[2],
        letters=len(tensors["letters.weight"]) if "letters.weight" in tensors else 0,
    )

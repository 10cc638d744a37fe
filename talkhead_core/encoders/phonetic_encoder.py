"""What is being said, as a network hears it that learned phonemes and mouth shapes from hours of synthetic speech.

A minute of one speaker holds too few of each sound to learn from it alone which of them close the lips. Synthetic speech in many
voices and languages, whose phonemes are known to the millisecond, costs nothing; the weights beside this file were trained on
it by ``python -m tasks.train_phonetic_encoder`` and hold no recording of anybody.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import safetensors
import torch
from safetensors.torch import save
from torch import Tensor, nn

from talkhead_core.artifacts import whole_file
from talkhead_core.parameters import from_mapping, require

__all__ = ["PhoneticEncoder", "PhoneticEncoderConfig"]

_WEIGHTS = Path(__file__).with_name("phonetic_encoder.safetensors")


@dataclass(frozen=True, kw_only=True)
class PhoneticEncoderConfig:
    """Sizes of the phonetic encoder.

    Args:
        channels: of a column of speech features; 80 log-mel bands.
        hidden: width of the convolutions.
        embedding: numbers a column.
    """

    channels: int = 80
    hidden: int = 128
    embedding: int = 32

    def __post_init__(self) -> None:
        require(min(self.channels, self.hidden, self.embedding) >= 1, "channels, hidden and embedding must be at least 1")


class PhoneticEncoder(nn.Module):
    """Convolutions over time that see 23 columns (230 ms); padded with the mean at the ends of what they are given."""

    def __init__(self, config: PhoneticEncoderConfig) -> None:
        super().__init__()
        self.config = config
        hidden = config.hidden
        self.columns = nn.Sequential(
            nn.Conv1d(config.channels, hidden, 5, padding=2),
            nn.LeakyReLU(0.02),
            nn.Conv1d(hidden, hidden, 3, padding=2, dilation=2),
            nn.LeakyReLU(0.02),
            nn.Dropout(0.1),
            nn.Conv1d(hidden, hidden, 3, padding=4, dilation=4),
            nn.LeakyReLU(0.02),
            nn.Conv1d(hidden, hidden, 3, padding=3, dilation=3),
            nn.LeakyReLU(0.02),
        )
        self.embed = nn.Conv1d(hidden, config.embedding, 1)

    def forward(self, columns: Tensor) -> Tensor:
        """``[batch, columns, channels]``, each channel standardised over a recording, to ``[batch, columns, embedding]``."""
        return self.hear(columns)[0]

    def hear(self, columns: Tensor) -> tuple[Tensor, Tensor]:
        """The embedding, as :meth:`forward` gives it, and what it was made from, ``[batch, columns, hidden]``."""
        hidden = self.columns(columns.transpose(1, 2))
        return self.embed(hidden).transpose(1, 2), hidden.transpose(1, 2)

    @classmethod
    def trained(cls, path: Path = _WEIGHTS) -> PhoneticEncoder:
        """With the weights in ``path``; by default those that ship with talkhead."""
        with safetensors.safe_open(path, framework="pt") as file:
            config = from_mapping(PhoneticEncoderConfig, json.loads(file.metadata()["config"]), where=path.name)
            weights = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118 - not a mapping
        encoder = cls(config)
        encoder.load_state_dict(weights)
        return encoder.eval().requires_grad_(False)

    def save(self, path: Path, record: dict[str, object] | None = None) -> None:
        """Write the weights in half precision with ``record`` of how they were made, whole."""
        weights = {name: value.detach().to(torch.float16).contiguous() for name, value in self.state_dict().items()}
        metadata = {"config": json.dumps(asdict(self.config)), "record": json.dumps(record or {})}
        with whole_file(path) as temporary:
            temporary.write_bytes(save(weights, metadata))

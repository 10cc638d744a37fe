"""HuBERT's last hidden layer (Hsu et al., TASLP 2021): 1024 channels in the large model, 50 columns a second."""

from __future__ import annotations

from talkhead_core.audio.features.context_columns import ContextColumns
from talkhead_core.audio.features.transformer_columns import SoundLevel, TransformerColumns

__all__ = ["HUBERT_FILES", "Hubert"]

HUBERT_FILES = ("pytorch_model.bin", "model.safetensors")


class Hubert(ContextColumns[SoundLevel]):
    """``facebook/hubert-large-ls960-ft``, or any HuBERT in that format.

    Args:
        window: columns in each frame's window; the AD-NeRF family takes 2.
        weights: ``pytorch_model.bin`` or ``model.safetensors``, or the folder that holds it.

    Raises:
        NotAvailableError: the file is missing or is none of HuBERT's.
    """

    def __init__(self, *, window: int, weights: str | None = None) -> None:
        super().__init__(TransformerColumns.load("hubert", weights, HUBERT_FILES, letters=False), window=window)

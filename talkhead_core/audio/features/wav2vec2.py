"""wav2vec 2.0's letter scores (Baevski et al., NeurIPS 2020): 50 columns a second, 44 channels in the Esperanto model."""

from __future__ import annotations

from talkhead_core.audio.features.context_columns import ContextColumns
from talkhead_core.audio.features.transformer_columns import SoundLevel, TransformerColumns

__all__ = ["WAV2VEC2_FILES", "Wav2Vec2"]

WAV2VEC2_FILES = ("pytorch_model.bin", "model.safetensors")


class Wav2Vec2(ContextColumns[SoundLevel]):
    """``cpierse/wav2vec2-large-xlsr-53-esperanto`` (RAD-NeRF's choice: its letters are nearly its sounds), or any in that format.

    A model without a letter classifier gives its last hidden layer.

    Args:
        window: columns in each frame's window; the AD-NeRF family takes 16.
        weights: ``pytorch_model.bin`` or ``model.safetensors``, or the folder that holds it.

    Raises:
        NotAvailableError: the file is missing or is none of wav2vec 2.0's.
    """

    def __init__(self, *, window: int, weights: str | None = None) -> None:
        super().__init__(TransformerColumns.load("wav2vec2", weights, WAV2VEC2_FILES, letters=True), window=window)

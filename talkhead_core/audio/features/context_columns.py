"""Columns of a network that listens to what lies before and after: in chunks on a fixed grid, for any length of audio.

The recording is cut into chunks of 5 s, each heard with 1.5 s of its surroundings on either side, on a grid that starts with the
first column of frame 0. A column's value therefore depends on the recording alone, not on which frames were asked for, and memory on
neither. Where the video's rate divides the columns', they lie exactly where each frame's window wants them; elsewhere they are
interpolated between the two nearest.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from fractions import Fraction
from typing import Generic, Protocol, TypeVar

import numpy as np

from talkhead_core.audio.features.frame_windows import BLOCK_FRAMES, column_centres
from talkhead_core.audio.features.speech_features import stacked
from talkhead_core.media.audio_file import SPEECH_SAMPLE_RATE_HZ
from talkhead_core.types import FloatArray

__all__ = ["COLUMN_SAMPLES", "HOP_SAMPLES", "ColumnNetwork", "ContextColumns"]

HOP_SAMPLES = 320
"""50 columns a second: HuBERT's, wav2vec 2.0's and DeepSpeech's."""

COLUMN_SAMPLES = 400
"""What a column sees before anything listens around it, in all three."""

_CORE, _CONTEXT = 250, 75
_KEPT_CHUNKS = 3

S = TypeVar("S")


class ColumnNetwork(Protocol[S]):
    """A network with a column every 20 ms.

    Attributes:
        channels: of a column.
    """

    channels: int

    def statistics(self, audio: FloatArray) -> S:
        """What it must know of the whole recording ``[samples]``, such as its loudness, in constant memory."""
        ...

    def columns(self, segment: FloatArray, statistics: S) -> FloatArray:
        """``[320 (n - 1) + 400]`` samples to ``[n, channels]`` float32; column ``k`` begins at sample ``320 k``."""
        ...


class ContextColumns(Generic[S]):
    """A :class:`ColumnNetwork` as a speech feature."""

    columns_per_second = SPEECH_SAMPLE_RATE_HZ // HOP_SAMPLES

    def __init__(self, network: ColumnNetwork[S], *, window: int) -> None:
        self._network, self.window, self.channels = network, window, network.channels

    def blocks(self, audio: FloatArray, fps: Fraction, frames: int, first_frame: int = 0) -> Iterator[FloatArray]:
        """See ``SpeechFeatures.blocks``."""
        audio = np.asarray(audio, np.float32)
        chunks = _Chunks(self._network, audio, self._centres(np.zeros(1, np.int64), fps)[0, 0])
        for start in range(first_frame, first_frame + frames, BLOCK_FRAMES):
            ids = np.arange(start, min(start + BLOCK_FRAMES, first_frame + frames))
            position = (self._centres(ids, fps) - chunks.origin) / HOP_SAMPLES
            low = np.floor(position).astype(np.int64)
            between = (position - low)[..., None].astype(np.float32)
            first = int(low.min())
            columns = chunks.span(first, int(low.max()) + 2)
            yield (1 - between) * columns[low - first] + between * columns[low - first + 1]

    def extract(self, audio: FloatArray, fps: Fraction, frames: int, first_frame: int = 0) -> FloatArray:
        """See ``SpeechFeatures.extract``."""
        return stacked(self.blocks(audio, fps, frames, first_frame), frames, self.window, self.channels)

    def _centres(self, ids: np.ndarray, fps: Fraction) -> np.ndarray:
        return column_centres(ids, fps, window=self.window, hop=HOP_SAMPLES, sample_rate_hz=SPEECH_SAMPLE_RATE_HZ)


class _Chunks(Generic[S]):
    """The columns of one recording by their number; the last few chunks are kept."""

    def __init__(self, network: ColumnNetwork[S], audio: FloatArray, origin: int) -> None:
        self._network, self._audio, self.origin = network, audio, int(origin)
        self._statistics = network.statistics(audio)
        self._kept: OrderedDict[int, FloatArray] = OrderedDict()

    def span(self, first: int, end: int) -> FloatArray:
        """Columns ``[end - first, channels]``."""
        parts = []
        for chunk in range(first // _CORE, (end - 1) // _CORE + 1):
            inner = slice(max(first - chunk * _CORE, 0), min(end - chunk * _CORE, _CORE))
            parts.append(self._chunk(chunk)[inner])
        return np.concatenate(parts)

    def _chunk(self, chunk: int) -> FloatArray:
        if chunk not in self._kept:
            count = _CORE + 2 * _CONTEXT
            start = self.origin - COLUMN_SAMPLES // 2 + (chunk * _CORE - _CONTEXT) * HOP_SAMPLES
            samples = np.zeros((count - 1) * HOP_SAMPLES + COLUMN_SAMPLES, np.float32)
            begin, end = max(start, 0), min(start + len(samples), len(self._audio))
            if begin < end:
                samples[begin - start : end - start] = self._audio[begin:end]
            self._kept[chunk] = self._network.columns(samples, self._statistics)[_CONTEXT : _CONTEXT + _CORE]
            while len(self._kept) > _KEPT_CHUNKS:
                self._kept.popitem(last=False)
        return self._kept[chunk]

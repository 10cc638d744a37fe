"""A short-time Fourier transform and its exact inverse, vectorised over frames."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.fft

from talkhead_core.audio.hann_window import hann_window
from talkhead_core.parameters import require
from talkhead_core.types import FloatArray

__all__ = ["Stft"]


@dataclass(frozen=True)
class Stft:
    """Analysis and synthesis with the square root of a Hann window, so that what is changed in between fades in and out.

    Args:
        fft_size: points of the transform, at least ``window``.
        hop: samples between frames; ``window`` is a multiple of it, at least twice.
        window: samples a frame sees.
    """

    fft_size: int
    hop: int
    window: int

    def __post_init__(self) -> None:
        require(
            self.fft_size >= self.window >= 2 * self.hop > 0 and self.window % self.hop == 0,
            f"scale {self.fft_size}/{self.hop}/{self.window}: need fft_size >= window, and window a multiple of the hop, at least 2",
        )

    @cached_property
    def _taper(self) -> FloatArray:
        return np.sqrt(hann_window(self.window)).astype(np.float32)

    def analyse(self, audio: FloatArray) -> FloatArray:
        """``[samples]`` to ``[frames, fft_size / 2 + 1]`` complex64; frame ``m`` ends at sample ``(m + 1) hop``.

        The signal is mirrored at its ends: silence there would look like a pause without background.
        """
        frames = -(-len(audio) // self.hop) + self.window // self.hop - 1
        before = self.window - self.hop
        padded = np.pad(np.asarray(audio, dtype=np.float32), (before, frames * self.hop - len(audio)), mode="reflect")
        segments = np.lib.stride_tricks.sliding_window_view(padded, self.window)[:: self.hop]
        return np.asarray(scipy.fft.rfft(segments * self._taper, n=self.fft_size, axis=1))

    def synthesise(self, spectrum: FloatArray, samples: int) -> FloatArray:
        """The inverse of :meth:`analyse` by weighted overlap-add: ``[samples]`` float32."""
        segments = scipy.fft.irfft(spectrum, n=self.fft_size, axis=1)[:, : self.window] * self._taper
        overlap = self.window // self.hop
        rows = len(segments) + overlap - 1
        total = np.zeros((rows, self.hop), dtype=np.float32)
        for part in range(overlap):
            total[part : part + len(segments)] += segments[:, part * self.hop : (part + 1) * self.hop]
        weight = (self._taper**2).reshape(overlap, self.hop).sum(axis=0)
        before = self.window - self.hop
        return np.asarray((total / weight).reshape(-1)[before : before + samples])

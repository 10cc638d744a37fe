"""Multi-scale spectral subtraction (WildTalker, eqs. 1-2), with what keeps plain subtraction from musical noise.

At each scale the background's magnitude is subtracted from the spectrum's (eq. 1) and the signal is put together again with
the noisy phase; the scales' signals are averaged (eq. 2)::

    |S^(k, m)| = max(|S(k, m)| - alpha Noise(k, m), floor |S(k, m)|)          y^(n) = 1/L sum_l y^_l(n)

Written as a gain on the spectrum, ``max(1 - alpha Noise / |S|, floor)``. The paper leaves the scales, alpha and the noise
estimate open and has ``floor = 0``. Here the ``|S|`` in the gain and the gain are averaged over a few columns, which takes away the
isolated peaks that are heard as musical noise (Boll 1979; Berouti et al. 1979).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import scipy.ndimage

from talkhead_core.audio.denoise.chunks import overlapping_chunks
from talkhead_core.audio.denoise.noise_estimate import NoiseEstimate, initial_noise, minimum_statistics_noise, quietest_noise
from talkhead_core.audio.denoise.short_time_fourier import Stft
from talkhead_core.media.audio_file import SPEECH_SAMPLE_RATE_HZ
from talkhead_core.parameters import require
from talkhead_core.types import FloatArray

__all__ = ["MssConfig", "MultiScaleSpectralSubtraction"]

_TINY = 1e-14
_CHUNK_S = 20


@dataclass(frozen=True, kw_only=True)
class MssConfig:
    """Settings of multi-scale spectral subtraction; the defaults are what measured best (``docs/denoising.md``).

    Args:
        scales: (points of the transform, hop, window) of each scale, in samples at 16 kHz.
        alpha: how many times the estimated noise magnitude is subtracted.
        floor: the smallest gain; what is left of the background masks musical noise.
        noise_estimate: ``initial`` frames (the paper), the ``quietest`` tenth, ``minimum_statistics`` per bin, or the larger of the
            last two (``combined``).
        initial_ms: length of the initial frames.
        noise_window_s: seconds on either side over which the other estimates follow the background.
        noise_smoothing_ms: averaging of the power before minimum statistics.
        smoothing_ms: averaging over time of the power that the noise is compared with.
        gain_smoothing_ms: averaging of the gain over time.
    """

    scales: tuple[tuple[int, int, int], ...] = ((256, 64, 256), (512, 128, 512), (1024, 256, 1024))
    alpha: float = 1.5
    floor: float = 0.1
    noise_estimate: NoiseEstimate = "combined"
    initial_ms: float = 100.0
    noise_window_s: float = 5.0
    noise_smoothing_ms: float = 60.0
    smoothing_ms: float = 30.0
    gain_smoothing_ms: float = 50.0

    def __post_init__(self) -> None:
        require(len(self.scales) > 0, "scales must not be empty")
        for scale in self.scales:
            Stft(*scale)
        require(self.alpha >= 0, f"alpha must not be negative, but is {self.alpha}")
        require(0 <= self.floor <= 1, f"floor must lie in [0, 1], but is {self.floor}")
        require(self.initial_ms > 0, "initial_ms must be above 0")
        require(0.5 <= self.noise_window_s <= 60, f"noise_window_s must be 0.5 to 60, but is {self.noise_window_s}")
        lengths = (self.noise_smoothing_ms, self.smoothing_ms, self.gain_smoothing_ms)
        require(all(0 <= length <= 500 for length in lengths), "smoothing must be 0 to 500 ms")

    @classmethod
    def published(cls) -> MssConfig:
        """Eqs. 1-2 as printed: alpha 1, no floor, noise from the first 100 ms, four scales, no smoothing."""
        return cls(
            scales=((256, 64, 256), (512, 128, 512), (1024, 256, 1024), (2048, 512, 2048)),
            alpha=1.0,
            floor=0.0,
            noise_estimate="initial",
            smoothing_ms=0.0,
            gain_smoothing_ms=0.0,
        )


class MultiScaleSpectralSubtraction:
    """The denoiser ``mss``."""

    def __init__(self, config: MssConfig) -> None:
        self.config = config
        self._scales = [Stft(*scale) for scale in config.scales]
        hops = math.lcm(*(scale.hop for scale in self._scales))
        # estimates of every scale lie on one grid of about a second; chunks start on it, so they see what a whole file would
        self._grid = hops * math.ceil(SPEECH_SAMPLE_RATE_HZ / hops)

    def stream(self, blocks: Iterable[FloatArray]) -> Iterator[FloatArray]:
        """Denoise a recording block by block, in constant memory; gives as many samples as it took.

        Args:
            blocks: consecutive mono ``[samples]`` at 16 kHz, of any lengths.
        """
        margin_s = self.config.noise_window_s + 0.5 * self.config.noise_smoothing_ms / 1000 + 1.0
        context = self._grid * (math.ceil(margin_s * SPEECH_SAMPLE_RATE_HZ / self._grid) + 2)
        core = self._grid * max(math.ceil(_CHUNK_S * SPEECH_SAMPLE_RATE_HZ / self._grid), 1)
        initial: list[FloatArray] | None = None
        for chunk, inner in overlapping_chunks(blocks, core=core, context=context):
            if initial is None:
                initial = [self._initial_noise(scale, chunk) for scale in self._scales]
            yield self._denoised(chunk, initial)[inner]

    def __call__(self, audio: FloatArray) -> FloatArray:
        """The same for a whole recording: ``[samples]`` to ``[samples]`` float32."""
        return np.concatenate([np.zeros(0, dtype=np.float32), *self.stream([audio])])

    def _denoised(self, audio: FloatArray, initial: list[FloatArray]) -> FloatArray:
        total = np.zeros(len(audio), dtype=np.float32)
        for scale, noise in zip(self._scales, initial, strict=True):
            spectrum = scale.analyse(audio)
            gain = self._gain(scale, _power(spectrum), noise)
            total += scale.synthesise(spectrum * gain, len(audio))
        return total / len(self._scales)

    def _gain(self, scale: Stft, power: FloatArray, initial: FloatArray) -> FloatArray:
        config = self.config
        noise = initial if config.noise_estimate == "initial" else self._followed_noise(scale, power)
        smooth = _averaged(power, _columns(config.smoothing_ms, scale.hop))
        ratio = np.sqrt(np.maximum(noise, _TINY) / np.maximum(smooth, _TINY))
        gain = np.maximum(1 - np.float32(config.alpha) * ratio, np.float32(config.floor))
        return _averaged(gain, _columns(config.gain_smoothing_ms, scale.hop))

    def _followed_noise(self, scale: Stft, power: FloatArray) -> FloatArray:
        config = self.config
        reach = round(config.noise_window_s * SPEECH_SAMPLE_RATE_HZ / scale.hop)
        step = self._grid // scale.hop
        quietest = minimum = None
        if config.noise_estimate != "minimum_statistics":
            quietest = quietest_noise(power, reach=reach, step=step)
        if config.noise_estimate != "quietest":
            smoothing = max(_columns(config.noise_smoothing_ms, scale.hop), 1)
            overlap = scale.window // scale.hop
            minimum = minimum_statistics_noise(power, reach=reach, step=step, smoothing=smoothing, overlap=overlap)
        if quietest is None:
            assert minimum is not None
            return minimum
        return quietest if minimum is None else np.maximum(quietest, minimum)

    def _initial_noise(self, scale: Stft, audio: FloatArray) -> FloatArray:
        whole = scale.window // scale.hop - 1  # columns before this one hold mirrored samples
        count = round(self.config.initial_ms * SPEECH_SAMPLE_RATE_HZ / 1000 / scale.hop)
        beginning = audio[: (whole + max(count, 1)) * scale.hop]
        return initial_noise(_power(scale.analyse(beginning))[whole:], count)


def _power(spectrum: FloatArray) -> FloatArray:
    return np.asarray(spectrum.real**2 + spectrum.imag**2)


def _columns(length_ms: float, hop: int) -> int:
    return round(length_ms / 1000 * SPEECH_SAMPLE_RATE_HZ / hop)


def _averaged(values: FloatArray, columns: int) -> FloatArray:
    return values if columns <= 1 else scipy.ndimage.uniform_filter1d(values, columns, axis=0, mode="nearest")

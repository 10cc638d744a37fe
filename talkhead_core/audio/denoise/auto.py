"""The denoiser ``auto``: spectral subtraction where it helps, nothing where the speech is clean.

Subtraction takes something of the speech with the noise: clean recordings lose 0.1 to 0.8 PESQ by it, noisy ones gain
(``docs/denoising.md``). What decides is the signal-to-noise ratio averaged over bands, because a hiss that is 30 dB under the
vowels is above the fricatives.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, replace

import numpy as np

from talkhead_core.audio.denoise.denoiser import Decision, DenoiseConfig
from talkhead_core.audio.denoise.spectral_subtraction import MssConfig, MultiScaleSpectralSubtraction
from talkhead_core.audio.voice_activity import SpeechLevels
from talkhead_core.types import FloatArray

__all__ = ["Auto"]


class Auto:
    """Decides whether to denoise, and how strongly, from the recording's levels."""

    def __init__(self, config: DenoiseConfig) -> None:
        self._config = config
        self._chosen: MssConfig | None = None

    def prepare(self, levels: SpeechLevels) -> Decision:
        """See ``Denoiser.prepare``."""
        auto, snr = self._config.auto, levels.band_snr_db
        if not np.isfinite(snr):
            return Decision(applied="none", reasons=["no speech stands out from the background: nothing to clean"])
        measured = f"speech stands {snr:.1f} dB above the background, averaged over bands"
        if snr >= auto.clean_from_db:
            return Decision(applied="none", reasons=[measured, f"clean from {auto.clean_from_db:g} dB: passes untouched"])
        share = float(np.interp(snr, [auto.full_below_db, auto.clean_from_db], [0.0, 1.0]))
        floor = self._config.mss.floor + share * max(auto.gentlest_floor - self._config.mss.floor, 0.0)
        self._chosen = replace(self._config.mss, floor=floor)
        strength = "in full" if share == 0 else f"gently (smallest gain {floor:.2f})"
        reasons = [measured, f"noisy below {auto.clean_from_db:g} dB: the background is subtracted {strength}"]
        return Decision(applied="mss", reasons=reasons, settings=asdict(self._chosen))

    def stream(self, blocks: Iterable[FloatArray]) -> Iterator[FloatArray]:
        """See ``Denoiser.stream``."""
        if self._chosen is None:
            yield from blocks
        else:
            yield from MultiScaleSpectralSubtraction(self._chosen).stream(blocks)

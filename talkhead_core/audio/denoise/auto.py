"""The denoiser ``auto``: spectral subtraction where it helps, nothing where the speech is clean.

Subtraction takes something of the speech with the noise: clean recordings lose 0.1 to 0.8 PESQ by it, noisy ones gain
(``docs/denoising.md``). What decides is the signal-to-noise ratio averaged over bands, because a hiss that is 30 dB under the
vowels is above the fricatives. Where the network of DNSMOS is there it is asked as well: it lets speech pass that sounds clean at a
low ratio, and it takes subtraction back that would make the whole sound worse.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from talkhead_core.audio.denoise.denoiser import Decision, DenoiseConfig, ReadBlocks
from talkhead_core.audio.denoise.spectral_subtraction import MssConfig, MultiScaleSpectralSubtraction
from talkhead_core.audio.dnsmos import Dnsmos, SpeechRating, dnsmos_file
from talkhead_core.audio.voice_activity import SpeechLevels
from talkhead_core.media.audio_file import SPEECH_SAMPLE_RATE_HZ
from talkhead_core.types import FloatArray

__all__ = ["Auto"]

_EXCERPT_SAMPLES = 30 * SPEECH_SAMPLE_RATE_HZ


class Auto:
    """Decides whether to denoise, and how strongly, from the recording's levels."""

    def __init__(self, config: DenoiseConfig) -> None:
        self._config = config
        self._chosen: MssConfig | None = None

    def prepare(self, levels: SpeechLevels, read: ReadBlocks) -> Decision:
        """See ``Denoiser.prepare``."""
        auto, snr = self._config.auto, levels.band_snr_db
        if not np.isfinite(snr):
            return Decision(applied="none", reasons=["no speech stands out from the background: nothing to clean"])
        measured = f"speech stands {snr:.1f} dB above the background, averaged over bands"
        if snr >= auto.clean_from_db:
            return Decision(applied="none", reasons=[measured, f"clean from {auto.clean_from_db:g} dB: passes untouched"])
        share = float(np.interp(snr, [auto.full_below_db, auto.clean_from_db], [0.0, 1.0]))
        gentlest = max(auto.gentlest_floor, self._config.mss.floor)
        floor = self._config.mss.floor + share * (gentlest - self._config.mss.floor)
        reasons = [measured, f"noisy below {auto.clean_from_db:g} dB"]
        rater = self._rater()
        if rater is None:
            return self._subtract(floor, reasons, {})
        return self._weighed(floor, gentlest, reasons, rater, _excerpt(read()))

    def _weighed(self, floor: float, gentlest: float, reasons: list[str], rater: Dnsmos, excerpt: FloatArray) -> Decision:
        """The decision when DNSMOS has heard the recording, and what would be made of it."""
        auto = self._config.auto
        ratings = {"untouched": rater.rate(excerpt)}
        before = ratings["untouched"]
        if before.background >= auto.clean_background:
            heard = f"DNSMOS rates the background {before.background:.2f} of 5, clean from {auto.clean_background:g}: passes untouched"
            return Decision(applied="none", reasons=[*reasons, heard], ratings=ratings)
        for smallest_gain in dict.fromkeys((floor, gentlest)):
            subtraction = MultiScaleSpectralSubtraction(replace(self._config.mss, floor=smallest_gain))
            rating = rater.rate(np.concatenate([np.zeros(0, np.float32), *subtraction.stream([excerpt])]))
            ratings[f"smallest gain {smallest_gain:.2f}"] = rating
            heard = f"DNSMOS rates the whole {before.overall:.2f} before and {rating.overall:.2f} after"
            if rating.overall >= before.overall - auto.worse_by:
                return self._subtract(smallest_gain, [*reasons, heard], ratings)
            reasons.append(f"{heard} subtraction down to {smallest_gain:.2f}, which is worse")
        reasons.append("nothing that could be subtracted makes it better: passes untouched")
        return Decision(applied="none", reasons=reasons, ratings=ratings)

    def _subtract(self, floor: float, reasons: list[str], ratings: dict[str, SpeechRating]) -> Decision:
        self._chosen = replace(self._config.mss, floor=floor)
        strength = "in full" if floor <= self._config.mss.floor else f"gently (smallest gain {floor:.2f})"
        reasons = [*reasons, f"the background is subtracted {strength}"]
        return Decision(applied="mss", reasons=reasons, settings=asdict(self._chosen), ratings=ratings)

    def _rater(self) -> Dnsmos | None:
        path = self._config.auto.dnsmos
        return Dnsmos(Path(path)) if path and dnsmos_file(Path(path)).is_file() else None

    def stream(self, blocks: Iterable[FloatArray]) -> Iterator[FloatArray]:
        """See ``Denoiser.stream``."""
        if self._chosen is None:
            yield from blocks
        else:
            yield from MultiScaleSpectralSubtraction(self._chosen).stream(blocks)


def _excerpt(blocks: Iterable[FloatArray]) -> FloatArray:
    """The first seconds of a recording, which are rated for all of it."""
    held = np.zeros(0, dtype=np.float32)
    for block in blocks:
        held = np.concatenate([held, np.asarray(block, dtype=np.float32)])
        if len(held) >= _EXCERPT_SAMPLES:
            break
    return held[:_EXCERPT_SAMPLES]

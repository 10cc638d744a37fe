"""Noisy speech made while training: clean recordings, recorded noise, and what differs between one room and microphone and the next."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import scipy.signal

from talkhead_core.media.audio_file import SPEECH_SAMPLE_RATE_HZ
from talkhead_core.parameters import require
from talkhead_core.training.sound_library import Sound, SoundLibrary
from talkhead_core.types import FloatArray

__all__ = ["MixtureConfig", "NoisyMixtures", "ValidationPair", "mixed", "validation_pairs"]

_MOST_DRAWS = 4
_QUIET_SHARE = 0.25
_CURVE_POINTS = 6
_LOWEST_HZ = 50.0


@dataclass(frozen=True, kw_only=True)
class MixtureConfig:
    """What noisy speech is made of.

    Args:
        segment_s: length of an example.
        snr_db: lowest and highest ratio of mean powers of speech and noise, uniform between.
        level_dbfs: lowest and highest RMS level of the mixture; what then exceeds full scale is clipped, as a recorder does. The level
            itself is divided out before the network, in training as in running.
        speeds: factors by which the speech may be played faster, pitch included.
        colour_db: largest boost or cut of a smooth random equaliser, one over the speech (and its target) and another over the noise.
        drift_db: how far the noise's level may wander from one end of a segment to the other, in either direction.
        second_noise: share of the examples with another noise on top, up to 10 dB weaker.
        clean: share of the examples without any noise: what is clean must pass.
    """

    segment_s: float = 2.0
    snr_db: tuple[float, float] = (-5.0, 20.0)
    level_dbfs: tuple[float, float] = (-40.0, -12.0)
    speeds: tuple[float, ...] = (0.9, 1.0, 1.1)
    colour_db: float = 6.0
    drift_db: float = 6.0
    second_noise: float = 0.3
    clean: float = 0.05

    def __post_init__(self) -> None:
        require(0.5 <= self.segment_s <= 30, f"segment_s must be 0.5 to 30, not {self.segment_s}")
        for name in ("snr_db", "level_dbfs"):
            low, high = getattr(self, name)
            require(low <= high, f"{name} must be lowest and highest, not {low} and {high}")
        require(self.level_dbfs[1] <= 0, f"level_dbfs must not exceed 0, not {self.level_dbfs[1]}")
        require(len(self.speeds) >= 1 and all(0.5 <= speed <= 2 for speed in self.speeds), "speeds must be some of 0.5 to 2")
        require(min(self.colour_db, self.drift_db) >= 0, "colour_db and drift_db must not be negative")
        require(all(0 <= share <= 1 for share in (self.second_noise, self.clean)), "second_noise and clean must lie in [0, 1]")


@dataclass(frozen=True, kw_only=True, eq=False)
class ValidationPair:
    """Speech kept aside, and the same with noise kept aside.

    Args:
        name: the speech, the noise and the ratio.
        clean: mono ``[samples]`` at 16 kHz.
        noisy: the same length.
    """

    name: str
    clean: FloatArray
    noisy: FloatArray


class NoisyMixtures:
    """Examples to learn from; those of a step depend on the seed and the step alone, so that training can be taken up anywhere.

    Args:
        speech: clean.
        noise: what is laid over it.
        config: how.
        seed: of all draws.
    """

    def __init__(self, speech: SoundLibrary, noise: SoundLibrary, config: MixtureConfig, seed: int) -> None:
        self._config, self._seed = config, seed
        self._samples = round(config.segment_s * SPEECH_SAMPLE_RATE_HZ)
        self._speech, self._noise = _Pieces(speech, self._samples), _Pieces(noise, self._samples)

    def draw(self, step: int, count: int) -> tuple[FloatArray, FloatArray]:
        """``count`` clean examples ``[count, samples]`` float32, and the same with noise."""
        generator = np.random.default_rng([self._seed, step])
        pairs = [self._example(generator) for _ in range(count)]
        clean, noisy = (np.stack(part).astype(np.float32) for part in zip(*pairs, strict=True))
        return clean, noisy

    def _example(self, generator: np.random.Generator) -> tuple[FloatArray, FloatArray]:
        config = self._config
        clean = _coloured(self._spoken(generator), config.colour_db, generator)
        noisy = clean
        if generator.random() >= config.clean:
            noise = _coloured(self._background(generator), config.colour_db, generator)
            noisy = mixed(clean, noise, float(generator.uniform(*config.snr_db)))
        gain = 10 ** (generator.uniform(*config.level_dbfs) / 20) / max(_rms(noisy), 1e-9)
        return gain * clean, np.clip(gain * noisy, -1.0, 1.0)

    def _spoken(self, generator: np.random.Generator) -> FloatArray:
        """A segment of speech in which somebody speaks; a recording that is shorter lies somewhere in silence."""
        speed = Fraction(float(generator.choice(self._config.speeds))).limit_denominator(20)
        wanted = -(-self._samples * speed.numerator // speed.denominator)
        for _ in range(_MOST_DRAWS):
            sound, piece = self._speech.draw(wanted, generator)
            if _rms(piece) >= _QUIET_SHARE * sound.rms:
                break
        if speed != 1:
            piece = scipy.signal.resample_poly(piece, speed.denominator, speed.numerator)
        piece = piece[: self._samples]
        before = int(generator.integers(0, self._samples - len(piece) + 1))
        return np.pad(piece, (before, self._samples - len(piece) - before))

    def _background(self, generator: np.random.Generator) -> FloatArray:
        config = self._config
        noise = self._one_noise(generator)
        if generator.random() < config.second_noise:
            noise = mixed(noise, self._one_noise(generator), float(generator.uniform(0.0, 10.0)))
        first_db, last_db = generator.uniform(-config.drift_db / 2, config.drift_db / 2, 2)
        return noise * 10 ** (np.linspace(first_db, last_db, len(noise)) / 20)

    def _one_noise(self, generator: np.random.Generator) -> FloatArray:
        """A segment of noise; a recording that is shorter is repeated."""
        _, piece = self._noise.draw(self._samples, generator)
        return np.resize(piece, self._samples)


def mixed(speech: FloatArray, noise: FloatArray, snr_db: float) -> FloatArray:
    """``speech`` with ``noise`` of the same length at a ratio of mean powers; unchanged where either is silent."""
    level = _rms(noise)
    return speech + noise * (_rms(speech) / level * 10 ** (-snr_db / 20)) if level > 1e-9 else speech


def validation_pairs(
    speech: SoundLibrary, noise: SoundLibrary, *, count: int, longest_s: float, ratios_db: tuple[float, ...], seed: int
) -> Iterator[ValidationPair]:
    """Speech kept aside, each with one noise kept aside, at the ratios in turn.

    Args:
        speech: kept aside.
        noise: kept aside.
        count: how many at most.
        longest_s: longer recordings are cut to this at a random place.
        ratios_db: taken in turn.
        seed: of the places and the noises.
    """
    generator = np.random.default_rng([seed, len(speech.sounds), len(noise.sounds)])
    longest = round(longest_s * SPEECH_SAMPLE_RATE_HZ)
    for number, chosen in enumerate(generator.permutation(len(speech.sounds))[:count]):
        sound = speech.sounds[chosen]
        start = int(generator.integers(0, max(sound.samples - longest, 0) + 1))
        clean = speech.excerpt(sound, start, longest)
        background = noise.sounds[number % len(noise.sounds)]
        offset = int(generator.integers(0, max(background.samples - len(clean), 0) + 1))
        laid = np.resize(noise.excerpt(background, offset, len(clean)), len(clean))
        ratio = ratios_db[number % len(ratios_db)]
        noisy = mixed(clean, laid, ratio)
        scale = np.float32(min(1.0, 0.99 / max(float(np.abs(noisy).max()), 1e-9)))
        name = f"{sound.name} + {background.name} at {ratio:g} dB"
        yield ValidationPair(name=name, clean=scale * clean, noisy=np.asarray(scale * noisy, dtype=np.float32))


class _Pieces:
    """Random pieces of a library; a recording is the likelier the more pieces of ``usual`` samples it holds."""

    def __init__(self, library: SoundLibrary, usual: int) -> None:
        self._library = library
        lengths = np.maximum([sound.samples for sound in library.sounds], usual).astype(np.float64)
        self._share = np.cumsum(lengths) / lengths.sum()

    def draw(self, samples: int, generator: np.random.Generator) -> tuple[Sound, FloatArray]:
        """A recording, and ``samples`` of it, or all of one that is shorter."""
        sound = self._library.sounds[int(np.searchsorted(self._share, generator.random(), side="right"))]
        start = int(generator.integers(0, max(sound.samples - samples, 0) + 1))
        return sound, self._library.excerpt(sound, start, samples)


def _coloured(audio: FloatArray, most_db: float, generator: np.random.Generator) -> FloatArray:
    """Through an equaliser that is smooth over the logarithm of frequency."""
    if most_db == 0:
        return audio
    frequency = np.fft.rfftfreq(len(audio), 1 / SPEECH_SAMPLE_RATE_HZ)
    points = np.geomspace(_LOWEST_HZ, SPEECH_SAMPLE_RATE_HZ / 2, _CURVE_POINTS)
    curve_db = np.interp(np.log(np.maximum(frequency, _LOWEST_HZ)), np.log(points), generator.uniform(-most_db, most_db, _CURVE_POINTS))
    return np.fft.irfft(np.fft.rfft(audio) * 10 ** (curve_db / 20), len(audio))


def _rms(audio: FloatArray) -> float:
    return float(np.sqrt(np.mean(np.square(audio, dtype=np.float64))))

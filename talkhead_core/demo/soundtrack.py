"""What the demo speaker says: sentences with pauses between them, in a room with a hum and a hiss."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.signal import resample_poly

from talkhead_core.demo.espeak import Phoneme, Speech, speak
from talkhead_core.types import FloatArray

__all__ = ["DUB_SENTENCES", "SENTENCES", "Soundtrack", "noise_like_a_room", "soundtrack"]

# Together they hold every English sound, most of them with several neighbours.
SENTENCES = (
    "Maybe my brother was above the bay, watching five people put up a beautiful boat.",
    "We choose to show you how a picture and a voice may move together.",
    "Please keep both hands off the table, and breathe in before you begin.",
    "The quick brown fox jumped over a lazy dog, while the judge thought about measure and pleasure.",
    "Every morning my mother would wash four apples, a pear, and some very good plums.",
    "Who knew that the old moon could pull such a huge wave up the beach?",
    "Bob and Pam speak of music, weather, and the price of fish.",
    "Thank you for listening, and have a wonderful evening.",
)
DUB_SENTENCES = (
    "Hello! I am a photograph that has learned to speak.",
    "These words were never part of my video.",
)
_FIRST_WORD_S, _PAUSE_S, _LAST_SILENCE_S = 0.6, 0.36, 0.25


@dataclass(frozen=True, kw_only=True)
class Soundtrack:
    """Speech of a given length.

    Args:
        clean: mono ``[samples]`` float32.
        sample_rate_hz: of ``clean``.
        phonemes: of the whole track, in order of time.
        text: what is said.
    """

    clean: FloatArray
    sample_rate_hz: int
    phonemes: tuple[Phoneme, ...]
    text: str


def soundtrack(sentences: Sequence[str], *, duration_s: float | None, sample_rate_hz: int, voice: str, words_per_minute: int) -> Soundtrack:
    """Say as many of the sentences as fit.

    Args:
        sentences: repeated from the start when they are too few.
        duration_s: length of the result; ``None`` for each sentence once, in the time it takes.
        sample_rate_hz: of the result.
        voice: see :func:`talkhead_core.demo.espeak.speak`.
        words_per_minute: likewise.
    """
    limit_s = np.inf if duration_s is None else duration_s - _LAST_SILENCE_S
    placed: list[tuple[float, Speech]] = []
    said: list[str] = []
    at_s = _FIRST_WORD_S
    for sentence in sentences if duration_s is None else _repeated(sentences):
        fitting = _fitting(sentence, limit_s - at_s, voice, words_per_minute)
        if fitting is None:
            break
        text, speech = fitting
        placed.append((at_s, speech))
        said.append(text)
        at_s += speech.duration_s + _PAUSE_S
        if text != sentence:
            break
    length_s = at_s + _LAST_SILENCE_S if duration_s is None else duration_s
    clean = np.zeros(round(length_s * sample_rate_hz), np.float32)
    phonemes: list[Phoneme] = []
    for start_s, speech in placed:
        factor = int(np.gcd(sample_rate_hz, speech.sample_rate_hz))
        audio = resample_poly(speech.audio, sample_rate_hz // factor, speech.sample_rate_hz // factor).astype(np.float32)
        first = round(start_s * sample_rate_hz)
        audio = audio[: len(clean) - first]
        clean[first : first + len(audio)] += audio
        phonemes += [Phoneme(start_s=p.start_s + start_s, end_s=p.end_s + start_s, symbol=p.symbol) for p in speech.phonemes]
    peak = float(np.abs(clean).max(initial=1e-9))
    clean *= 0.55 / peak
    return Soundtrack(clean=clean, sample_rate_hz=sample_rate_hz, phonemes=tuple(phonemes), text=" ".join(said))


def _repeated(sentences: Sequence[str]) -> Iterator[str]:
    while True:
        yield from sentences


def _fitting(sentence: str, room_s: float, voice: str, words_per_minute: int) -> tuple[str, Speech] | None:
    """The sentence, or its longest beginning of at least two words, that can be said in ``room_s``."""
    words = sentence.split()
    # Two words take most of a second; do not try what cannot fit.
    while len(words) >= 2 and room_s > 0.7:
        text = " ".join(words)
        speech = speak(text, voice, words_per_minute)
        if speech.duration_s <= room_s:
            return text, speech
        words = words[: min(len(words) - 1, max(2, int(len(words) * room_s / speech.duration_s)))]
    return None


def noise_like_a_room(samples: int, sample_rate_hz: int, seed: int) -> FloatArray:
    """Pink hiss, a mains hum with its harmonics and a slowly breathing fan; unit root mean square."""
    rng = np.random.default_rng([seed, 3])
    spectrum = rng.normal(size=(samples // 2 + 1, 2)) @ (1.0, 1.0j)
    rates_hz = np.fft.rfftfreq(samples, 1 / sample_rate_hz)
    spectrum *= 1 / np.sqrt(np.maximum(rates_hz, 40.0)) * (rates_hz < 0.45 * sample_rate_hz)
    hiss = np.fft.irfft(spectrum, samples)
    times_s = np.arange(samples) / sample_rate_hz
    hum = sum(amount * np.sin(2 * np.pi * 50 * n * times_s + n) for n, amount in ((1, 1.0), (2, 0.6), (3, 0.35), (5, 0.2)))
    fan = 1 + 0.12 * np.sin(2 * np.pi * 0.23 * times_s)
    noise = hiss / hiss.std() * fan + 0.6 * hum / np.std(hum)
    return np.asarray(noise / noise.std(), np.float32)

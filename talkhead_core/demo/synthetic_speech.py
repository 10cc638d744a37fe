"""Hours of speech whose sounds and mouth shapes are known: espeak-ng in many voices, languages and rooms.

For training what must know speech in general and may not come from recordings of people.
"""

from __future__ import annotations

import pydoc_data.topics
import re
from collections.abc import Iterator
from dataclasses import astuple
from fractions import Fraction
from functools import cache

import numpy as np
import scipy.signal

from talkhead_core.audio.features.log_mel import LogMel
from talkhead_core.demo.espeak import Phoneme, Speech, speak
from talkhead_core.demo.visemes import mouth_track
from talkhead_core.errors import ParameterError
from talkhead_core.media.audio_file import SPEECH_SAMPLE_RATE_HZ
from talkhead_core.training.phonetic_training import Utterance
from talkhead_core.types import FloatArray

__all__ = ["PHONEMES", "random_speech", "utterances"]

_LANGUAGES = ("en-us", "en-gb", "en-us", "en-gb-scotland", "es", "de", "fr-fr", "it", "pt", "nl", "sv", "pl")
_VARIANTS = ("", "+f1", "+f2", "+f3", "+f4", "+f5", "+m1", "+m2", "+m3", "+m4", "+m5", "+m6", "+m7", "+m8")
_SPEECH_DBFS = -26.0
_COLUMNS_PER_SECOND = LogMel.columns_per_second

PHONEMES = ("", *"tsnikleɛaprdɪəmoŋfuɔɾbzvɑɹʃjɨɡwɐʊhɜæʌᵻðyɚɵʒʉβθxɒ")
"""Classes of sounds, by the first sign of their IPA symbol; ``""`` is a pause, and whatever is not here is one more class."""

_STRESS = re.compile("[ˈˌː.ʲ̩]")


def utterances(count: int, seed: int = 0) -> Iterator[Utterance]:
    """Yield ``count`` utterances of five to fifteen seconds, with indices into ``PHONEMES``; the same arguments give the same ones.

    Raises:
        NotAvailableError: espeak-ng is not here.
    """
    made, attempt = 0, 0
    while made < count:
        generator = np.random.default_rng([seed, attempt])
        attempt += 1
        speech = random_speech(generator)
        if speech is None:
            continue
        audio = scipy.signal.resample_poly(speech.audio, SPEECH_SAMPLE_RATE_HZ, speech.sample_rate_hz).astype(np.float32)
        columns = len(audio) * _COLUMNS_PER_SECOND // SPEECH_SAMPLE_RATE_HZ
        shapes = mouth_track(speech.phonemes, columns, float(_COLUMNS_PER_SECOND)).shapes
        yield Utterance(
            columns=_columns(_recorded(audio, generator), columns),
            phoneme=_phoneme_classes(speech.phonemes, columns),
            mouth=np.array([astuple(shape) for shape in shapes], dtype=np.float32),
        )
        made += 1


def random_speech(generator: np.random.Generator) -> Speech | None:
    """Five to fifteen seconds of random words in a random voice; None where espeak-ng does not have the voice that was drawn.

    Raises:
        NotAvailableError: espeak-ng is not here.
    """
    voice = str(generator.choice(_LANGUAGES)) + str(generator.choice(_VARIANTS))
    text = ". ".join(" ".join(generator.choice(_words(), generator.integers(5, 9))) for _ in range(2)) + "."
    try:
        return speak(text, voice=voice, words_per_minute=int(generator.integers(120, 230)))
    except ParameterError:  # not every language has every variant
        return None


@cache
def _words() -> tuple[str, ...]:
    """Words of Python's own manual, which every installation has; what they mean does not matter, nor how they are spelt abroad."""
    text = " ".join(pydoc_data.topics.topics.values())
    return tuple(sorted({word.lower() for word in re.findall(r"[A-Za-z]{2,}", text)}))


def _recorded(audio: FloatArray, generator: np.random.Generator) -> FloatArray:
    """As a microphone in a room hears it: some reverberation, some coloured noise, 10 to 45 dB under the speech."""
    level = 10 ** (_SPEECH_DBFS / 20)
    speech = audio * level / max(float(np.sqrt(np.mean(audio**2))), 1e-6)
    late = np.arange(1520)
    response = np.zeros(1600)
    response[0] = 1.0
    response[80:] += generator.standard_normal(1520) * np.exp(-late / 400.0) * 0.08 * generator.uniform(0.0, 0.3)
    noise = scipy.signal.lfilter([1.0], [1.0, -generator.uniform(0.0, 0.95)], generator.standard_normal(len(audio)))
    noise *= level * 10 ** (-generator.uniform(10.0, 45.0) / 20) / noise.std()
    return np.asarray(scipy.signal.fftconvolve(speech, response)[: len(audio)] + noise, dtype=np.float32)


def _columns(audio: FloatArray, columns: int) -> FloatArray:
    return LogMel(window=1).extract(audio, Fraction(_COLUMNS_PER_SECOND), columns)[:, 0]


def _phoneme_classes(phonemes: tuple[Phoneme, ...], columns: int) -> np.ndarray:
    classes = np.zeros(columns, dtype=np.int64)
    for phoneme in phonemes:
        symbol = "" if phoneme.symbol.startswith("(") else _STRESS.sub("", phoneme.symbol)[:1]  # "(en)" announces another language
        index = PHONEMES.index(symbol) if symbol in PHONEMES else len(PHONEMES)
        classes[round(phoneme.start_s * _COLUMNS_PER_SECOND) : round(phoneme.end_s * _COLUMNS_PER_SECOND)] = index
    return classes

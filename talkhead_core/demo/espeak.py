"""Speech with exact phoneme times from espeak-ng, whose library and data come inside the wheel ``espeakng-loader``."""

from __future__ import annotations

import ctypes
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from talkhead_core.errors import NotAvailableError, ParameterError
from talkhead_core.types import FloatArray

__all__ = ["Phoneme", "Speech", "speak"]

# From espeak-ng's speak_lib.h.
_AUDIO_OUTPUT_SYNCHRONOUS = 2
_INITIALIZE_PHONEME_EVENTS, _INITIALIZE_PHONEME_IPA, _INITIALIZE_DONT_EXIT = 0x1, 0x2, 0x8000
_PARAMETER_RATE = 1
_CHARS_UTF8 = 1
_EVENT_LIST_TERMINATED, _EVENT_PHONEME = 0, 7


@dataclass(frozen=True, kw_only=True)
class Phoneme:
    """One sound of an utterance.

    Args:
        start_s: when it begins.
        end_s: when it ends, which is when the next one begins.
        symbol: IPA with stress marks, such as ``"ˈæ"``; empty for a pause.
    """

    start_s: float
    end_s: float
    symbol: str


@dataclass(frozen=True, kw_only=True)
class Speech:
    """An utterance and what is said when.

    Args:
        audio: mono ``[samples]`` float32 in [-1, 1].
        sample_rate_hz: of ``audio``.
        phonemes: in order of time, without gaps from the first sound on.
    """

    audio: FloatArray
    sample_rate_hz: int
    phonemes: tuple[Phoneme, ...]

    @property
    def duration_s(self) -> float:
        """Length of ``audio``."""
        return len(self.audio) / self.sample_rate_hz


class _EventId(ctypes.Union):
    _fields_ = [("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8)]


class _Event(ctypes.Structure):
    _fields_ = [
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _EventId),
    ]


_SYNTH_CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event))


def speak(text: str, voice: str = "en-us+f3", words_per_minute: int = 165) -> Speech:
    """Say ``text``; the same arguments give the same samples.

    Args:
        text: what to say.
        voice: an espeak-ng voice, with ``+variant`` where wanted.
        words_per_minute: 80 to 450.

    Raises:
        ParameterError: espeak-ng has no such voice, or the text holds nothing to say.
        NotAvailableError: the wheel ``espeakng-loader`` is not installed or does not work here.
    """
    try:
        import espeakng_loader

        library_path, data_path = Path(espeakng_loader.get_library_path()), str(espeakng_loader.get_data_path())
    except (ImportError, OSError) as error:
        raise NotAvailableError(f"espeak-ng cannot be loaded ({error}); run 'pip install espeakng-loader'") from error
    with tempfile.TemporaryDirectory(prefix="talkhead-espeak-") as folder:
        # espeak-ng keeps state between utterances that neither its seed nor its termination resets;
        # a private copy of the library starts every utterance from the same state.
        private = Path(folder) / library_path.name
        shutil.copyfile(library_path, private)
        library = ctypes.CDLL(str(private))
        return _synthesised(library, data_path, text, voice, words_per_minute)


def _synthesised(library: ctypes.CDLL, data_path: str, text: str, voice: str, words_per_minute: int) -> Speech:
    options = _INITIALIZE_PHONEME_EVENTS | _INITIALIZE_PHONEME_IPA | _INITIALIZE_DONT_EXIT
    sample_rate_hz = library.espeak_Initialize(_AUDIO_OUTPUT_SYNCHRONOUS, 0, data_path.encode(), options)
    if sample_rate_hz <= 0:
        raise NotAvailableError(f"espeak-ng does not find its data in {data_path}; run 'pip install --force-reinstall espeakng-loader'")
    try:
        if library.espeak_SetVoiceByName(voice.encode()) != 0:
            raise ParameterError(f"espeak-ng has no voice {voice!r}; try 'en-us+f3'")
        library.espeak_SetParameter(_PARAMETER_RATE, words_per_minute, 0)
        library.espeak_ng_SetRandSeed(ctypes.c_long(1))
        chunks: list[np.ndarray] = []
        events: list[tuple[int, str]] = []

        def receive(samples: ctypes.Array[ctypes.c_short], count: int, event: ctypes.Array[_Event]) -> int:
            if count > 0:
                chunks.append(np.ctypeslib.as_array(samples, (count,)).copy())
            index = 0
            while event[index].type != _EVENT_LIST_TERMINATED:
                if event[index].type == _EVENT_PHONEME:
                    events.append((event[index].sample, event[index].id.string.decode("utf-8", "replace")))
                index += 1
            return 0

        callback = _SYNTH_CALLBACK(receive)
        library.espeak_SetSynthCallback(callback)
        encoded = text.encode() + b"\0"
        library.espeak_Synth(encoded, ctypes.c_size_t(len(encoded)), 0, 0, 0, _CHARS_UTF8, None, None)
        library.espeak_Synchronize()
    finally:
        library.espeak_Terminate()
    if not chunks or not any(symbol for _, symbol in events):
        raise ParameterError(f"espeak-ng finds nothing to say in {text!r}")
    audio = np.concatenate(chunks).astype(np.float32) / 32768.0
    return Speech(audio=audio, sample_rate_hz=sample_rate_hz, phonemes=_phonemes(events, len(audio), sample_rate_hz))


def _phonemes(events: list[tuple[int, str]], samples: int, sample_rate_hz: int) -> tuple[Phoneme, ...]:
    """Events, which only say where a sound begins, as intervals; pauses in a row become one."""
    starts: list[tuple[int, str]] = []
    for start, symbol in events:
        if not symbol and starts and not starts[-1][1]:
            continue
        starts.append((start, symbol))
    ends = [start for start, _ in starts[1:]] + [samples]
    return tuple(
        Phoneme(start_s=start / sample_rate_hz, end_s=end / sample_rate_hz, symbol=symbol)
        for (start, symbol), end in zip(starts, ends, strict=True)
        if end > start
    )

"""A 16-bit mono WAV read and written block by block, without a change to samples that nobody changed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import soundfile

from talkhead_core.artifacts import whole_file
from talkhead_core.errors import FootageError
from talkhead_core.media.audio_file import SPEECH_SAMPLE_RATE_HZ
from talkhead_core.types import FloatArray

__all__ = ["read_wav_blocks", "wav_samples", "write_wav_blocks"]

_BLOCK = 10 * SPEECH_SAMPLE_RATE_HZ
_FULL_SCALE = 32768


def wav_samples(path: str | Path) -> int:
    """Samples in a WAV that a stage wrote.

    Raises:
        FootageError: not a mono sound file at 16 kHz.
    """
    try:
        info = soundfile.info(str(path))
    except soundfile.LibsndfileError as error:
        raise FootageError(path, f"cannot be read as sound ({error})", "rerun the stage that writes it") from error
    if info.samplerate != SPEECH_SAMPLE_RATE_HZ or info.channels != 1:
        raise FootageError(path, f"is {info.samplerate} Hz with {info.channels} channels, not 16 kHz mono", "rerun extract_audio")
    return int(info.frames)


def read_wav_blocks(path: str | Path) -> Iterator[FloatArray]:
    """Yield float32 ``[<= 10 s]`` in [-1, 1]."""
    wav_samples(path)
    yield from soundfile.blocks(str(path), blocksize=_BLOCK, dtype="float32")


def write_wav_blocks(path: str | Path, blocks: Iterable[FloatArray]) -> None:
    """Write mono float blocks as a 16-bit WAV, whole; values beyond [-1, 1] are clipped."""
    with whole_file(path) as temporary:
        file = soundfile.SoundFile(temporary, "w", SPEECH_SAMPLE_RATE_HZ, 1, subtype="PCM_16", format="WAV")
        with file:
            for block in blocks:
                # integers, because libsndfile scales floats by 32767 on writing and by 32768 on reading
                scaled = np.rint(np.asarray(block, dtype=np.float64) * _FULL_SCALE)
                file.write(np.clip(scaled, -_FULL_SCALE, _FULL_SCALE - 1).astype(np.int16))

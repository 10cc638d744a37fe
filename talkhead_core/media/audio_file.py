"""Reading and writing of sound files."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import soundfile

from talkhead_core.artifacts import whole_file
from talkhead_core.errors import FootageError
from talkhead_core.types import FloatArray

__all__ = ["SPEECH_SAMPLE_RATE_HZ", "read_audio", "write_audio"]

SPEECH_SAMPLE_RATE_HZ = 16_000
"""The rate of every speech feature and denoiser in the field."""


def read_audio(path: str | Path, sample_rate_hz: int = SPEECH_SAMPLE_RATE_HZ) -> FloatArray:
    """Any sound or video file as mono float32 ``[samples]`` in [-1, 1] at ``sample_rate_hz``.

    Raises:
        FootageError: no audio in the file, or it cannot be decoded.
    """
    advice = "give a sound file such as .wav, .flac or .mp3"
    try:
        with av.open(str(path)) as container:
            if not container.streams.audio:
                raise FootageError(path, "holds no audio", advice)
            resampler = av.AudioResampler(format="flt", layout="mono", rate=sample_rate_hz)
            chunks = [
                part.to_ndarray()[0]
                for frame in container.decode(audio=0)
                for part in resampler.resample(frame)
            ]
            chunks += [part.to_ndarray()[0] for part in resampler.resample(None)]
    except (av.FFmpegError, OSError) as error:
        raise FootageError(path, f"cannot be read as sound ({error})", advice) from error
    if not chunks:
        raise FootageError(path, "holds an audio track without samples", advice)
    audio = np.concatenate(chunks).astype(np.float32)
    if not np.isfinite(audio).all():
        second = float(np.flatnonzero(~np.isfinite(audio))[0]) / sample_rate_hz
        raise FootageError(path, "holds samples that are not numbers", "export the sound again", f"{second:.2f} s")
    return audio


def write_audio(path: str | Path, audio: FloatArray, sample_rate_hz: int = SPEECH_SAMPLE_RATE_HZ) -> None:
    """Write mono float ``[samples]`` as a 16-bit WAV, whole; values beyond [-1, 1] are clipped."""
    with whole_file(path) as temporary:
        soundfile.write(temporary, np.clip(audio, -1.0, 1.0), sample_rate_hz, subtype="PCM_16", format="WAV")

"""Reading and writing of sound files, and of the sound of a video on the video's own clock."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import soundfile

from talkhead_core.artifacts import whole_file
from talkhead_core.errors import FootageError
from talkhead_core.media.container import audio_stream, open_container
from talkhead_core.types import FloatArray

__all__ = ["SPEECH_SAMPLE_RATE_HZ", "read_audio", "read_audio_span", "write_audio"]

SPEECH_SAMPLE_RATE_HZ = 16_000
"""The rate of every speech feature and denoiser in the field."""

_ADVICE = "give a sound file such as .wav, .flac or .mp3"
_CLOCK_SLACK_S = 0.03  # containers round an audio frame's time; a real gap is longer
_DOWNMIX = {"FC": 1.0, "FL": 0.71, "FR": 0.71, "LFE": 0.0, "LFE2": 0.0}  # ITU-R BS.775, the bass channel left out
_DOWNMIX_SURROUND = 0.5


def read_audio(path: str | Path, sample_rate_hz: int = SPEECH_SAMPLE_RATE_HZ) -> FloatArray:
    """Any sound or video file as mono float32 ``[samples]`` in [-1, 1] at ``sample_rate_hz``; sample 0 is the track's first.

    Raises:
        FootageError: no audio in the file, or it cannot be decoded.
    """
    chunks = [chunk for _, chunk in _mono_chunks(path, sample_rate_hz)]
    if not chunks:
        raise FootageError(path, "holds an audio track without samples", _ADVICE)
    audio = np.concatenate(chunks)
    _check_numbers(path, audio, sample_rate_hz)
    return audio


def read_audio_span(path: str | Path, start_s: float, duration_s: float, sample_rate_hz: int = SPEECH_SAMPLE_RATE_HZ) -> FloatArray:
    """The sound from ``start_s`` on the file's clock, mono float32, exactly ``round(duration_s * sample_rate_hz)`` samples.

    The file's timestamps decide: a track that starts late, early (negative times, edit lists) or has gaps keeps its place
    beside the picture; where there is no sound there is silence.

    Raises:
        FootageError: no audio in the file, or it cannot be decoded.
    """
    audio = np.zeros(round(duration_s * sample_rate_hz), np.float32)
    slack = round(_CLOCK_SLACK_S * sample_rate_hz)
    next_sample: int | None = None
    for time_s, chunk in _mono_chunks(path, sample_rate_hz):
        begin = next_sample
        if time_s is not None:
            told = round((time_s - start_s) * sample_rate_hz)
            begin = told if begin is None or abs(told - begin) > slack else begin
        begin = begin or 0
        low, high = max(begin, 0), min(begin + len(chunk), len(audio))
        if low < high:
            audio[low:high] = chunk[low - begin : high - begin]
        next_sample = begin + len(chunk)
        if begin > len(audio) + slack:
            break
    _check_numbers(path, audio, sample_rate_hz)
    return audio


def write_audio(path: str | Path, audio: FloatArray, sample_rate_hz: int = SPEECH_SAMPLE_RATE_HZ) -> None:
    """Write mono float ``[samples]`` as a 16-bit WAV, whole; values beyond [-1, 1] are clipped."""
    with whole_file(path) as temporary:
        soundfile.write(temporary, np.clip(audio, -1.0, 1.0), sample_rate_hz, subtype="PCM_16", format="WAV")


def _mono_chunks(path: str | Path, sample_rate_hz: int) -> Iterator[tuple[float | None, FloatArray]]:
    """Pieces of the first audio track with the time of each piece's first sample in s, where the file tells it."""
    with open_container(path, advice=_ADVICE) as container:
        stream = audio_stream(container)
        if stream is None:
            raise FootageError(path, "holds no audio", _ADVICE)
        resampler: av.AudioResampler | None = None
        clock_s: float | None = None  # of the next sample to come out
        expected_s: float | None = None  # of the next frame to go in
        try:
            for frame in container.decode(stream):
                mono = _mono(frame)
                told_s = None if frame.pts is None or frame.time_base is None else float(frame.pts * frame.time_base)
                jumped = told_s is not None and expected_s is not None and abs(told_s - expected_s) > _CLOCK_SLACK_S
                if resampler is None or jumped:
                    if resampler is not None:
                        for part in resampler.resample(None):
                            yield clock_s, _samples(part)
                            clock_s = _later(clock_s, part.samples, sample_rate_hz)
                    resampler, clock_s, expected_s = _resampler(sample_rate_hz), told_s, told_s
                expected_s = _later(expected_s, frame.samples, frame.sample_rate)
                for part in resampler.resample(mono):
                    yield clock_s, _samples(part)
                    clock_s = _later(clock_s, part.samples, sample_rate_hz)
            if resampler is not None:
                for part in resampler.resample(None):
                    yield clock_s, _samples(part)
                    clock_s = _later(clock_s, part.samples, sample_rate_hz)
        except av.FFmpegError as error:
            reason = error.strerror or str(error)
            raise FootageError(path, f"cannot be read as sound ({reason})", _ADVICE, f"{expected_s or 0.0:.2f} s") from error


def _resampler(sample_rate_hz: int) -> av.AudioResampler:
    return av.AudioResampler(format="fltp", layout="mono", rate=sample_rate_hz)


def _later(clock_s: float | None, samples: int, sample_rate_hz: int) -> float | None:
    return None if clock_s is None else clock_s + samples / sample_rate_hz


def _samples(frame: av.AudioFrame) -> FloatArray:
    return frame.to_ndarray()[0].astype(np.float32)


def _mono(frame: av.AudioFrame) -> av.AudioFrame:
    """The mean of two channels, or the downmix of more, scaled so that it cannot clip."""
    channels = frame.layout.nb_channels
    planar = av.AudioResampler(format="fltp").resample(frame)[0].to_ndarray() if frame.format.name != "fltp" else frame.to_ndarray()
    if channels > 2:
        weights = np.asarray([_DOWNMIX.get(channel.name, _DOWNMIX_SURROUND) for channel in frame.layout.channels], np.float32)
    else:
        weights = np.ones(channels, np.float32)
    mixed = (weights / weights.sum()) @ planar
    mono = av.AudioFrame.from_ndarray(mixed[None].astype(np.float32), format="fltp", layout="mono")
    mono.sample_rate = frame.sample_rate
    return mono


def _check_numbers(path: str | Path, audio: FloatArray, sample_rate_hz: int) -> None:
    if not np.isfinite(audio).all():
        second = float(np.flatnonzero(~np.isfinite(audio))[0]) / sample_rate_hz
        raise FootageError(path, "holds samples that are not numbers", "export the sound again", f"{second:.2f} s")

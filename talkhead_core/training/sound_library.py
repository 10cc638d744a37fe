"""A folder of recordings as training reads it: decoded once, at 16 kHz, on the disk, so that any amount takes constant memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from talkhead_core.artifacts import read_json, whole_file, write_json
from talkhead_core.audio.voice_activity import speech_levels
from talkhead_core.errors import InputError
from talkhead_core.media.audio_file import SPEECH_SAMPLE_RATE_HZ, read_audio
from talkhead_core.progress import Progress, silent, tracked
from talkhead_core.types import FloatArray

__all__ = ["SOUND_SUFFIXES", "Sound", "SoundLibrary", "sound_files"]

SOUND_SUFFIXES = frozenset(
    f".{name}" for name in ("aac", "aif", "aiff", "flac", "m4a", "mkv", "mov", "mp3", "mp4", "ogg", "opus", "wav", "webm", "wma")
)

_SHORTEST_S = 0.5
_SILENT_RMS = 1e-5
_NAMED = 3


@dataclass(frozen=True, kw_only=True)
class Sound:
    """One recording of a library.

    Args:
        name: its path within the folder.
        first: where its samples begin among the library's.
        samples: how many.
        rms: of the whole.
    """

    name: str
    first: int
    samples: int
    rms: float


def sound_files(folder: Path, kind: str) -> dict[str, int]:
    """The sound and video files in ``folder`` and the folders in it: path within it -> size in bytes.

    Args:
        folder: where.
        kind: what it should hold, for the error message, such as ``"speech"``.

    Raises:
        InputError: no such folder, or fewer than two files, one to learn from and one to judge by.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: {'is not a folder' if folder.exists() else 'does not exist'}; give a folder of {kind}")
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SOUND_SUFFIXES and path.is_file())
    if len(paths) < 2:
        found = f"holds only {paths[0].name}" if paths else f"holds no sound files ({', '.join(sorted(SOUND_SUFFIXES))})"
        raise InputError(f"{folder}: {found}; give a folder of {kind} with at least two files: one is kept aside to judge by")
    return {path.relative_to(folder).as_posix(): path.stat().st_size for path in paths}


@dataclass(frozen=True, kw_only=True, eq=False)
class SoundLibrary:
    """Recordings that can be cut anywhere.

    Args:
        sounds: in the order of their names.
        audio: all of them end to end, mono ``[samples]`` float32 at 16 kHz, on the disk.
    """

    sounds: tuple[Sound, ...]
    audio: FloatArray

    @classmethod
    def gathered(
        cls, folder: Path, files: dict[str, int], cache: Path, kind: Literal["speech", "noise"], progress: Progress = silent
    ) -> SoundLibrary:
        """The library of a folder, decoded unless ``cache`` holds it already.

        Args:
            folder: of recordings.
            files: what :func:`sound_files` found in it.
            cache: a folder for what is decoded, 230 MB an hour.
            kind: ``speech`` must hold speech that stands out from its background; ``noise`` must not be silent.
            progress: called after every file.

        Raises:
            InputError: files that cannot be used; all are counted and the first few named, with the reason of each.
        """
        index, samples = cache / f"{kind}.json", cache / f"{kind}.float32"
        if not (index.is_file() and samples.is_file() and read_json(index)["files"] == files):
            sounds = _decode(folder, files, samples, kind, progress)
            write_json(index, {"files": files, "sounds": [asdict(sound) for sound in sounds]})
        sounds = [Sound(**sound) for sound in read_json(index)["sounds"]]
        return cls(sounds=tuple(sounds), audio=np.memmap(samples, dtype=np.float32, mode="r"))

    def only(self, names: Iterable[str]) -> SoundLibrary:
        """The library of some of the recordings."""
        wanted = set(names)
        return SoundLibrary(sounds=tuple(sound for sound in self.sounds if sound.name in wanted), audio=self.audio)

    @property
    def seconds(self) -> float:
        """Length of all recordings."""
        return sum(sound.samples for sound in self.sounds) / SPEECH_SAMPLE_RATE_HZ

    def excerpt(self, sound: Sound, start: int, samples: int) -> FloatArray:
        """``[samples]`` of a recording from ``start``, fewer at its end."""
        end = min(start + samples, sound.samples)
        return np.array(self.audio[sound.first + start : sound.first + end])


def _decode(folder: Path, files: dict[str, int], target: Path, kind: str, progress: Progress) -> list[Sound]:
    sounds: list[Sound] = []
    useless: list[str] = []

    def usable() -> Iterator[FloatArray]:
        first = 0
        for name in tracked(files, len(files), lambda done, total, note="": progress(done, total, f"reading {kind}")):
            try:
                audio = read_audio(folder / name)
            except InputError as error:
                useless.append(str(error).removeprefix(f"{folder}/"))
                continue
            reason = _useless(audio, kind)
            if reason:
                useless.append(f"{name}: {reason}")
                continue
            sounds.append(
                Sound(name=name, first=first, samples=len(audio), rms=float(np.sqrt(np.mean(np.square(audio, dtype=np.float64)))))
            )
            first += len(audio)
            yield audio

    with whole_file(target) as temporary, temporary.open("wb") as file:
        for audio in usable():
            file.write(np.ascontiguousarray(audio, dtype="<f4").tobytes())
        file.flush()
        if useless:
            more = f", and {len(useless) - _NAMED} more" if len(useless) > _NAMED else ""
            raise InputError(
                f"{folder}: {len(useless)} of {len(files)} files cannot serve as {kind} ({'; '.join(useless[:_NAMED])}{more}); remove them"
            )
    return sounds


def _useless(audio: FloatArray, kind: str) -> str | None:
    """Why a recording cannot be trained on, if it cannot."""
    if len(audio) < _SHORTEST_S * SPEECH_SAMPLE_RATE_HZ:
        return f"is shorter than {_SHORTEST_S} s"
    if _rms(audio) < _SILENT_RMS:
        return "is silent"
    if kind == "speech" and speech_levels([audio]).active == 0:
        return "no speech stands out from its background"
    return None


def _rms(audio: FloatArray) -> float:
    return float(np.sqrt(np.mean(np.square(audio, dtype=np.float64))))

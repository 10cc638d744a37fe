"""What a batch of dubs consists of: rows of a manifest, of a folder or of an S3 prefix, grouped for the machines."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from flows.manifest import inside_folder, manifest_lines
from flows.object_store import ObjectStore, ObjectUri
from talkhead_core.errors import InputError
from talkhead_core.speakers import check_speaker_name

__all__ = ["BatchRow", "batch_rows", "grouped", "is_remote"]

_SUFFIXES = {".wav", ".mp3", ".flac", ".m4a", ".aac", ".ogg", ".opus", ".mp4", ".mkv", ".mov", ".webm"}


@dataclass(frozen=True, kw_only=True)
class BatchRow:
    """One dub of a batch.

    Args:
        speaker: who speaks.
        audio: a path, or ``s3://bucket/key``.
        out: where the video goes: a path, or ``s3://bucket/key``.
    """

    speaker: str
    audio: str
    out: str


def is_remote(place: str) -> bool:
    """Whether ``place`` is an address in an object store."""
    return place.startswith("s3://")


def batch_rows(store: ObjectStore, root: Path, *, manifest: str | None, audio: str | None, speakers: list[str], out: str) -> list[BatchRow]:
    """The dubs asked for.

    Args:
        store: for addresses in an object store.
        root: relative paths start here.
        manifest: a CSV with the columns speaker, audio (relative to the manifest) and out (relative to ``out``); or
        audio: a folder or prefix of recordings, ``<speaker>/<recording>``, or just recordings when ``speakers`` are given.
        speakers: each says every recording of ``audio``; none: the folders' names say who.
        out: the folder or prefix to write to.

    Raises:
        InputError: neither or both were given, a manifest cannot be read, or two rows write the same file.
    """
    if (manifest is None) == (audio is None):
        raise InputError("give a manifest, or a folder or prefix of audio; not both and not neither")
    if manifest is not None:
        rows = list(_of_manifest(store, root, manifest, out))
    else:
        rows = list(_of_folder(store, root, audio or "", speakers, out))
    if not rows:
        raise InputError(f"{manifest or audio}: holds nothing to dub")
    taken: dict[str, str] = {}
    for row in rows:
        if row.out in taken:
            raise InputError(f"{row.audio} and {taken[row.out]} would both be written to {row.out}; give each dub its own name")
        taken[row.out] = row.audio
    return rows


def grouped(rows: Iterable[BatchRow], most: int) -> dict[str, list[BatchRow]]:
    """Shares for the machines: one speaker each, at most ``most`` dubs; named ``<speaker>-<number>``."""
    by_speaker: dict[str, list[BatchRow]] = {}
    for row in rows:
        by_speaker.setdefault(row.speaker, []).append(row)
    return {
        f"{speaker}-{start // most + 1}": mine[start : start + most]
        for speaker, mine in by_speaker.items()
        for start in range(0, len(mine), most)
    }


def _of_manifest(store: ObjectStore, root: Path, manifest: str, out: str) -> Iterator[BatchRow]:
    for line in manifest_lines(_content(store, root, manifest), manifest):
        if line.out.suffix.lower() != ".mp4":
            raise InputError(f"{manifest} line {line.number}: out {str(line.out)!r} must end with .mp4")
        yield BatchRow(
            speaker=check_speaker_name(line.speaker), audio=_beside(root, manifest, line.audio), out=_inside(root, out, str(line.out))
        )


def _of_folder(store: ObjectStore, root: Path, audio: str, speakers: list[str], out: str) -> Iterator[BatchRow]:
    for relative, place in _recordings(store, root, audio):
        name = relative.with_suffix(".mp4")
        if speakers:
            for speaker in speakers:
                yield BatchRow(speaker=check_speaker_name(speaker), audio=place, out=_inside(root, out, f"{speaker}/{name}"))
        elif len(relative.parts) < 2:
            raise InputError(f"{audio}: {relative} lies in no speaker's folder; put it in one, or say which speakers")
        else:
            yield BatchRow(speaker=check_speaker_name(relative.parts[0]), audio=place, out=_inside(root, out, str(name)))


def _recordings(store: ObjectStore, root: Path, place: str) -> list[tuple[PurePosixPath, str]]:
    if is_remote(place):
        prefix = ObjectUri.parse(place)
        uris = [info.uri for info in store.list(prefix)]
        found = [(PurePosixPath(uri.key[len(prefix.key) :].lstrip("/")), str(uri)) for uri in uris]
    else:
        folder = root / place
        if not folder.is_dir():
            raise InputError(f"{folder}: is no folder; give a folder or an s3:// prefix of audio")
        found = [(PurePosixPath(path.relative_to(folder).as_posix()), str(path)) for path in sorted(folder.rglob("*")) if path.is_file()]
    recordings = [(relative, full) for relative, full in found if relative.suffix.lower() in _SUFFIXES]
    for relative, full in recordings:
        if ".." in relative.parts:  # keys may hold anything, and become names of videos
            raise InputError(f"{full}: its name leaves {place}; rename the object")
    return recordings


def _content(store: ObjectStore, root: Path, manifest: str) -> bytes:
    try:
        content = store.read(ObjectUri.parse(manifest)) if is_remote(manifest) else (root / manifest).read_bytes()
    except OSError as error:
        raise InputError(f"{manifest}: cannot be read as a CSV manifest ({error})") from error
    if content is None:
        raise InputError(f"{manifest}: there is no such object; check the address")
    return content


def _beside(root: Path, manifest: str, audio: str) -> str:
    if is_remote(audio):
        return audio
    if is_remote(manifest):
        folder = manifest.rsplit("/", 1)[0]
        return f"{folder}/{audio}"
    return str((root / manifest).parent / audio)


def _inside(root: Path, out: str, name: str) -> str:
    if is_remote(out):
        return f"{out.rstrip('/')}/{name}"
    return str(inside_folder(root / out, PurePosixPath(name)))

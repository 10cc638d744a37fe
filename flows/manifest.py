"""The lines of a manifest: a CSV that says who speaks what, and where each video goes."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from talkhead_core.errors import InputError

__all__ = ["ManifestLine", "inside_folder", "manifest_lines"]

_COLUMNS = ("speaker", "audio", "out")


@dataclass(frozen=True, kw_only=True)
class ManifestLine:
    """One dub that a manifest asks for.

    Args:
        number: of the line in the file, for error messages.
        speaker: who speaks, as written.
        audio: the speech, as written.
        out: the video; relative, and inside the output folder.
    """

    number: int
    speaker: str
    audio: str
    out: PurePosixPath


def manifest_lines(content: bytes, name: str) -> Iterator[ManifestLine]:
    """The lines of a CSV with the columns ``speaker``, ``audio`` and ``out``.

    Args:
        content: the file, UTF-8 with or without a byte order mark.
        name: what the file is called in error messages.

    Raises:
        InputError: not such a CSV, an empty value, or an ``out`` that leaves the output folder; the message names the line.
    """
    try:
        reader = csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline=""))
        missing = set(_COLUMNS) - set(reader.fieldnames or [])
        if missing:
            raise InputError(f"{name}: the header lacks {', '.join(sorted(missing))}; it must name speaker, audio and out")
        for row in reader:
            yield _line(name, reader.line_num, row)
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{name}: cannot be read as a CSV manifest ({error})") from error


def _line(name: str, number: int, row: dict[str, str | None]) -> ManifestLine:
    values = {column: (row.get(column) or "").strip() for column in _COLUMNS}
    empty = [column for column, value in values.items() if not value]
    if empty:
        raise InputError(f"{name} line {number}: {', '.join(empty)} is empty")
    out = PurePosixPath(values["out"])
    if out.is_absolute() or ".." in out.parts:
        raise InputError(f"{name} line {number}: out {values['out']!r} leaves the output folder")
    return ManifestLine(number=number, speaker=values["speaker"], audio=values["audio"], out=out)


def inside_folder(folder: Path, name: PurePosixPath) -> Path:
    """``folder / name``, which lies in ``folder`` also where links on the way are followed.

    Raises:
        InputError: it does not.
    """
    path = folder / name
    try:
        inside = path.resolve().is_relative_to(folder.resolve())
    except (OSError, RuntimeError, ValueError) as error:  # too long, links in a circle, a zero byte
        raise InputError(f"{str(path)!r}: is no name for a file ({error}); choose another") from error
    if not inside:
        raise InputError(f"{path}: leaves {folder} by a link; write to where the link leads, or remove it")
    return path

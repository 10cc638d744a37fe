"""The folder of weight files: what is there, fetching what is not, checking that it is the official file.

A file is downloaded to a sibling ``.part``, which a broken download leaves for the next to go on with, hashed, and only then moved
into place. ``weights.json`` beside the files keeps the hash of each, so that a later change is noticed also where the publisher states
none. A mirror is a web address or a folder that holds the files under their names here.
"""

from __future__ import annotations

import difflib
import hashlib
import os
import shutil
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from talkhead_core.artifacts import read_json, write_json
from talkhead_core.errors import InputError, NotAvailableError, ParameterError, without_password
from talkhead_core.progress import Progress, silent
from talkhead_core.weights.catalogue import CATALOGUE, WeightFile, WeightSet

__all__ = ["Origin", "StoredFile", "pull", "require_unchanged", "stored_files", "verify", "weight_set"]

_RECORD = "weights.json"
_BLOCK_BYTES = 1 << 20
_TIMEOUT_S = 30
_PARTIAL_CONTENT = 206


@dataclass(frozen=True, kw_only=True)
class StoredFile:
    """One file of the catalogue as it stands in the folder.

    Args:
        weight_set: the set that it belongs to.
        file: its entry in the catalogue.
        path: where it is, or would be.
        size_bytes: None when it is not there.
    """

    weight_set: WeightSet
    file: WeightFile
    path: Path
    size_bytes: int | None


def weight_set(name: str) -> WeightSet:
    """The set called ``name``.

    Raises:
        ParameterError: no such set; the nearest is named.
    """
    if name not in CATALOGUE:
        near = difflib.get_close_matches(name, CATALOGUE, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ParameterError(f"no weights called {name!r}; choose one of {', '.join(CATALOGUE)}{hint}")
    return CATALOGUE[name]


def stored_files(folder: Path) -> list[StoredFile]:
    """Every file of the catalogue, present or not."""
    found = []
    for each in CATALOGUE.values():
        for file in each.files:
            path = folder / file.file
            size = path.stat().st_size if path.is_file() else None
            found.append(StoredFile(weight_set=each, file=file, path=path, size_bytes=size))
    return found


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Where files are fetched from.

    Args:
        mirror: a web address or a folder that is asked instead of the publishers; None: the publishers.
        offline: nothing is fetched from the network; a folder as the mirror still serves.
    """

    mirror: str | None = None
    offline: bool = False

    def place_of(self, file: WeightFile) -> str:
        """The address or path that ``file`` comes from.

        Raises:
            NotAvailableError: offline, and it is a web address.
        """
        place = file.source if self.mirror is None else f"{self.mirror.rstrip('/')}/{file.file}"
        if self.offline and _is_address(place):
            shown = without_password(place)
            raise NotAvailableError(f"{file.file}: offline, so it is not fetched from {shown}; put it into the weights folder yourself")
        return place


def pull(folder: Path, wanted: WeightSet, progress: Progress = silent, origin: Origin | None = None) -> list[Path]:
    """Fetch the files of ``wanted`` that are not there; gives the paths of all.

    Raises:
        NotAvailableError: a file cannot be reached (a part of it may stay, to go on with), or is not the official one (nothing stays).
    """
    paths = []
    for file in wanted.files:
        path = folder / file.file
        if not path.is_file():
            _fetch(file, path, (origin or Origin()).place_of(file), _recorded(folder), progress)
        _record(folder, file, _sha256(path))
        paths.append(path)
    return paths


def _fetch(file: WeightFile, path: Path, place: str, recorded: dict[str, str], progress: Progress) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.part")
    if _is_address(place):
        _download(file, place, part, progress)
    else:
        try:
            shutil.copyfile(place, part)
        except OSError as error:
            part.unlink(missing_ok=True)
            raise NotAvailableError(f"{place}: cannot be read ({error.strerror}); put {file.file} into the mirror") from error
    try:
        _check(file, _sha256(part), recorded, path)
    except NotAvailableError:
        part.unlink()
        _tag(part).unlink(missing_ok=True)
        raise
    with part.open("rb") as written:
        os.fsync(written.fileno())
    part.replace(path)
    _tag(part).unlink(missing_ok=True)


def verify(folder: Path, stored: StoredFile) -> str:
    """The SHA-256 of a file that is there.

    Raises:
        InputError: it is not the official file, or has changed since it was fetched.
        NotAvailableError: it is not there.
    """
    if stored.size_bytes is None:
        raise NotAvailableError(f"{stored.path}: is not here; run 'talkhead models pull {stored.weight_set.name}'")
    digest = _sha256(stored.path)
    try:
        _check(stored.file, digest, _recorded(folder), stored.path)
    except NotAvailableError as error:
        raise InputError(f"{error}; remove it and run 'talkhead models pull {stored.weight_set.name}'") from error
    return digest


def require_unchanged(path: Path) -> None:
    """For files that are programs, before each use: what was fetched here must still be what was fetched.

    A file that somebody put there by hand has no record, and passes.

    Raises:
        NotAvailableError: it was changed since.
    """
    expected = _recorded(path.parent).get(path.name)
    if expected is not None and _sha256(path) != expected:
        raise NotAvailableError(f"{path}: has changed since it was fetched, and is not run; remove it and fetch it again")


def _download(file: WeightFile, address: str, part: Path, progress: Progress) -> None:
    """Fetch into ``part``, going on where it ends if the server still has the same file (its entity tag says so)."""
    shown = without_password(address)
    tag = _tag(part).read_text(encoding="utf-8") if _tag(part).is_file() else ""
    have = part.stat().st_size if part.is_file() and tag else 0
    headers = {"User-Agent": "talkhead"} | ({"Range": f"bytes={have}-", "If-Range": tag} if have else {})
    done = 0
    try:
        request = urllib.request.Request(address, headers=headers)  # noqa: S310 - the catalogue's own, or the user's mirror
        with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as answer:  # noqa: S310
            goes_on = answer.status == _PARTIAL_CONTENT
            done = have if goes_on else 0
            length = answer.headers.get("Content-Length")
            total = done + int(length) if length else 0
            if not goes_on:
                _tag(part).write_text(answer.headers.get("ETag") or "", encoding="utf-8")
            with part.open("ab" if goes_on else "wb") as output:
                while block := answer.read(_BLOCK_BYTES):
                    output.write(block)
                    done += len(block)
                    progress(done, max(done, total), file.file)
        if total and done != total:
            raise NotAvailableError(f"{shown}: ended after {done} of {total} bytes; run the same command again to go on")
    except (urllib.error.URLError, OSError) as error:
        _forget_empty(part)
        reason = getattr(error, "reason", error)
        raise NotAvailableError(
            f"{shown}: cannot be fetched ({reason}); fetch it elsewhere and put it at weights/{file.file}, or set a mirror"
        ) from error


def _forget_empty(part: Path) -> None:
    if part.is_file() and not part.stat().st_size:
        part.unlink()
    if not part.is_file():
        _tag(part).unlink(missing_ok=True)


def _tag(part: Path) -> Path:
    return part.with_name(f"{part.name}-tag")


def _is_address(place: str) -> bool:
    return place.startswith(("http://", "https://"))


def _check(file: WeightFile, digest: str, recorded: dict[str, str], path: Path) -> None:
    expected = file.sha256 or recorded.get(file.file, "")
    if not digest.startswith(expected):
        raise NotAvailableError(f"{path}: sha256 {digest[:12]}... is not {expected[:12]}..., so it is not the official file")


def _recorded(folder: Path) -> dict[str, str]:
    path = folder / _RECORD
    return {str(name): str(digest) for name, digest in read_json(path).items()} if path.is_file() else {}


def _record(folder: Path, file: WeightFile, digest: str) -> None:
    recorded = _recorded(folder)
    if recorded.get(file.file) != digest:
        write_json(folder / _RECORD, {**recorded, file.file: digest})


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

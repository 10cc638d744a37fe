"""The folder of weight files: what is there, fetching what is not, checking that it is the official file.

A file is downloaded to a temporary sibling, hashed, and only then moved into place. ``weights.json`` beside the files keeps
the hash of each, so that a later change is noticed also where the publisher states none.
"""

from __future__ import annotations

import difflib
import hashlib
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from talkhead_core.artifacts import read_json, whole_file, write_json
from talkhead_core.errors import InputError, NotAvailableError, ParameterError
from talkhead_core.progress import Progress, silent
from talkhead_core.weights.catalogue import CATALOGUE, WeightFile, WeightSet

__all__ = ["StoredFile", "pull", "stored_files", "verify", "weight_set"]

_RECORD = "weights.json"
_BLOCK_BYTES = 1 << 20
_TIMEOUT_S = 30


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


def pull(folder: Path, wanted: WeightSet, progress: Progress = silent) -> list[Path]:
    """Fetch the files of ``wanted`` that are not there; gives the paths of all.

    Raises:
        NotAvailableError: a file cannot be reached, or is not the official one; nothing is left of it.
    """
    paths = []
    for file in wanted.files:
        path = folder / file.file
        if not path.is_file():
            with whole_file(path) as temporary:
                _download(file, temporary, progress)
                _check(file, _sha256(temporary), _recorded(folder), path)
        _record(folder, file, _sha256(path))
        paths.append(path)
    return paths


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


def _download(file: WeightFile, target: Path, progress: Progress) -> None:
    try:
        request = urllib.request.Request(file.source, headers={"User-Agent": "talkhead"})  # noqa: S310 - the catalogue's own
        with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as answer, target.open("wb") as output:  # noqa: S310
            total = int(answer.headers.get("Content-Length") or 0)
            done = 0
            while block := answer.read(_BLOCK_BYTES):
                output.write(block)
                done += len(block)
                progress(done, max(done, total), file.file)
            if total and done != total:
                raise NotAvailableError(f"{file.source}: ended after {done} of {total} bytes; try again")
    except (urllib.error.URLError, OSError) as error:
        reason = getattr(error, "reason", error)
        raise NotAvailableError(
            f"{file.source}: cannot be fetched ({reason}); fetch it elsewhere and put it at weights/{file.file}"
        ) from error


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

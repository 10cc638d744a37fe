"""Which talkhead made something: its version and a hash of its code."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

__all__ = ["code_sha256", "file_sha256", "software_facts", "software_version"]

_PACKAGE = Path(__file__).resolve().parents[1]


def software_version() -> str:
    """The installed version; ``"0"`` where talkhead runs from its sources without having been installed."""
    try:
        return version("talkhead")
    except PackageNotFoundError:
        return "0"


@cache
def code_sha256() -> str:
    """SHA-256 over all Python files of the core, by path and content."""
    digest = hashlib.sha256()
    for path in sorted(_PACKAGE.rglob("*.py")):
        digest.update(f"{path.relative_to(_PACKAGE).as_posix()}\0{file_sha256(path)}\n".encode())
    return digest.hexdigest()


def software_facts() -> dict[str, str]:
    """Name, version and hash of the code: what credentials and pages say of the software."""
    return {"name": "talkhead", "version": software_version(), "code_sha256": code_sha256()}


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

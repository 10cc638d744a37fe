"""The part of a document that a benchmark writes, between two markers that do not show."""

from __future__ import annotations

from pathlib import Path

from talkhead_core.artifacts import write_text

__all__ = ["empty_section", "write_section"]


def empty_section(name: str = "results") -> str:
    """The two markers of a section, nothing between."""
    return f"<!-- {name}: begin -->\n<!-- {name}: end -->"


def write_section(document: Path, text: str, name: str = "results") -> None:
    """Put Markdown between the markers ``name``; the rest of the document stays."""
    begin, end = empty_section(name).splitlines()
    before, _, rest = document.read_text(encoding="utf-8").partition(begin)
    write_text(document, f"{before}{begin}\n{text}\n{end}{rest.partition(end)[2]}")

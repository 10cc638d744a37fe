"""The files that every kind of ``talkhead evaluate`` writes: JSON, CSV and the papers' tables."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from talkhead_core.artifacts import write_json, write_text
from talkhead_core.report.paper_tables import PAPER_TABLES, OurRow, PaperTable, answered, filled, to_latex, to_markdown
from talkhead_core.report.plain_text import document_lines, document_rows

__all__ = ["VIDEO_SUFFIXES", "FileOptions", "add_file_options", "tell_documents", "write_files", "write_paper_tables"]


VIDEO_SUFFIXES = {".mp4", ".mkv", ".mov", ".avi", ".webm", ".m4v"}


@dataclass(frozen=True, kw_only=True)
class FileOptions:
    """Where results go; None writes nothing.

    Args:
        json: every figure.
        csv: one row a video and protocol.
        markdown: the papers' tables with ours beside the published rows.
        latex: the same in LaTeX.
    """

    json: Path | None = None
    csv: Path | None = None
    markdown: Path | None = None
    latex: Path | None = None

    @classmethod
    def of(cls, arguments: argparse.Namespace) -> FileOptions:
        """The options that :func:`add_file_options` declared."""
        return cls(json=arguments.json, csv=arguments.csv, markdown=arguments.markdown, latex=arguments.latex)


def add_file_options(parser: argparse.ArgumentParser) -> None:
    """Declare ``--json``, ``--csv``, ``--markdown`` and ``--latex``."""
    parser.add_argument("--json", type=Path, help="write every figure to this file")
    parser.add_argument("--csv", type=Path, help="write one row a video and protocol to this file")
    parser.add_argument("--markdown", type=Path, help="write the papers' tables with these figures to this file")
    parser.add_argument("--latex", type=Path, help="the same in LaTeX")


def write_files(
    documents: Mapping[str, Mapping[str, Any]],
    options: FileOptions,
    errors: Mapping[str, str] | None = None,
    rows: Sequence[OurRow] | None = None,
) -> None:
    """Write what was asked for.

    Args:
        documents: name -> what ``metrics.json`` holds.
        options: where to.
        errors: name -> why there are no figures; given for a folder, whose JSON then holds ``pairs`` and ``errors``.
        rows: of the papers' tables; the documents when None.
    """
    if options.json:
        whole = {"pairs": dict(documents), "errors": dict(errors)} if errors is not None else next(iter(documents.values()))
        write_json(options.json, whole)
    if options.csv:
        flat = [{"name": name, **row} for name, document in documents.items() for row in document_rows(document)]
        write_text(options.csv, pd.DataFrame(flat).to_csv(index=False))
    if rows is None:
        rows = [OurRow(label=name, protocols=document["protocols"]) for name, document in documents.items()]
    write_paper_tables(rows, options)


def write_paper_tables(rows: Sequence[OurRow], options: FileOptions, tables: Sequence[PaperTable] = PAPER_TABLES) -> None:
    """Write the tables of the papers to which a row has an answer."""
    for path, writer in ((options.markdown, to_markdown), (options.latex, to_latex)):
        if path:
            chosen = [table for table in tables if any(answered(table, row) for row in rows)]
            write_text(path, "\n".join(writer(filled(table, rows)) for table in chosen))


def tell_documents(documents: Mapping[str, Mapping[str, Any]], errors: Mapping[str, str]) -> int:
    """Print every document's figures, and each problem on stderr; gives the exit code: 1 when there is a problem."""
    for name, document in documents.items():
        sys.stdout.write("\n".join([name, *document_lines(document)]) + "\n")
    for name, problem in errors.items():
        sys.stderr.write(f"evaluate: {name}: {problem}\n")
    return 1 if errors else 0

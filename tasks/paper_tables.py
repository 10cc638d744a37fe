"""The papers' tables with our figures beside the published ones: ``python -m tasks.paper_tables --speaker NAME``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import pandas as pd

from talkhead_core.artifacts import read_json, write_text
from talkhead_core.errors import InputError, TalkheadError
from talkhead_core.report.paper_tables import PAPER_TABLES, OurRow, filled, to_latex, to_markdown
from talkhead_core.report.speaker_artifacts import TRAINING_STAGES
from talkhead_core.speakers import check_speaker_name

_WRITERS = {"markdown": to_markdown, "latex": to_latex}


def metrics_file(root: Path, speaker: str) -> Path:
    """A speaker's ``metrics.json``.

    Raises:
        InputError: the speaker has not been evaluated.
    """
    path = root / "data" / speaker / "evaluate" / "metrics.json"
    if not path.is_file():
        raise InputError(f"speaker {speaker!r} has not been evaluated; run 'talkhead run --speaker {speaker}'")
    return path


def our_row(root: Path, speaker: str) -> OurRow:
    """The figures of one evaluated speaker.

    Raises:
        InputError: the speaker has not been evaluated.
    """
    folder, metrics = root / "data" / speaker, metrics_file(root, speaker)
    histories = [folder / stage / "history.parquet" for stage in TRAINING_STAGES]
    seconds = [float(pd.read_parquet(file)["seconds"].max()) for file in histories if file.is_file()]
    protocols: dict[str, Any] = read_json(metrics)["protocols"]
    return OurRow(label=speaker, protocols=protocols, training_hours=sum(seconds) / 3600 if seconds else None)


def speech_rows(path: Path) -> list[OurRow]:
    """Rows for speech enhancement from a JSON file: that of ``talkhead evaluate``, or ``{method: {"pesq_wb": ..., "csig": ...}}``."""
    document = read_json(path)
    return [OurRow(label=name, protocols={"speech": figures}) for name, figures in document.get("mean", document).items()]


def pair_rows(path: Path) -> list[OurRow]:
    """Rows from the JSON file that ``talkhead evaluate`` wrote for a pair or a folder of pairs.

    Raises:
        InputError: it holds no figures.
    """
    document = read_json(path)
    documents = document.get("pairs") or ({path.stem: document} if "protocols" in document else {})
    if not documents:
        raise InputError(f"{path}: holds no figures of 'talkhead evaluate'; give the file that its --json wrote")
    return [OurRow(label=name, protocols=each["protocols"]) for name, each in documents.items()]


def main(argv: list[str] | None = None) -> int:
    """Print the tables, or write them to a file; 1 when a speaker has no figures."""
    parser = argparse.ArgumentParser(prog="python -m tasks.paper_tables", description=__doc__)
    parser.add_argument("--speaker", action="append", default=[], help="an evaluated speaker; may be given many times")
    parser.add_argument("--pairs", type=Path, help="JSON of 'talkhead evaluate' for a pair or a folder of pairs")
    parser.add_argument("--speech", type=Path, help="JSON with the speech metrics of denoisers")
    parser.add_argument("--format", choices=list(_WRITERS), default="markdown")
    parser.add_argument(
        "--table", action="append", choices=[table.name for table in PAPER_TABLES], help="only this table; may be given many times"
    )
    parser.add_argument("--out", type=Path, help="write to this file instead of printing")
    arguments = parser.parse_args(argv)
    try:
        rows = [our_row(Path.cwd(), check_speaker_name(name)) for name in arguments.speaker]
        rows += pair_rows(arguments.pairs) if arguments.pairs else []
        rows += speech_rows(arguments.speech) if arguments.speech else []
    except TalkheadError as error:
        sys.stderr.write(f"paper_tables: {error}\n")
        return 1
    chosen = [table for table in PAPER_TABLES if not arguments.table or table.name in arguments.table]
    text = "\n".join(_WRITERS[arguments.format](filled(table, rows)) for table in chosen)
    if arguments.out:
        write_text(arguments.out, text)
        sys.stdout.write(f"{arguments.out}\n")
    else:
        sys.stdout.write(text)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

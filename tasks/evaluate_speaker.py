"""Print what the stage ``evaluate`` found about speakers: ``python -m tasks.evaluate_speaker --speaker NAME [--speaker NAME]``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from talkhead_core.artifacts import read_json
from talkhead_core.errors import TalkheadError
from talkhead_core.report.plain_text import document_lines
from talkhead_core.report.verdict import judge
from talkhead_core.speakers import check_speaker_name
from tasks.evaluation_files import FileOptions, add_file_options, write_files
from tasks.paper_tables import metrics_file, our_row

__all__ = ["main"]


def main(argv: list[str] | None = None) -> int:
    """Entry point; 1 when a speaker has not been evaluated."""
    parser = argparse.ArgumentParser(prog="talkhead evaluate", description=__doc__)
    parser.add_argument("--speaker", action="append", required=True)
    add_file_options(parser)
    arguments = parser.parse_args(argv)
    try:
        names = [check_speaker_name(name) for name in arguments.speaker]
        documents = {name: read_json(metrics_file(Path.cwd(), name)) for name in names}
        rows = [our_row(Path.cwd(), name) for name in names]
        write_files(documents, FileOptions.of(arguments), {} if len(documents) > 1 else None, rows)
    except TalkheadError as error:
        sys.stderr.write(f"evaluate: {error}\n")
        return 1
    for name, document in documents.items():
        verdict = judge(document)
        lines = [f"{name}: {verdict.headline}", *(f"  {s.level:<5}{s.text}" for s in verdict.statements), *document_lines(document)]
        sys.stdout.write("\n".join(lines) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

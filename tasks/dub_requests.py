"""Dub one speech after another, each with its page, by what was loaded once: ``python -m tasks.dub_requests --speaker NAME``.

Whoever started it writes a request a line to its standard input, a JSON object with the paths ``audio`` and ``out``, and reads its
progress and then, for the dub and again for its page, ``ENDED task`` or, below a line that says why, ``FAILED task``. One dub that
fails leaves the others alone. It ends with its standard input.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path

from tasks.dub import add_dub_options, dubber_of
from tasks.report_dub import write_dub_page
from tasks.stage import errors_in_one_line, keep_freed_memory


def _answered(task: str, act: Callable[..., None], *given: Path | str) -> bool:
    """Do it, and say what became of it; what nobody expected ends the process, with its traceback."""
    try:
        with errors_in_one_line(task):
            act(*given)
    except SystemExit:
        sys.stderr.flush()
        said = "FAILED"
    else:
        said = "ENDED"
    sys.stdout.write(f"{said} {task}\n")
    sys.stdout.flush()
    return said == "ENDED"


def _main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tasks.dub_requests")
    add_dub_options(parser)
    arguments = parser.parse_args()
    keep_freed_memory()
    with errors_in_one_line("dub"):
        dubber = dubber_of(arguments)
    for line in sys.stdin:
        request = json.loads(line)
        audio, out = Path(request["audio"]), Path(request["out"])
        if _answered("dub", dubber.dub, audio, out):
            _answered("report_dub", write_dub_page, Path.cwd(), out, out.with_suffix(".html"), arguments.speaker, audio)


if __name__ == "__main__":
    _main()

"""What commands print: results on stdout, lines for people or JSON for programs; errors in one line on stderr."""

from __future__ import annotations

import json
import sys
from typing import Annotated, Any

import typer

from talkhead_core.errors import TalkheadError

__all__ = ["JsonOption", "run_module", "tell"]

JsonOption = Annotated[bool, typer.Option("--json", help="print the result as JSON")]


def tell(result: Any, lines: list[str], *, as_json: bool) -> None:
    """Print ``result`` as JSON, or ``lines``."""
    typer.echo(json.dumps(result, indent=2) if as_json else "\n".join(lines))


def run_module(app: typer.Typer) -> None:
    """Run the commands of a module that is started by ``python -m``; an error is one line and exit code 1."""
    try:
        app()
    except TalkheadError as error:
        sys.stderr.write(f"talkhead: {error}\n")
        raise SystemExit(1) from None

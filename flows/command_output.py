"""Results on stdout: lines for people, or JSON for programs."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

__all__ = ["JsonOption", "tell"]

JsonOption = Annotated[bool, typer.Option("--json", help="print the result as JSON")]


def tell(result: Any, lines: list[str], *, as_json: bool) -> None:
    """Print ``result`` as JSON, or ``lines``."""
    typer.echo(json.dumps(result, indent=2) if as_json else "\n".join(lines))

"""What commands share that let a task of the core speak to the terminal itself."""

from __future__ import annotations

import sys
from pathlib import Path

import typer

from flows.child_process import hand_over
from flows.workspace import Workspace
from talkhead_core.errors import InputError

__all__ = ["existing_file", "existing_path", "hand_over_to"]


def hand_over_to(task: str, arguments: list[str]) -> None:
    """Run ``python -m tasks.<task>`` on this terminal and end with its exit code."""
    code = hand_over([sys.executable, "-m", f"tasks.{task}", *arguments], Workspace.here().root)
    if code:
        raise typer.Exit(code if code in (1, 2) else 1)


def existing_file(path: Path) -> Path:
    """``path``, if it is a file.

    Raises:
        InputError: it is not.
    """
    if not path.is_file():
        raise InputError(f"{path}: {'is not a file' if path.exists() else 'does not exist'}; check the path")
    return path


def existing_path(path: Path) -> Path:
    """``path`` made absolute, if it is a file or a folder.

    Raises:
        InputError: it is neither.
    """
    if not path.exists():
        raise InputError(f"{path}: does not exist; check the path")
    return path.resolve()

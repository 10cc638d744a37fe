"""Enough room on the disk before a stage starts: a stage that fills it would fail after its work, or spoil DVC's files."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from typing import Any

from flows.workspace import Workspace
from talkhead_core.errors import TalkheadError
from talkhead_core.safe_yaml import parse_yaml
from talkhead_core.speakers import read_speakers

__all__ = ["check_free_space", "space_needed"]

_RESERVE_BYTES = 200_000_000
_COPIES = 2  # what a stage writes, and DVC's copy of it in the cache
_RECORDINGS = 3  # a stage that never ran here: so many times the recording, which is what the largest stage writes


def space_needed(workspace: Workspace, speaker: str, stages: Sequence[str]) -> int:
    """Bytes that the largest of ``stages`` may need: twice what it wrote last time, or a guess from the recording's size."""
    lock = workspace.root / "dvc.lock"
    entries: dict[str, Any] = {}
    if lock.is_file():
        entries = (parse_yaml(lock.read_text(encoding="utf-8")) or {}).get("stages") or {}
    known = read_speakers(workspace.speakers).get(speaker)
    video = workspace.root / known.video if known else None
    guess = _RECORDINGS * video.stat().st_size if video is not None and video.is_file() else 0
    sizes = [_written(entries.get(f"{stage}@{speaker}"), guess) for stage in stages]
    return _COPIES * max(sizes, default=0) + _RESERVE_BYTES


def check_free_space(workspace: Workspace, speaker: str, stages: Sequence[str]) -> None:
    """Refuse to start where the disk would fill.

    Raises:
        TalkheadError: there is not enough room; the message says how much is needed and how to make it.
    """
    free, needed = shutil.disk_usage(workspace.root).free, space_needed(workspace, speaker, stages)
    if free < needed:
        what = stages[0] if len(stages) == 1 else "the next stages"
        raise TalkheadError(
            f"{what}: {free / 1e9:.2f} GB free in {workspace.root}, {needed / 1e9:.2f} GB needed; "
            "make room, or remove unused results with 'dvc gc --workspace'"
        )


def _written(entry: dict[str, Any] | None, guess: int) -> int:
    if entry is None:
        return guess
    return sum(int(out.get("size") or 0) for out in entry.get("outs", []))

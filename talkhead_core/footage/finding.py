"""One thing that the examination of a video found."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Literal

__all__ = ["Finding", "Level", "Verdict", "verdict"]

Level = Literal["ok", "warn", "fail"]
Verdict = Literal["go", "go_with_care", "no_go"]


@dataclass(frozen=True, kw_only=True)
class Finding:
    """A fact about the footage and what to do about it.

    Args:
        level: ``ok``, ``warn`` (works, worse) or ``fail`` (cannot work).
        code: a stable name for programs, such as ``hands_in_frame``.
        message: what was found, with its figure.
        advice: what to do; empty where nothing is to be done.
    """

    level: Level
    code: str
    message: str
    advice: str = ""

    def to_json(self) -> dict[str, str]:
        """As in ``ingest.json``."""
        return asdict(self)


def verdict(findings: Iterable[Finding]) -> Verdict:
    """``no_go`` when anything fails, ``go_with_care`` when anything warns, else ``go``."""
    levels = {finding.level for finding in findings}
    return "no_go" if "fail" in levels else "go_with_care" if "warn" in levels else "go"

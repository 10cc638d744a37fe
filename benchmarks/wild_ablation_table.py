"""Write the ablation table of ``docs/footage.md``: ``python -m benchmarks.wild_ablation_table``."""

from __future__ import annotations

from pathlib import Path

from benchmarks.document_section import write_section
from talkhead_core.artifacts import read_json
from talkhead_core.report.ablation_table import ablation_table

__all__ = ["write_table"]

REPOSITORY = Path(__file__).resolve().parents[1]


def write_table(results: Path, document: Path) -> None:
    """Put the table of ``results`` into ``document``."""
    found = read_json(results)
    table = ablation_table(found)
    lines = [f"`{found['settings']['video']}`. {table.caption}.", ""]
    lines += [f"| {' | '.join(row)} |" for row in (table.head, ["---"] * len(table.head), *table.rows)]
    missing = "; ".join(f"{name} ({reason})" for name, reason in found["not_available"].items())
    write_section(document, "\n".join([*lines, "", f"Not available: {missing}."]), "ablation")


if __name__ == "__main__":
    write_table(REPOSITORY / "benchmarks" / "results" / "wild_ablation.json", REPOSITORY / "docs" / "footage.md")

"""Score enhanced speech against clean speech: ``python -m tasks.evaluate_speech --reference-audio R --enhanced-audio E``.

Two files, or two folders whose files share a name: ``E/p232_032.wav`` is compared with ``R/p232_032.wav`` or ``R/p232_032_clean.wav``. In
the second case every other version that lies beside the reference (``R/p232_032_noisy.wav``, ``R/p232_032_cmgan.wav``) is scored too, on
the same utterances, and stands beside ours.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from talkhead_core.artifacts import write_json, write_text
from talkhead_core.errors import TalkheadError
from talkhead_core.metrics.speech import COLUMNS, paired_files, speech_quality_table, versions_beside
from talkhead_core.report.paper_tables import OurRow
from tasks.evaluation_files import FileOptions, add_file_options, write_paper_tables

__all__ = ["score_systems"]

# WildTalker's Table 3, then RAE-NeRF's Figures 5 and 6, then the rest
_PRINTED = ("pesq_wb", "csig", "cbak", "covl", "si_sdr_db", "snrseg_db", "stoi", "mcd_db", "wss", "pesq_nb", "llr")
_OURS = "enhanced"


def score_systems(reference: Path, enhanced: Path) -> dict[str, pd.DataFrame]:
    """System -> one row an utterance and a last row ``mean``; ``enhanced`` is what was asked about, the others lie beside the reference.

    Raises:
        InputError: nothing to pair, or a pair that cannot be compared; the message names it.
    """
    pairs = paired_files(reference, enhanced)
    systems = {_OURS: pairs} | versions_beside({name: clean for name, (clean, _) in pairs.items()})
    return {system: speech_quality_table(rows) for system, rows in systems.items()}


def _lines(tables: Mapping[str, pd.DataFrame]) -> list[str]:
    utterances = len(tables[_OURS]) - 1
    heads = [COLUMNS[name].split(",")[0] if name not in ("pesq_wb", "pesq_nb") else f"PESQ-{name[-2:]}" for name in _PRINTED]
    count = f"{utterances} recording{'' if utterances == 1 else 's'}"
    lines = [f"mean of {count}; the columns of WildTalker's Table 3, of RAE-NeRF's Figures 5 and 6, and two more"]
    width = max(len(_OURS), *(len(name) for name in tables)) + 2
    lines.append(" " * width + "".join(f"{head:>9}" for head in heads))
    for system, table in tables.items():
        mean = table.loc["mean"]
        lines.append(f"{system:<{width}}" + "".join(f"{mean[name]:>9.3f}" for name in _PRINTED))
    if utterances > 1:
        lines += ["", f"{_OURS}, each"]
        each = tables[_OURS].drop(index="mean")
        longest = max(len(str(name)) for name in each.index) + 2
        lines += [f"{name!s:<{longest}}" + "".join(f"{row[key]:>9.3f}" for key in _PRINTED) for name, row in each.iterrows()]
    return lines


def _write(tables: Mapping[str, pd.DataFrame], options: FileOptions) -> None:
    means: dict[str, dict[str, Any]] = {system: _plain(table.loc["mean"]) for system, table in tables.items()}
    if options.json:
        each = {system: {str(name): _plain(row) for name, row in table.drop(index="mean").iterrows()} for system, table in tables.items()}
        write_json(options.json, {"mean": means, "recordings": each})
    if options.csv:
        parts = [table.rename_axis("recording").reset_index().assign(system=system) for system, table in tables.items()]
        frame = pd.concat(parts, ignore_index=True)
        write_text(options.csv, frame[["system", "recording", *frame.columns.drop(["system", "recording"])]].to_csv(index=False))
    count = len(tables[_OURS]) - 1
    rows = [
        OurRow(system=system, label=f"measured here, {count} recordings", protocols={"speech": figures})
        for system, figures in means.items()
    ]
    write_paper_tables(rows, options)


def _plain(row: pd.Series) -> dict[str, float | None]:
    return {str(name): float(value) if abs(value) < float("inf") else None for name, value in row.items()}


def main(argv: list[str] | None = None) -> int:
    """Entry point; 1 when something cannot be compared."""
    parser = argparse.ArgumentParser(prog="talkhead evaluate", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reference-audio", type=Path, required=True, help="clean speech: a file or a folder")
    parser.add_argument("--enhanced-audio", type=Path, required=True, help="the speech to score: a file or a folder")
    add_file_options(parser)
    arguments = parser.parse_args(argv)
    try:
        tables = score_systems(arguments.reference_audio, arguments.enhanced_audio)
        _write(tables, FileOptions.of(arguments))
    except TalkheadError as error:
        sys.stderr.write(f"evaluate: {error}\n")
        return 1
    sys.stdout.write("\n".join(_lines(tables)) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

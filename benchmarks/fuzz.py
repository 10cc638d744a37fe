"""Spoiled files, thousands of them, for every parser of ours: a right result or one clear line, in bounded time and memory.

    python -m benchmarks.fuzz [--cases 5000] [--seed 0] [--only NAME ...]

Each parser (``benchmarks.fuzz_targets``) runs in a process of its own whose memory is limited. A case is a whole file spoiled by a
seed of its own, so that any can be had again: ``--only NAME --case NUMBER``. What escapes as another error than the promised ones,
takes longer than a case may, or needs more memory than there is, is a failure and is listed. Writes
``benchmarks/results/fuzz.json`` and the table of ``docs/bad_input.md``.
"""

from __future__ import annotations

import argparse
import multiprocessing
import random
import resource
import statistics
import tempfile
import time
import traceback
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.document_section import write_section
from benchmarks.fuzz_targets import TARGETS, Target
from benchmarks.machine import describe_machine
from benchmarks.prepared_speaker import REPOSITORY
from talkhead_core.artifacts import write_json
from talkhead_core.errors import TalkheadError

__all__ = ["Tally", "fuzz"]

RESULTS = REPOSITORY / "benchmarks" / "results" / "fuzz.json"
DOCUMENT = REPOSITORY / "docs" / "bad_input.md"
LONGEST_S = 5.0
"""A case may take so long; whole files of these sizes take milliseconds."""

MEMORY_BYTES = 1 << 30
"""How much memory a parser may ask for beyond what its process has."""

_SHOWN = 8


@dataclass
class Tally:
    """What became of a parser's cases.

    Args:
        cases: how many were tried.
        read: how many were read as something.
        refused: how many were refused in one line.
        failures: case number -> what went wrong.
        seconds: processor time of each case.
    """

    cases: int = 0
    read: int = 0
    refused: int = 0
    failures: dict[int, str] = field(default_factory=dict)
    seconds: list[float] = field(default_factory=list)


def fuzz(target: Target, cases: range, seed: int) -> Tally:
    """Try those cases of one parser here and now; the whole file itself must be read."""
    tally = Tally()
    with tempfile.TemporaryDirectory() as place:
        made = Path(place) / "made"
        made.mkdir()
        whole = target.whole(made)
        _try(target, whole, Path(place) / "whole")
        for case in cases:
            tally.cases += 1
            content = target.mutate(whole, random.Random(f"{seed} {target.file} {case}"))
            started = time.process_time()
            try:
                _try(target, content, Path(place) / str(case))
            except TalkheadError as error:
                tally.refused += 1
                if "\n" in str(error) or not str(error).strip():
                    tally.failures[case] = f"not one line: {str(error)!r}"
            except target.refuses as error:
                tally.refused += 1
                if not str(error).strip():
                    tally.failures[case] = f"refused without a word: {error!r}"
            except Exception as error:  # noqa: BLE001 - any other is what is looked for
                tally.failures[case] = _told(error)
            else:
                tally.read += 1
            tally.seconds.append(time.process_time() - started)
            if tally.seconds[-1] > LONGEST_S:
                tally.failures.setdefault(case, f"took {tally.seconds[-1]:.1f} s")
    return tally


def _try(target: Target, content: bytes, folder: Path) -> None:
    folder.mkdir()
    target.beside(folder)
    (folder / target.file).write_bytes(content)
    target.read(folder)


def _told(error: Exception) -> str:
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {str(error)[:120]!r} at {Path(last.filename).name}:{last.lineno}"


def _worker(name: str, cases: range, seed: int, answers: Any) -> None:
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY_BYTES, resource.RLIM_INFINITY))
    answers.put(fuzz(TARGETS[name], cases, seed))


def _apart(name: str, cases: range, seed: int) -> Tally:
    """In a process of its own, whose death is a failure like any other."""
    context = multiprocessing.get_context("fork")
    answers = context.Queue()
    process = context.Process(target=_worker, args=(name, cases, seed, answers))
    process.start()
    while process.is_alive() and answers.empty():
        time.sleep(0.05)
    if answers.empty():
        process.join()
        return Tally(failures={-1: f"the process ended with {process.exitcode}"})
    tally: Tally = answers.get()
    process.join()
    return tally


def table(results: dict[str, Any]) -> str:
    """The results as Markdown."""
    lines = [
        f"{sum(row['cases'] for row in results['parsers'].values()):,} spoiled files (seed {results['seed']}), "
        f"{sum(len(row['failures']) for row in results['parsers'].values())} failures.",
        "",
        "| parser | tried | still read | refused in one line | failures | ms, median | ms, most |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, row in results["parsers"].items():
        times = f"{row['ms_median']:.1f} | {row['ms_most']:.0f}"
        lines.append(f"| {name} | {row['cases']:,} | {row['read']:,} | {row['refused']:,} | {len(row['failures'])} | {times} |")
    return "\n".join(lines)


def main() -> None:
    """Try, and write the results."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fuzz", description=__doc__)
    parser.add_argument("--cases", type=int, default=5000, help="of each parser")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="*", default=[], help="parsers, by name; nothing is written then")
    parser.add_argument("--case", type=int, help="this one alone")
    arguments = parser.parse_args()
    cases = range(arguments.cases) if arguments.case is None else range(arguments.case, arguments.case + 1)
    results: dict[str, Any] = {"machine": describe_machine(), "seed": arguments.seed, "parsers": {}}
    for name in arguments.only or TARGETS:
        tally = _apart(name, cases, arguments.seed)
        row = asdict(tally)
        seconds = row.pop("seconds") or [0.0]
        row |= {"ms_median": 1000 * statistics.median(seconds), "ms_most": 1000 * max(seconds)}
        results["parsers"][name] = row
        print(f"{name}: {tally.cases} tried, {tally.read} read, {tally.refused} refused, {len(tally.failures)} failures", flush=True)
        for case, failure in list(tally.failures.items())[:_SHOWN]:
            print(f"  case {case}: {failure}")
    if not arguments.only and arguments.case is None:
        write_json(RESULTS, results)
        if DOCUMENT.exists():
            write_section(DOCUMENT, table(results), "fuzz")


if __name__ == "__main__":
    main()

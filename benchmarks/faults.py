"""Faults at random moments of a run and between runs; then the same command again, which must end as if nothing had happened.

    python -m benchmarks.faults --count 200 [--in-a-row 4] [--seed 0] [--real | --flow] [--minutes M] [--results FILE.json]

Faults strike several in a row: a copy of a workspace in which some of the stages have run is spoiled, run and killed, run and killed
again, and only then left alone. Survived means: the next `talkhead run` ends well, every artifact is byte for byte that of an
undisturbed run, `dvc status` is clean, no process and no half-written file is left. Artifacts that differ between two undisturbed
runs, because they hold times or signatures, are named and only have to be there.

The graph, DVC and the command line are the real ones. Without ``--real`` the stages are small stand-ins that hash what they read;
with it they are the real stages at the smoke profile, on the demo speaker. With ``--flow`` the stand-ins run in a Prefect flow, and
flow, worker and server are killed (``benchmarks.flow_faults``).

The same command goes on where one that was stopped, or ran for its ``--minutes``, left off; other counts or seeds begin anew.
"""

from __future__ import annotations

import argparse
import hashlib
import random
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil

from benchmarks.document_section import write_section
from benchmarks.fault_kinds import FAULTS, LONGEST_RUN_S, MISSED, NOTHING, Subject, needs_results, talkhead_run
from benchmarks.flow_faults import FLOW_FAULTS, LATE_STAGES, SPEAKER, served_speaker, strike_flow
from benchmarks.machine import describe_machine
from benchmarks.prepared_speaker import REPOSITORY
from flows.child_process import child_environment
from flows.demo_speaker import make_demo_speaker
from flows.stage_graph import read_stage_graph
from flows.stage_runs import reproduce
from flows.workspace import Workspace
from talkhead_core.artifacts import read_json, write_json
from tests.real_workspace import make_workspace
from tests.toy_workspace import add_speaker, make_toy_workspace

__all__ = ["FAULTS", "Outcome", "Subject", "strike"]

_ALL_STAGES = 15
_TITLES = {
    "stand-ins": "stand-ins for the stages",
    "real": "the real stages, smoke profile",
    "flow": "stand-ins for the stages in a Prefect flow",
}
RESULTS = REPOSITORY / "benchmarks" / "results" / "faults.json"
DOCUMENT = REPOSITORY / "docs" / "faults.md"


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of faults in a row, joined by ``" + "``; ``problems`` is empty when all were survived."""

    kind: str
    seed: int
    stages_before: int
    details: list[str]
    disturbed_code: int | None
    problems: list[str]


def strike(subject: Subject, kind: str, seed: int, folder: Path) -> Outcome:
    """Try a fault, or several joined by ``" + "``, in a copy of a prepared workspace in ``folder``; then run again and compare."""
    kinds, chance = kind.split(" + "), random.Random(f"{kind} {seed}")
    usable = [stages for stages in subject.prepared if stages or not any(needs_results(one) for one in kinds)]
    before = chance.choice([stages for stages in usable if stages < _ALL_STAGES or "half-written file" not in kinds])
    root = folder / "workspace"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(subject.prepared[before], root, symlinks=True)
    told = [FAULTS[one](root, subject, before, chance) for one in kinds]
    problems = [f"still at work: {name}" for name in _processes_in(root)]
    with tempfile.TemporaryFile() as said:
        again = talkhead_run(root, subject.speaker, {}, stderr=said).wait(LONGEST_RUN_S)
        said.seek(0)
        if again != 0:
            problems.append(f"the next run failed: {said.read().decode(errors='replace').strip().splitlines()[-1:]}")
    problems += differences(root, subject)
    details, code = [detail for detail, _ in told], told[-1][1]
    return Outcome(kind=kind, seed=seed, stages_before=before, details=details, disturbed_code=code, problems=problems)


def rows_of(kinds: list[str], count: int, in_a_row: int, seed: int) -> list[str]:
    """``count`` faults, every kind as often as the others (within one), in a random order and in rows of ``in_a_row``."""
    drawn = (kinds * (count // len(kinds) + 1))[:count]
    random.Random(seed).shuffle(drawn)
    rows = [drawn[start : start + in_a_row] for start in range(0, count, in_a_row)]
    # a half-written file lies where a stage was killed, so in one that is still to be run: nothing may run before it is put there
    return [" + ".join(sorted(row, key=lambda kind: kind != "half-written file")) for row in rows]


def differences(root: Path, subject: Subject) -> list[str]:
    """What is not as after an undisturbed run."""
    found = digests(root, subject.speaker)
    problems = [f"{name} is missing" for name in subject.reference if name not in found]
    problems += [f"{name} differs" for name in found if name not in subject.unstable and found[name] != subject.reference.get(name)]
    problems += [f"{name} was left behind" for name in found if name not in subject.reference]
    status = subprocess.run(["dvc", "status"], cwd=root, env=child_environment(), capture_output=True, text=True, check=False)
    if "up to date" not in status.stdout:
        problems.append(f"dvc status: {' '.join((status.stdout + status.stderr).split())[:200]}")
    return problems


def digests(root: Path, speaker: str) -> dict[str, str]:
    """SHA-256 of every file in the speaker's stages."""
    files = [path for path in sorted((root / "data" / speaker).rglob("*")) if path.is_file() and path.name != ".gitignore"]
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def prepare(root: Path, speaker: str, folder: Path, after: list[int], environment: dict[str, str], *, twice: bool) -> Subject:
    """Run everything once, keeping copies on the way, and once more from the start to see what never comes out the same."""
    nodes = [node.name for node in read_stage_graph(root)]
    prepared, done = {}, 0
    for stop in sorted({*after, len(nodes)}):
        if stop > done:
            list(reproduce(Workspace(root), speaker, nodes[done:stop]))
        done = stop
        if stop in after:
            prepared[stop] = Path(shutil.copytree(root, folder / f"after-{stop}", symlinks=True))
    reference = digests(root, speaker)
    unstable: set[str] = set()
    if twice:
        again = Path(shutil.copytree(prepared[min(after)], folder / "again", symlinks=True))
        list(reproduce(Workspace(again), speaker, nodes))
        unstable = {name for name, digest in digests(again, speaker).items() if reference.get(name) != digest}
    return Subject(prepared=prepared, reference=reference, unstable=frozenset(unstable), speaker=speaker, environment=environment)


def stand_ins(folder: Path, after: list[int], slow_s: float = 0.15) -> Subject:
    """The real graph with stages that hash what they read."""
    root = make_toy_workspace(folder / "toy")
    add_speaker(root, "ada")
    environment = {f"TOY_{node.name.upper()}_SECONDS": str(slow_s) for node in read_stage_graph(root)}
    return prepare(root, "ada", folder, after, environment, twice=False)


def real_stages(folder: Path, after: list[int]) -> Subject:
    """The real stages at the smoke profile, on the demo speaker."""
    root = make_workspace(folder / "real")
    make_demo_speaker(Workspace(root), "smoke", None, lambda event: None)
    return prepare(root, "demo", folder, after, {}, twice=True)


def _processes_in(root: Path, seconds: float = 60.0) -> list[str]:
    """Command lines of the processes that still work in ``root`` after a while."""
    deadline = time.monotonic() + seconds
    while found := [" ".join(one.info["cmdline"] or []) for one in psutil.process_iter(["cwd", "cmdline"]) if one.info["cwd"] == str(root)]:
        if time.monotonic() > deadline:
            return found
        time.sleep(0.1)
    return []


def tables(results: dict[str, Any]) -> str:
    """The results as Markdown."""
    lines = []
    for title, run in results["runs"].items():
        struck = [
            (kind, detail, not outcome["problems"])
            for outcome in run["outcomes"]
            for kind, detail in zip(outcome["kind"].split(" + "), outcome["details"], strict=True)
            if not detail.startswith((MISSED, NOTHING))
        ]
        survived = sum(well for _, _, well in struck)
        lines += [f"### {title}: {survived} of {len(struck)} survived, in {len(run['outcomes'])} rows (seed {run['seed']})", ""]
        lines += ["| fault | tried | survived | such as |", "|---|---|---|---|"]
        for kind in {**FAULTS, **FLOW_FAULTS}:
            tried = [(detail, well) for name, detail, well in struck if name == kind]
            if tried:
                lines.append(f"| {kind} | {len(tried)} | {sum(well for _, well in tried)} | {tried[0][0][:90].replace('|', '/')} |")
        lines += ["", *(f"- not survived: {one['kind']}, seed {one['seed']} ({'; '.join(one['details'])}): {'; '.join(one['problems'][:3])}"
                        for one in run["outcomes"] if one["problems"])]  # fmt: skip
        if run["unstable"]:
            lines += ["", f"Not the same in two undisturbed runs, and only checked to be there: {', '.join(run['unstable'])}."]
        lines += [""]
    return "\n".join(lines)


def _strike_stages(arguments: argparse.Namespace, folder: Path, run: dict[str, Any]) -> Iterator[Outcome]:
    """The rows that have not been tried yet."""
    rows = rows_of(list(FAULTS), arguments.count, arguments.in_a_row, arguments.seed)
    subject = (real_stages if arguments.real else stand_ins)(folder, [0, 5, 9, 12, 15])
    run["unstable"] = sorted(subject.unstable)
    for number in range(len(run["outcomes"]), len(rows)):
        yield strike(subject, rows[number], arguments.seed + number, folder / "struck")


def _strike_flows(arguments: argparse.Namespace, folder: Path, run: dict[str, Any]) -> Iterator[Outcome]:
    """One fault after another on one server; each is followed by a run from the command line, which must find nothing amiss."""
    kinds = rows_of(list(FLOW_FAULTS), arguments.count, 1, arguments.seed)
    with served_speaker(folder) as served:
        reference = digests(served.root, SPEAKER)
        subject = Subject(prepared={}, reference=reference, unstable=frozenset(), speaker=SPEAKER)
        for number in range(len(run["outcomes"]), len(kinds)):
            kind, seed = kinds[number], arguments.seed + number
            detail, problems = strike_flow(served, kind, random.Random(f"{kind} {seed}"))
            if talkhead_run(served.root, SPEAKER, {}, stderr=subprocess.DEVNULL).wait(LONGEST_RUN_S) != 0:
                problems.append("the next run failed")
            problems += differences(served.root, subject)
            before = len(served.stages) - LATE_STAGES
            yield Outcome(kind=kind, seed=seed, stages_before=before, details=[detail], disturbed_code=None, problems=problems)


def main() -> None:
    """Try many faults, and write the results."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.faults", description=__doc__)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--in-a-row", type=int, default=4, help="how many faults strike one workspace before it is left alone")
    parser.add_argument("--seed", type=int, default=0)
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument("--real", action="store_true", help="the real stages")
    kind.add_argument("--flow", action="store_true", help="stand-ins in a Prefect flow")
    parser.add_argument("--minutes", type=float, default=600.0, help="stop early")
    parser.add_argument("--results", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    results: dict[str, Any] = read_json(arguments.results) if arguments.results.exists() else {"runs": {}}
    title = _TITLES["real" if arguments.real else "flow" if arguments.flow else "stand-ins"]
    asked = {"seed": arguments.seed, "count": arguments.count, "in_a_row": arguments.in_a_row}
    run = results["runs"].get(title)
    if run is None or any(run.get(name) != value for name, value in asked.items()):
        run = results["runs"][title] = {**asked, "outcomes": [], "unstable": [], "machine": describe_machine()}
    deadline = time.monotonic() + 60 * arguments.minutes
    with tempfile.TemporaryDirectory(prefix="faults-") as name:
        for outcome in (_strike_flows if arguments.flow else _strike_stages)(arguments, Path(name), run):
            run["outcomes"].append(asdict(outcome))
            print(f"{len(run['outcomes']):>4} {outcome.kind}: {'; '.join(outcome.details)}: {outcome.problems or 'survived'}", flush=True)
            write_json(arguments.results, results)
            if time.monotonic() > deadline:
                break
    if DOCUMENT.exists() and arguments.results == RESULTS:
        write_section(DOCUMENT, tables(results))


if __name__ == "__main__":
    main()

"""Acceptance of many machines, for real on one host: ``python -m benchmarks.many_machines`` (root, Debian's Swift and PostgreSQL).

A PostgreSQL, a Prefect server, a Swift that refuses wrong keys and a control worker listen on a bridge; each machine is a network
namespace with a clone, a cache and a worker of its own. Speakers are trained across the machines; in the middle of a training one
machine is killed (``kill -9`` of everything on it, its network cut), and another machine's worker is restarted. Then a batch of dubs
goes across the machines that are left. At the end every promise is checked against what the host's processes did.

Nothing has a time limit of its own: it is given up only when no stage has begun or ended anywhere for a long time. With
``--against-one`` one machine does the same work first, undisturbed.
"""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psutil

from benchmarks.document_section import write_section
from benchmarks.local_services import missing_programs
from benchmarks.machine import describe_machine
from benchmarks.machine_network import cannot_make_networks, machine_network
from benchmarks.machine_promises import kept_promises, takeover, timings
from benchmarks.machine_site import Site, say, set_up, until
from benchmarks.many_machines_table import DOCUMENT, RESULTS, tables
from benchmarks.speakers_for_machines import SPEECH
from benchmarks.stage_watch import StageWatch
from talkhead_core.artifacts import write_json

_STILL_S = 1800.0  # with no stage beginning or ending anywhere: longer than a dead machine goes unnoticed on a host that is overloaded


def main() -> None:
    """Run it and print what was found; exit code 1 when a promise was broken."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.many_machines", description=__doc__.splitlines()[0])
    parser.add_argument("--machines", type=int, default=3)
    parser.add_argument("--speakers", type=int, default=4)
    parser.add_argument("--dubs", type=int, default=8)
    parser.add_argument("--stages", choices=["smoke", "toy"], default="smoke", help="real stages at the smoke profile, or toy ones")
    parser.add_argument("--no-faults", action="store_true", help="kill nothing: for comparing wall times")
    parser.add_argument("--against-one", action="store_true", help="one machine does the same first, undisturbed, for comparing wall times")
    parser.add_argument("--out", type=Path, help=f"write the figures as JSON; {RESULTS.name} beside the others: the document's tables too")
    parser.add_argument("--keep", action="store_true", help="keep the folder with the logs")
    arguments = parser.parse_args()
    missing = missing_programs() + [name for name in ("/usr/lib/postgresql/15/bin/postgres",) if not Path(name).exists()]
    reason = cannot_make_networks() or (f"not installed: {', '.join(missing)} (see benchmarks/local_services.py)" if missing else None)
    if reason:
        raise SystemExit(f"many_machines: {reason}")
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(143))  # everything that was started is stopped
    folder = Path(tempfile.mkdtemp(prefix="many-machines-"))
    folder.chmod(0o755)
    try:
        undisturbed = argparse.Namespace(**{**vars(arguments), "machines": 1, "no_faults": True})
        one = run(folder / "one", undisturbed) if arguments.against_one else None
        figures = run(folder / "many", arguments)
    finally:
        if not arguments.keep:
            subprocess.run(["rm", "-rf", str(folder)], check=False)
    if one is not None:
        figures["one_machine"] = one
    if arguments.out:
        _keep(figures, arguments.out)
    print(json.dumps(figures, indent=2))
    broken = [f"{promise}: {what}" for promise, breaches in figures["broken_promises"].items() for what in breaches]
    for promise, breaches in figures["broken_promises"].items():
        say(f"{'BROKEN' if breaches else 'kept'}: {promise}")
    raise SystemExit("\n".join(broken) if broken else 0)


def run(folder: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    """The whole story; returns the figures, with the promises that were broken."""
    folder.mkdir()
    folder.chmod(0o755)
    with ExitStack() as stack:
        network = stack.enter_context(machine_network(arguments.machines))
        site = set_up(folder, network, stack, arguments.speakers, arguments.stages)
        names = [f"s{i + 1}" for i in range(arguments.speakers)]
        figures: dict[str, Any] = {name: getattr(arguments, name) for name in ("machines", "speakers", "dubs", "stages")}
        with StageWatch({"control": site.control, **site.machines}) as watch:
            began = time.monotonic()
            site.call("prefect", "deployment", "run", "talkhead/full", "-p", f"speaker={','.join(names)}")
            if not arguments.no_faults:
                figures["faults"] = _hurt(site, watch)
            full = _wait(site, watch, "talkhead")
            figures["training_wall_s"] = round(time.monotonic() - began, 1)
            say(f"training: {full['state_name']} after {figures['training_wall_s']} s")
            began = time.monotonic()
            _write_manifest(site.control, names, arguments.dubs)
            site.call("prefect", "deployment", "run", "talkhead-dub/batch", "-p", "manifest=batch/manifest.csv", "-p", "dubs_per_run=2")
            batch = _wait(site, watch, "talkhead-dub")
            figures["dubs_wall_s"] = round(time.monotonic() - began, 1)
            figures["dubs_per_hour"] = round(3600 * arguments.dubs / figures["dubs_wall_s"], 1)
            say(f"dubs: {batch['state_name']} after {figures['dubs_wall_s']} s")
            before_s = watch.orchestration_cpu_s()
            site.call("prefect", "deployment", "run", "talkhead/full", "-p", f"speaker={names[0]}")
            nothing_to_do = _wait(site, watch, "talkhead", count=2)
            figures["up_to_date_graph_cpu_s"] = round(watch.orchestration_cpu_s() - before_s, 2)
        hurt = {figures.get("faults", {}).get(name, "") for name in ("killed", "restarted")}
        figures |= timings(site.ask, watch, names, nothing_to_do)
        figures |= kept_promises(site.ask, watch, names, hurt, arguments.machines)
        figures["broken_promises"]["everything finished"] = _unfinished(site, names, (full, batch), arguments.dubs)
        figures["measured_on"] = describe_machine()
        return figures


def _hurt(site: Site, watch: StageWatch) -> dict[str, Any]:
    """Kill the first machine that trains, with its network; restart the worker of another."""
    in_flight: list[str] = []
    while not in_flight:  # a stage may end just then
        victim = until(lambda: next((run.machine for run in watch.working("train_coarse")), None) or _failed(site), _STILL_S, "a training",
                        lambda: len(watch.runs))  # fmt: skip
        time.sleep(1.0)
        in_flight = [f"{run.stage}@{run.speaker}" for run in watch.working("train_coarse") if run.machine == victim]
    site.network.cut(victim)
    for found in site.network.processes(victim):
        found.kill()
    killed_s = time.time()
    say(f"killed {victim} while it ran {', '.join(in_flight)}, and cut its network")
    told: dict[str, Any] = {"killed": victim, "in_flight": in_flight}
    other = next((name for name in site.machines if name != victim), None)
    if other is not None:
        workers = [found for found in site.network.processes(other) if "worker" in found.cmdline()]
        for found in workers:
            found.send_signal(signal.SIGTERM)
        psutil.wait_procs(workers, timeout=120)
        site.start_worker(other)
        told["restarted"] = other
        say(f"restarted the worker of {other}")
    lost = in_flight[0].split("@")[1]

    def again() -> Any:
        runs = [run for run in list(watch.runs.values()) if run.speaker == lost and run.machine != victim and run.started_s > killed_s]
        return min(runs, key=lambda run: run.started_s, default=None) or _failed(site)

    first = until(again, _STILL_S, "another machine to take over", lambda: len(watch.runs))
    (run,) = site.ask("flow_runs/filter", flow_runs={"name": {"any_": [f"speaker {lost}"]}})
    told["taken_over_after_s"] = takeover(site.read(f"flow_run_states/?flow_run_id={run['id']}"), killed_s, first.started_s)
    say(f"another machine has taken over; seconds after the kill: {told['taken_over_after_s']}")
    return told


def _unfinished(site: Site, names: list[str], runs: tuple[dict[str, Any], ...], dubs: int) -> list[str]:
    """What is not there at the end."""
    found = [f"{run['name']} ended as {run['state_name']}: {run['state']['message']}" for run in runs if run["state_type"] != "COMPLETED"]
    found += [f"no report of {name}" for name in names if not (site.control / "data" / name / "report" / "report.html").is_file()]
    made = sorted((site.control / "out" / "batch").rglob("*.mp4"))
    return found + ([f"{len(made)} of {dubs} dubs are there"] if len(made) != dubs else [])


def _write_manifest(root: Path, names: list[str], dubs: int) -> None:
    lines = ["speaker,audio,out"]
    lines += [f"{names[i % len(names)]},{SPEECH},{names[i % len(names)]}/dub-{i // len(names) + 1}.mp4" for i in range(dubs)]
    (root / "batch" / "manifest.csv").write_text("\n".join(lines) + "\n")


def _failed(site: Site) -> None:
    runs = site.ask("flow_runs/filter", flow_runs={"state": {"type": {"any_": ["FAILED"]}}})
    if runs:
        raise RuntimeError(f"{runs[0]['name']}: {runs[0]['state']['message']}")


def _wait(site: Site, watch: StageWatch, flow: str, count: int = 1) -> dict[str, Any]:
    """The latest run of ``flow``, of ``count``, once it has ended."""

    def ended() -> dict[str, Any] | None:
        runs = site.ask("flow_runs/filter", flows={"name": {"any_": [flow]}}, sort="EXPECTED_START_TIME_DESC")
        return runs[0] if len(runs) == count and runs[0]["state_type"] in ("COMPLETED", "FAILED", "CANCELLED") else None

    return dict(until(ended, _STILL_S, flow, lambda: (len(watch.runs), len(watch.working_now()))))


def _keep(figures: dict[str, Any], out: Path) -> None:
    """Beside the figures of the other kind of stages; in the document too, when these are the project's own results.

    One machine alone is kept beside the many that did the same work.
    """
    results = json.loads(out.read_text()) if out.is_file() else {}
    before = results.get(figures["stages"], {})
    if figures["machines"] == 1 and before.get("machines", 1) > 1:
        figures = {**before, "one_machine": figures}
    results[figures["stages"]] = figures
    write_json(out, results)
    if out.resolve() == RESULTS and DOCUMENT.is_file():
        write_section(DOCUMENT, tables(results))


if __name__ == "__main__":
    main()

"""Dubs an hour against the number of workers, on one host: ``python -m benchmarks.dub_throughput`` (root, as ``many_machines``).

One speaker is trained by the first machine; then the same batch is dubbed by one machine, by two, and by three, each with a clone of
its own. The first dub on a machine brings the speaker there, and counts. Machines that share two cores share their speed, too.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psutil

from benchmarks.machine import describe_machine
from benchmarks.machine_network import cannot_make_networks, machine_network
from benchmarks.machine_site import Site, say, set_up, until
from benchmarks.speakers_for_machines import SPEECH
from talkhead_core.artifacts import write_json

RESULTS = Path(__file__).with_name("results") / "dub_throughput.json"
_STILL_S = 1800.0


def main() -> None:
    """Run it, print the figures and keep them."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.dub_throughput", description=__doc__.splitlines()[0])
    parser.add_argument("--workers", type=int, default=3, help="the most machines")
    parser.add_argument("--dubs", type=int, default=6, help="dubs in the batch")
    parser.add_argument("--stages", choices=["smoke", "toy"], default="smoke")
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    if reason := cannot_make_networks():
        raise SystemExit(f"dub_throughput: {reason}")
    with tempfile.TemporaryDirectory(prefix="dub-throughput-") as name, ExitStack() as stack:
        folder = Path(name)
        folder.chmod(0o755)
        network = stack.enter_context(machine_network(arguments.workers))
        site = set_up(folder, network, stack, 1, arguments.stages, workers=1)
        site.call("prefect", "deployment", "run", "talkhead/full", "-p", "speaker=s1")
        _wait(site, "talkhead", 1)
        say("trained")
        rows = []
        for count, machine in enumerate(site.machines, start=1):
            if count > 1:
                site.start_worker(machine)
            rows.append(_dub(site, count, arguments.dubs))
            say(f"{count} workers: {rows[-1]['dubs_per_hour']} dubs an hour")
    figures = {"stages": arguments.stages, "dubs": arguments.dubs, "rows": rows, "measured_on": describe_machine()}
    write_json(arguments.out, figures)
    print(json.dumps(figures, indent=2))


def _dub(site: Site, workers: int, dubs: int) -> dict[str, Any]:
    """One batch into a folder of its own."""
    folder = f"batch/by-{workers}"
    (site.control / folder).mkdir(parents=True)
    lines = ["speaker,audio,out", *(f"s1,../{SPEECH},dub-{i + 1}.mp4" for i in range(dubs))]
    (site.control / folder / "manifest.csv").write_text("\n".join(lines) + "\n")
    words = ["-p", f"manifest={folder}/manifest.csv", "-p", f"out=out/by-{workers}", "-p", "dubs_per_run=1"]
    began_s, before = time.monotonic(), psutil.cpu_times()
    site.call("prefect", "deployment", "run", "talkhead-dub/batch", *words)
    run = _wait(site, "talkhead-dub", workers)
    seconds, after = time.monotonic() - began_s, psutil.cpu_times()
    if run["state_type"] != "COMPLETED":
        raise RuntimeError(f"{run['name']}: {run['state']['message']}")
    busy = (sum(after) - after.idle - after.iowait) - (sum(before) - before.idle - before.iowait)
    cores_busy = round(busy / seconds, 2)
    return {"workers": workers, "seconds": round(seconds, 1), "dubs_per_hour": round(3600 * dubs / seconds, 1), "cores_busy": cores_busy}


def _wait(site: Site, flow: str, count: int) -> dict[str, Any]:
    """The latest run of ``flow``, of ``count``, once it has ended."""

    def ended() -> dict[str, Any] | None:
        runs = site.ask("flow_runs/filter", flows={"name": {"any_": [flow]}}, sort="EXPECTED_START_TIME_DESC")
        return runs[0] if len(runs) == count and runs[0]["state_type"] in ("COMPLETED", "FAILED", "CANCELLED") else None

    return dict(until(ended, _STILL_S, flow))


if __name__ == "__main__":
    main()

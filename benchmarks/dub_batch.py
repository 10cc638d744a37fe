"""What a warm process is worth: dubs a minute in one batch against one command a dub.

    python -m benchmarks.dub_batch --workspace DIR --speaker NAME --audio SPEECH.wav [--dubs 5] [--repeats 3] [--results FILE.json]

``DIR`` is a workspace with a trained speaker. Both ways go through the command line, with pages and labels; they take turns, and
medians are compared. The batch's own start counts.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.machine import describe_machine
from benchmarks.prepared_speaker import REPOSITORY
from benchmarks.soak import write_batch
from flows.child_process import child_environment
from talkhead_core.artifacts import write_json

RESULTS = REPOSITORY / "benchmarks" / "results" / "dub_batch.json"


def seconds_of(root: Path, *arguments: str | Path) -> float:
    """How long ``talkhead dub`` takes with these arguments."""
    command = [sys.executable, "-m", "flows.command_line", "dub", *(str(part) for part in arguments)]
    began = time.monotonic()
    subprocess.run(command, cwd=root, env=child_environment(), stdin=subprocess.DEVNULL, capture_output=True, check=True)
    return time.monotonic() - began


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.dub_batch", description=__doc__)
    parser.add_argument("--workspace", type=Path, required=True)
    parser.add_argument("--speaker", required=True)
    parser.add_argument("--audio", type=Path, required=True)
    parser.add_argument("--dubs", type=int, default=5)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--results", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    root, batch, alone = arguments.workspace.resolve(), [], []
    for repeat in range(arguments.repeats):
        with tempfile.TemporaryDirectory(prefix="batch-") as name:
            folder = Path(name)
            speech = write_batch(folder, arguments.speaker, arguments.audio, arguments.dubs, seed=repeat)
            batch.append(seconds_of(root, "--manifest", folder / "batch.csv", "--out", folder / "dubs"))
            given = ("--speaker", arguments.speaker, "--audio")
            alone.append(sum(seconds_of(root, *given, path, "--out", path.with_suffix(".mp4")) for path in speech))
    per_minute = {way: 60 * arguments.dubs / statistics.median(found) for way, found in (("batch", batch), ("alone", alone))}
    ratio = statistics.median(one / many for one, many in zip(alone, batch, strict=True))
    figures = {
        "dubs": arguments.dubs,
        "dubs_a_minute": {way: round(value, 2) for way, value in per_minute.items()},
        "ratio": round(ratio, 2),
        "seconds": {"batch": batch, "alone": alone},
        "machine": describe_machine(),
    }
    write_json(arguments.results, figures)
    print(f"{per_minute['batch']:.1f} dubs a minute in a batch, {per_minute['alone']:.1f} by a command each: {ratio:.1f} times")


if __name__ == "__main__":
    main()

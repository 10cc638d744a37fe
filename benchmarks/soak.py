"""Does anything grow: many short dubs in one batch, and one long dub.

    python -m benchmarks.soak --workspace DIR --speaker NAME --audio SPEECH.wav [--dubs 200] [--minutes 60]

``--dubs 0`` and ``--minutes 0`` leave what was measured before as it is. ``DIR`` is a workspace with a trained speaker. The batch
goes through `talkhead dub --manifest`, the long dub through `python -m tasks.dub`, with the speech repeated to the length asked for.
Every second the memory, the open files and the processes of the whole family, and the temporary files, are noted. The verdict is one
of slopes (Theil-Sen, after the first quarter, in which things are loaded): flat means that the rest of the run added less than a
tenth, or less than two (files, processes, MiB). Leaked means: a process or a temporary file is left at the end. Writes
``benchmarks/results/soak.json`` and ``docs/soak.md`` with its plot.
"""

from __future__ import annotations

import argparse
import csv
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import scipy.stats

from benchmarks.machine import describe_machine
from benchmarks.prepared_speaker import REPOSITORY
from benchmarks.soak_page import table, write_page
from flows.child_process import child_environment
from talkhead_core.artifacts import read_json, write_json
from talkhead_core.media.audio_file import SPEECH_SAMPLE_RATE_HZ, read_audio, write_audio
from talkhead_core.media.probe import probe_video

RESULTS = REPOSITORY / "benchmarks" / "results" / "soak.json"
QUANTITIES = ("memory_mib", "open_files", "processes", "temporary_files")
_MOST_GROWTH, _MOST_ADDED = 0.1, 2.0
_MOST_POINTS, _FEWEST_SAMPLES = 300, 8


@dataclass(frozen=True, kw_only=True)
class Course:
    """What a family of processes used over time, a sample a second."""

    seconds: list[float] = field(default_factory=list)
    memory_mib: list[float] = field(default_factory=list)
    open_files: list[int] = field(default_factory=list)
    processes: list[int] = field(default_factory=list)
    temporary_files: list[int] = field(default_factory=list)

    def summary(self) -> dict[str, Any]:
        """For each quantity: the median, the most, the slope after the first quarter, and whether it is flat; and some of the samples."""
        found: dict[str, Any] = {"seconds": round(self.seconds[-1], 1) if self.seconds else 0.0, "samples": len(self.seconds)}
        quarter, stride = len(self.seconds) // 4, max(1, len(self.seconds) // _MOST_POINTS)
        minutes = np.array(self.seconds[quarter:]) / 60
        for name in QUANTITIES:
            values = np.array(getattr(self, name)[quarter:], float)
            if len(values) < _FEWEST_SAMPLES:
                continue
            slope, _, low, high = (float(value) for value in scipy.stats.theilslopes(values, minutes))
            median = max(float(np.median(values)), 1.0)
            added = slope * (minutes[-1] - minutes[0])
            found[name] = {
                "median": round(float(np.median(values)), 1),
                "most": round(float(max(getattr(self, name))), 1),
                "slope_per_minute": round(slope, 3),
                "slope_ci95": [round(low, 3), round(high, 3)],
                "growth": round(float(added / median), 4),
                "flat": bool(added < max(_MOST_GROWTH * median, _MOST_ADDED)),
            }
        found["course"] = {name: [round(value, 1) for value in getattr(self, name)[::stride]] for name in ("seconds", *QUANTITIES)}
        return found


def watched(command: Sequence[str | Path], root: Path) -> tuple[int, Course]:
    """Run a command in ``root`` and note what it and its children use."""
    course, started = Course(), time.monotonic()
    with tempfile.TemporaryFile() as said:
        arguments = [str(part) for part in command]
        process = subprocess.Popen(arguments, cwd=root, env=child_environment(), stdin=subprocess.DEVNULL, stdout=said, stderr=said)
        top = psutil.Process(process.pid)
        while process.poll() is None:
            try:
                family = [top, *top.children(recursive=True)]
                memory, files = sum(one.memory_info().rss for one in family) / 2**20, sum(one.num_fds() for one in family)
            except psutil.Error:
                continue  # one of them has just ended
            course.seconds.append(time.monotonic() - started)
            course.memory_mib.append(memory)
            course.open_files.append(files)
            course.processes.append(len(family))
            course.temporary_files.append(len(temporary_files(root)))
            time.sleep(1.0)
        if process.returncode != 0:
            said.seek(0)
            print(said.read().decode(errors="replace")[-2000:])
    return process.returncode, course


def left_behind(root: Path, before: set[Path]) -> list[str]:
    """Temporary files and processes that the run did not take away."""
    found = [str(path) for path in temporary_files(root) - before]
    mine = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    running = psutil.process_iter(["pid", "cwd", "cmdline"])
    working = [one for one in running if one.info["cwd"] == str(root) and one.info["pid"] not in mine]
    return found + [" ".join(one.info["cmdline"] or []) for one in working]


def temporary_files(root: Path) -> set[Path]:
    """Whatever is named like a file that is not whole yet, or like a folder that a dub works in."""
    inside = {path for place in ("data", "out") for pattern in (".writing-*", "dub-*") for path in (root / place).rglob(pattern)}
    return inside | set(Path(tempfile.gettempdir()).glob("talkhead-*"))


def write_batch(folder: Path, speaker: str, audio: Path, count: int, seed: int = 0) -> list[Path]:
    """``batch.csv`` with ``count`` pieces of speech of a second or two, which are returned."""
    speech, paths = read_audio(audio), []
    random = np.random.default_rng(seed)
    with (folder / "batch.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["speaker", "audio", "out"])
        for number in range(count):
            length = int(random.uniform(1.0, 2.0) * SPEECH_SAMPLE_RATE_HZ)
            start = int(random.integers(max(1, len(speech) - length)))
            write_audio(folder / f"{number}.wav", speech[start : start + length])
            writer.writerow([speaker, f"{number}.wav", f"{number}.mp4"])
            paths.append(folder / f"{number}.wav")
    return paths


def batch(root: Path, speaker: str, audio: Path, count: int, out: Path) -> dict[str, Any]:
    """``count`` dubs of a second or two each."""
    write_batch(out, speaker, audio, count)
    before = temporary_files(root)
    command = [sys.executable, "-m", "flows.command_line", "dub", "--manifest", out / "batch.csv", "--out", out / "dubs"]
    code, course = watched(command, root)
    made = len(list((out / "dubs").glob("*.mp4")))
    return {"asked": count, "made": made, "exit_code": code, "left": left_behind(root, before), **course.summary()}


def long_dub(root: Path, speaker: str, audio: Path, minutes: float, out: Path) -> dict[str, Any]:
    """One dub of many minutes."""
    speech = read_audio(audio)
    samples = int(minutes * 60 * SPEECH_SAMPLE_RATE_HZ)
    write_audio(out / "long.wav", np.resize(speech, samples))
    before = temporary_files(root)
    command = [sys.executable, "-m", "tasks.dub", "--speaker", speaker, "--audio", out / "long.wav", "--out", out / "long.mp4"]
    code, course = watched(command, root)
    made = {"exit_code": code, "left": left_behind(root, before), **course.summary()}
    if code == 0:
        video = probe_video(out / "long.mp4")
        made |= {"size_mb": round((out / "long.mp4").stat().st_size / 1e6, 1), "side_px": video.width, "frames": video.frames}
    return {"minutes": minutes, **made}


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__)
    parser.add_argument("--workspace", type=Path, required=True)
    parser.add_argument("--speaker", required=True)
    parser.add_argument("--audio", type=Path, required=True)
    parser.add_argument("--dubs", type=int, default=200)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--results", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    root = arguments.workspace.resolve()
    results: dict[str, Any] = read_json(arguments.results) if arguments.results.is_file() else {}
    results["machine"] = describe_machine()
    with tempfile.TemporaryDirectory(prefix="soak-") as name:
        if arguments.dubs:
            results["batch"] = batch(root, arguments.speaker, arguments.audio, arguments.dubs, Path(name))
        if arguments.minutes:
            results["long"] = long_dub(root, arguments.speaker, arguments.audio, arguments.minutes, Path(name))
    write_json(arguments.results, results)
    if arguments.results == RESULTS:
        write_page(results)
    print(table(results))


if __name__ == "__main__":
    main()

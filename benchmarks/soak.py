"""Does anything grow: many short dubs in one batch, and one long dub.

    python -m benchmarks.soak --workspace DIR --speaker NAME --audio SPEECH.wav [--dubs 200] [--minutes 60]

``DIR`` is a workspace with a trained speaker. The batch goes through `talkhead dub --manifest`, the long dub through
`python -m tasks.dub`, with the speech repeated to the length asked for. Every second the memory, the open files and the processes of
the whole family are noted. Flat means: the median of the last quarter is within 10 % of that of the second quarter. Leaked means:
there are more open files at the end of the batch than after its first tenth, or a process or a temporary file is left.
Writes ``benchmarks/results/soak.json``.
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

from benchmarks.machine import describe_machine
from benchmarks.prepared_speaker import REPOSITORY
from flows.child_process import child_environment
from talkhead_core.artifacts import write_json
from talkhead_core.media.audio_file import SPEECH_SAMPLE_RATE_HZ, read_audio, write_audio

RESULTS = REPOSITORY / "benchmarks" / "results" / "soak.json"
MOST_GROWTH = 1.1


@dataclass(frozen=True, kw_only=True)
class Course:
    """What a family of processes used over time, a sample a second."""

    seconds: list[float] = field(default_factory=list)
    memory_mib: list[float] = field(default_factory=list)
    own_files: list[int] = field(default_factory=list)
    processes: list[int] = field(default_factory=list)

    def summary(self) -> dict[str, Any]:
        """Medians of the second and the last quarter, and the most there was."""
        quarter = max(1, len(self.seconds) // 4)
        found: dict[str, Any] = {"samples": len(self.seconds), "seconds": round(self.seconds[-1], 1) if self.seconds else 0.0}
        for name in ("memory_mib", "own_files", "processes"):
            values = getattr(self, name)
            if values:
                early, late = float(np.median(values[quarter : 2 * quarter] or values)), float(np.median(values[-quarter:]))
                found[name] = {"second_quarter": round(early, 1), "last_quarter": round(late, 1), "most": round(float(max(values)), 1)}
        memory = found.get("memory_mib")
        found["flat"] = memory is not None and memory["last_quarter"] <= MOST_GROWTH * memory["second_quarter"]
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
                memory = sum(one.memory_info().rss for one in family) / 2**20
                course.own_files.append(top.num_fds())
            except psutil.Error:
                continue  # one of them has just ended
            course.seconds.append(time.monotonic() - started)
            course.memory_mib.append(memory)
            course.processes.append(len(family))
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


def batch(root: Path, speaker: str, audio: Path, count: int, out: Path) -> dict[str, Any]:
    """``count`` dubs of a second or two each."""
    speech = read_audio(audio)
    random = np.random.default_rng(0)
    with (out / "batch.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["speaker", "audio", "out"])
        for number in range(count):
            length = int(random.uniform(1.0, 2.0) * SPEECH_SAMPLE_RATE_HZ)
            start = int(random.integers(max(1, len(speech) - length)))
            write_audio(out / f"{number}.wav", speech[start : start + length])
            writer.writerow([speaker, f"{number}.wav", f"{number}.mp4"])
    before = temporary_files(root)
    command = [sys.executable, "-m", "flows.command_line", "dub", "--manifest", out / "batch.csv", "--out", out / "dubs"]
    code, course = watched(command, root)
    made = len(list((out / "dubs").glob("*.mp4")))
    tenth = max(1, len(course.own_files) // 10)
    leaked = bool(course.own_files) and max(course.own_files[-tenth:]) > max(course.own_files[:tenth]) + 2
    return {"asked": count, "made": made, "exit_code": code, "files_leaked": leaked, "left": left_behind(root, before), **course.summary()}


def long_dub(root: Path, speaker: str, audio: Path, minutes: float, out: Path) -> dict[str, Any]:
    """One dub of many minutes."""
    speech = read_audio(audio)
    samples = int(minutes * 60 * SPEECH_SAMPLE_RATE_HZ)
    write_audio(out / "long.wav", np.resize(speech, samples))
    before = temporary_files(root)
    command = [sys.executable, "-m", "tasks.dub", "--speaker", speaker, "--audio", out / "long.wav", "--out", out / "long.mp4"]
    code, course = watched(command, root)
    size_mb = (out / "long.mp4").stat().st_size / 1e6 if (out / "long.mp4").is_file() else 0.0
    return {"minutes": minutes, "exit_code": code, "size_mb": round(size_mb, 1), "left": left_behind(root, before), **course.summary()}


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
    results: dict[str, Any] = {"machine": describe_machine()}
    with tempfile.TemporaryDirectory(prefix="soak-") as name:
        if arguments.dubs:
            results["batch"] = batch(root, arguments.speaker, arguments.audio, arguments.dubs, Path(name))
        if arguments.minutes:
            results["long"] = long_dub(root, arguments.speaker, arguments.audio, arguments.minutes, Path(name))
    write_json(arguments.results, results)
    for kind in ("batch", "long"):
        print(kind, results.get(kind))


if __name__ == "__main__":
    main()

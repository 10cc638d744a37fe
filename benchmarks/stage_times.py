"""Times of a trained speaker that ``benchmarks.scaling`` reckons with, measured on this machine.

    python -m benchmarks.stage_times --workspace DIR --speaker NAME --audio SPEECH.wav [--seconds 4 24] [--repeats 3] [--machine cpu]
        [--clock processor] [--evaluation]

``DIR`` is a workspace with a trained speaker. Dubs of two lengths go through one process, as in a batch, each with its labels and its
page: the first, cold one tells what loading costs, the difference of the lengths what a frame costs, and the rest what a dub costs
whatever its length. ``--evaluation`` renders, scores and reports the held-out frames anew as well. Medians go into
``results/stage_times.json``. ``--clock processor`` counts processor time, for a machine that has other work, too: what a dub would take
one core of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from benchmarks.machine import describe_machine
from benchmarks.prepared_speaker import REPOSITORY
from flows.dub_process import DubProcess, DubSource
from flows.stage_runs import run_task
from flows.workspace import Workspace
from talkhead_core.artifacts import read_json, write_text
from talkhead_core.media.audio_file import SPEECH_SAMPLE_RATE_HZ, read_audio, write_audio
from talkhead_core.media.probe import probe_video
from talkhead_core.speakers import registered_speaker

__all__ = ["DubTimes", "dub_figures", "keep"]

RESULTS = REPOSITORY / "benchmarks" / "results" / "stage_times.json"
_AFTER_TRAINING = ("render", "evaluate", "report")


@dataclass(frozen=True, kw_only=True)
class DubTimes:
    """What three dubs of one process took.

    Args:
        cold_s: the first, short one, with all loading.
        short_s: another of the same length.
        long_s: a long one.
    """

    cold_s: float
    short_s: float
    long_s: float


def dub_figures(times: list[DubTimes], short: tuple[int, int], long: tuple[int, int]) -> dict[str, float]:
    """The figures of :class:`benchmarks.scaling.MachineTimes` about dubs.

    Args:
        times: one for each process.
        short: frames and bytes of the short dub.
        long: frames and bytes of the long one.
    """
    frames = long[0] - short[0]
    frame_s = statistics.median((each.long_s - each.short_s) / frames for each in times)
    return {
        "dub_fps": round(1 / frame_s, 1),
        "dub_start_s": round(statistics.median(each.cold_s - each.short_s for each in times), 1),
        "dub_each_s": round(statistics.median(each.short_s for each in times) - short[0] * frame_s, 2),
        "bytes_per_frame": (long[1] - short[1]) / frames,
    }


def measure_dubs(
    workspace: Workspace, speaker: str, audio: Path, seconds: tuple[float, float], repeats: int, clock: Callable[[], float]
) -> dict[str, float]:
    """Dubs of two lengths, in ``repeats`` processes one after another, by ``clock``."""
    source = DubSource(root=workspace.root, speaker=speaker, options=(), signature="")
    speech, times = read_audio(audio), []
    with tempfile.TemporaryDirectory(prefix="stage-times-") as name:
        paths = [Path(name) / length for length in ("short.wav", "long.wav")]
        for path, length_s in zip(paths, seconds, strict=True):
            write_audio(path, np.resize(speech, int(length_s * SPEECH_SAMPLE_RATE_HZ)))
        short, long = paths
        for _ in range(repeats):
            with DubProcess() as process:
                cold_s, short_s, long_s = (_seconds_of(process, source, path, clock) for path in (short, short, long))
            times.append(DubTimes(cold_s=cold_s, short_s=short_s, long_s=long_s))
        videos = [path.with_suffix(".mp4") for path in paths]
        probed = [probe_video(video) for video in videos]
        sizes = [(probe.frames, video.stat().st_size) for probe, video in zip(probed, videos, strict=True)]
    figures = dub_figures(times, *sizes)
    figures["dub_bytes_per_s"] = round(figures.pop("bytes_per_frame") * float(probed[0].fps))
    return {**figures, "side_px": probed[0].width}


def _seconds_of(process: DubProcess, source: DubSource, audio: Path, clock: Callable[[], float]) -> float:
    began_s = clock()
    process.dub(source, audio, audio.with_suffix(".mp4"), lambda event: None)
    return clock() - began_s


def measure_evaluation(workspace: Workspace, speaker: str) -> float:
    """Held-out frames a second through rendering, scoring and reporting, each stage's start included; by the wall's clock."""
    began_s = time.monotonic()
    for stage in _AFTER_TRAINING:
        run_task(workspace, stage, ["--speaker", speaker], lambda event: None)
    seconds = time.monotonic() - began_s
    return len(read_json(workspace.stage_folder(speaker, "render") / "render.json")["frame_ids"]) / seconds


def processor_s() -> float:
    """Processor time of all processes that this one has started and that live, and of those that they have waited for."""
    times = [child.cpu_times() for child in psutil.Process().children(recursive=True)]
    return sum(each.user + each.system + each.children_user + each.children_system for each in times)


def keep(path: Path, machine: str, figures: dict[str, float], how: str) -> None:
    """Put measured figures in the place of what stood there for this kind of machine."""
    times: dict[str, dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
    times[machine] |= {name: {"value": value, "from": f"measured: {how}"} for name, value in figures.items()}
    blocks = []
    for kind, entries in times.items():
        lines = ",\n".join(f"    {json.dumps(name)}: {json.dumps(entry)}" for name, entry in entries.items())
        blocks.append(f"  {json.dumps(kind)}: {{\n{lines}\n  }}")
    write_text(path, "{\n" + ",\n".join(blocks) + "\n}\n")


def main() -> None:
    """Measure, print and keep."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.stage_times", description=__doc__.splitlines()[0])
    parser.add_argument("--workspace", type=Path, required=True)
    parser.add_argument("--speaker", required=True)
    parser.add_argument("--audio", type=Path, required=True)
    parser.add_argument("--seconds", type=float, nargs=2, default=(4.0, 24.0), help="the lengths of the dubs")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--clock", choices=["wall", "processor"], default="wall")
    parser.add_argument("--evaluation", action="store_true", help="measure evaluate_fps, too")
    parser.add_argument("--machine", default="cpu", help="the kind of machine that this one is")
    parser.add_argument("--results", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    workspace, speaker = Workspace(arguments.workspace.resolve()), arguments.speaker
    profile = registered_speaker(workspace.speakers, speaker).profile
    clock = processor_s if arguments.clock == "processor" else time.monotonic
    figures = measure_dubs(workspace, speaker, arguments.audio, tuple(arguments.seconds), arguments.repeats, clock)
    machine, side_px, cores = describe_machine(), figures.pop("side_px"), len(os.sched_getaffinity(0))
    on = f"{cores} core{'s' if cores > 1 else ''} of {machine['processor']}"
    on += ", processor time" if arguments.clock == "processor" else f", load {machine['load_before']} at the end"
    how = f"benchmarks.stage_times, profile {profile}, {side_px:.0f} px"
    lengths = " and ".join(f"{length:g}" for length in arguments.seconds)
    keep(arguments.results, arguments.machine, figures, f"{how}, dubs of {lengths} s, median of {arguments.repeats}, {on}")
    if arguments.evaluation:
        figures["evaluate_fps"] = round(measure_evaluation(workspace, speaker), 2)
        keep(arguments.results, arguments.machine, {"evaluate_fps": figures["evaluate_fps"]}, f"{how}, {on}")
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()

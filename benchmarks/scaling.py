"""What many speakers and many dubs a day cost: ``python -m benchmarks.scaling`` simulates machines with measured stage times.

    python -m benchmarks.scaling                       # the table for 1,000 speakers and 100,000 dubs a day
    python -m benchmarks.scaling --keep                # the same, into results/scaling.json and infra/README.md
    python -m benchmarks.scaling --speakers 50 --dubs-a-day 2000 --machine cpu
    python -m benchmarks.scaling --measure             # DVC against the number of registered speakers, on this machine (minutes)

Times of a kind of machine stand in ``results/stage_times.json``, each with where it comes from: ``measured`` or ``assumed``
(``benchmarks.stage_times`` measures what a trained speaker is needed for).
"""

from __future__ import annotations

import argparse
import heapq
import json
import math
import random
import statistics
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.document_section import write_section
from benchmarks.dvc_scaling import measure_dvc
from benchmarks.scaling_table import DOCUMENT, scaling_table
from talkhead_core.artifacts import write_json

__all__ = ["Load", "MachineTimes", "machines_needed", "simulate", "totals"]

RESULTS = Path(__file__).with_name("results")
_DAY_S = 86_400
_SHARE_OF_PEAK = 0.85  # a queue at more of its capacity than this grows without end when anything dies


@dataclass(frozen=True, kw_only=True)
class Load:
    """What is asked of the site.

    Args:
        speakers: registered speakers.
        retrain_days: each speaker is trained anew so often.
        footage_s: the length of a recording.
        dubs_a_day: how many dubs are asked for.
        dub_s: the length of a dub.
        peak: how many times the average comes in the busiest hour, 1 to 2.
        dubs_per_run: dubs of one speaker that a machine takes at a time.
    """

    speakers: int = 1_000
    retrain_days: float = 30.0
    footage_s: float = 240.0
    dubs_a_day: int = 100_000
    dub_s: float = 30.0
    peak: float = 2.0
    dubs_per_run: int = 25


@dataclass(frozen=True, kw_only=True)
class MachineTimes:
    """How fast a kind of machine is, and what its results weigh.

    Args:
        prepare_fps: frames a second through all stages before training.
        train_s: training of one speaker, all three stages.
        evaluate_fps: held-out frames a second through render, evaluate and report.
        dub_fps: frames of a dub a second, encoding included.
        dub_start_s: loading the model and the libraries, once a run: all its dubs are of one speaker, in one process.
        dub_each_s: what a dub takes beside its frames: its sound, its labels, its page.
        run_start_s: starting a run on a machine.
        stage_overhead_s: what orchestration adds to a stage.
        speaker_bytes_per_s: artifacts of one trained speaker, for each second of footage.
        model_bytes: what does not grow with the footage.
        dub_bytes_per_s: a dub's video.
        fps: frames a second of the videos.
    """

    prepare_fps: float
    train_s: float
    evaluate_fps: float
    dub_fps: float
    dub_start_s: float
    dub_each_s: float
    run_start_s: float
    stage_overhead_s: float
    speaker_bytes_per_s: float
    model_bytes: float
    dub_bytes_per_s: float
    fps: float = 25.0

    def training_s(self, load: Load) -> float:
        """One speaker from the recording to the report."""
        frames = load.footage_s * self.fps
        return self.run_start_s + 15 * self.stage_overhead_s + frames / self.prepare_fps + self.train_s + frames / 11 / self.evaluate_fps

    def dub_seconds(self, load: Load) -> float:
        """One dub, its share of the run's start and of loading included."""
        return (self.run_start_s + self.dub_start_s) / load.dubs_per_run + self.dub_each_s + load.dub_s * self.fps / self.dub_fps

    def speaker_bytes(self, load: Load) -> float:
        """What one trained speaker leaves in the store."""
        return self.model_bytes + load.footage_s * self.speaker_bytes_per_s


def totals(load: Load, times: MachineTimes) -> dict[str, float]:
    """What a day adds up to, on paper."""
    trainings = load.speakers / load.retrain_days
    dub_hours = load.dubs_a_day * times.dub_seconds(load) / 3600
    training_hours = trainings * times.training_s(load) / 3600
    runs = trainings + load.dubs_a_day / load.dubs_per_run
    return {
        "trainings_a_day": trainings,
        "machine_hours_a_day": dub_hours + training_hours,
        "of_that_dubbing": dub_hours,
        "of_that_training": training_hours,
        "stored_gb_of_speakers": load.speakers * times.speaker_bytes(load) / 1e9,
        "stored_gb_of_dubs_a_month": 30 * load.dubs_a_day * load.dub_s * times.dub_bytes_per_s / 1e9,
        "transferred_gb_a_day": (
            trainings * times.speaker_bytes(load) * 2  # up by the machine, down to the control workspace
            + load.dubs_a_day * load.dub_s * (times.dub_bytes_per_s + 32_000)  # the video up, the speech down
            + load.dubs_a_day / load.dubs_per_run * times.speaker_bytes(load) * 0.35  # what a dub needs of a speaker, on another machine
        )
        / 1e9,
        "runs_a_day": runs,
        "runs_a_minute_at_the_peak": runs * load.peak / 1440,
    }


def simulate(load: Load, times: MachineTimes, machines: int, *, seed: int = 0, days: float = 1.0) -> dict[str, float]:
    """A day of arrivals at ``machines`` machines, first come first served; dubs come in runs of one speaker, busier by day.

    Returns:
        Waiting times of dub runs in seconds, the share of time the machines work, and the backlog at the end in machine-hours.
    """
    draw = random.Random(seed)
    run_s = times.dub_seconds(load) * load.dubs_per_run
    jobs = [(_arrival(draw, load.peak, days), run_s, True) for _ in range(round(days * load.dubs_a_day / load.dubs_per_run))]
    jobs += [(draw.random() * 0.25 * _DAY_S, times.training_s(load), False) for _ in range(round(days * load.speakers / load.retrain_days))]
    jobs.sort()
    free = [0.0] * machines
    heapq.heapify(free)
    waits, work = [], 0.0
    for arrived, seconds, is_dub in jobs:
        begun = max(arrived, heapq.heappop(free))
        heapq.heappush(free, begun + seconds)
        work += seconds
        if is_dub:
            waits.append(begun - arrived)
    waits.sort()
    end = days * _DAY_S
    return {
        "wait_median_s": statistics.median(waits),
        "wait_p95_s": waits[int(0.95 * len(waits))],
        "busy": work / (machines * end),
        "backlog_h": sum(max(0.0, until - end) for until in free) / 3600,
    }


def machines_needed(load: Load, times: MachineTimes, wait_p95_s: float = 600.0) -> int:
    """The fewest machines with which 95 % of the dub runs begin within ``wait_p95_s``, one of them dead."""
    hours = totals(load, times)["machine_hours_a_day"]
    low = max(1, math.ceil(hours / 24))
    high = max(2, math.ceil(hours * load.peak / 24 / _SHARE_OF_PEAK) + 2)
    while low < high:
        middle = (low + high) // 2
        if simulate(load, times, middle)["wait_p95_s"] <= wait_p95_s:
            high = middle
        else:
            low = middle + 1
    return low + 1


def _arrival(draw: random.Random, peak: float, days: float) -> float:
    """A time of day: a cosine around the average that reaches ``peak`` times it at noon."""
    swing = peak - 1
    while True:
        second = draw.random() * days * _DAY_S
        density = 1 - swing * math.cos(2 * math.pi * second / _DAY_S)
        if draw.random() * (1 + swing) <= density:
            return second


def read_times(kind: str) -> tuple[MachineTimes, dict[str, str]]:
    """The times of a kind of machine, and where each comes from."""
    entries = json.loads((RESULTS / "stage_times.json").read_text())[kind]
    values = {name: float(entry["value"]) for name, entry in entries.items()}
    return MachineTimes(**values), {name: entry["from"] for name, entry in entries.items()}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scaling", description=__doc__.splitlines()[0])
    parser.add_argument("--speakers", type=int, default=Load.speakers)
    parser.add_argument("--dubs-a-day", type=int, default=Load.dubs_a_day)
    parser.add_argument("--dub-s", type=float, default=Load.dub_s)
    parser.add_argument("--footage-s", type=float, default=Load.footage_s)
    parser.add_argument("--machine", choices=sorted(json.loads((RESULTS / "stage_times.json").read_text())), action="append")
    parser.add_argument("--measure", action="store_true", help="measure DVC against the number of speakers")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--keep", action="store_true", help="write results/scaling.json and the table in infra/README.md")
    arguments = parser.parse_args()
    if arguments.measure:
        print(json.dumps(measure_dvc((1, 10, 30, 100)), indent=2))
        return
    load = Load(speakers=arguments.speakers, dubs_a_day=arguments.dubs_a_day, dub_s=arguments.dub_s, footage_s=arguments.footage_s)
    result: dict[str, Any] = {}
    for kind in arguments.machine or ["cpu", "gpu"]:
        times, origins = read_times(kind)
        machines = machines_needed(load, times)
        result[kind] = {
            "machines": machines,
            **{name: round(value, 1) for name, value in totals(load, times).items()},
            **{name: round(value, 3) for name, value in simulate(load, times, machines - 1).items()},
            "times": {name: getattr(times, name) for name in origins},
            "from": origins,
            "assumed": sorted(name for name, origin in origins.items() if origin.startswith("assumed")),
        }
    if arguments.keep:
        kept = {"load": asdict(load), "machines": result}
        write_json(RESULTS / "scaling.json", kept)
        write_section(DOCUMENT, scaling_table(kept), "scaling")
    if arguments.json:
        print(json.dumps(result, indent=2))
        return
    print(f"{load.speakers} speakers, trained every {load.retrain_days:g} days; {load.dubs_a_day} dubs of {load.dub_s:g} s a day")
    for kind, figures in result.items():
        print(f"\n{kind} machines")
        for name, value in figures.items():
            if not isinstance(value, dict):
                print(f"  {name.replace('_', ' '):<32} {', '.join(value) if isinstance(value, list) else value}")


if __name__ == "__main__":
    main()

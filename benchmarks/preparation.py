"""Frames a second of the preparation, from raw video to clean clip: ``python -m benchmarks.preparation [--video V] [--repeats 3]``.

Every stage runs as the process that DVC would start, in a temporary workspace, as soon as the stages it reads from have ended and at
most ``--at-once`` of them side by side: two, as the flow ``talkhead`` runs them. Medians over the repeats go to
``benchmarks/results/preparation.json``, under the clip's name, with the machine described. Processor time over cores is what it would
take on idle cores if all of it ran on all of them: a bound from below, and the figure that other work on the machine does not touch.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path

import yaml

from benchmarks.machine import describe_machine
from flows.stage_graph import read_stage_graph
from talkhead_core.artifacts import read_json, write_json
from talkhead_core.consent import Consent, statement_hash, write_consent

STAGES = ("ingest", "extract_audio", "denoise", "speech_features", "landmarks", "track_head", "segment", "flow_masks", "inpaint")
REPOSITORY = Path(__file__).resolve().parents[1]
SPEAKER = "benchmark"


def main() -> None:
    """Measure and write the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--video", type=Path, help="a portrait video; the demo speaker's when left out")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--at-once", type=int, default=2, help="stages that may run side by side")
    parser.add_argument("--out", type=Path, default=REPOSITORY / "benchmarks" / "results" / "preparation.json")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        _workspace(root, arguments.video)
        frames = 0
        runs, totals, processor = [], [], []
        for repeat in range(arguments.repeats):
            started, used = time.perf_counter(), _processor_seconds()
            runs.append(_run_all(root, arguments.at_once))
            totals.append(time.perf_counter() - started)
            processor.append((_processor_seconds() - used) / len(os.sched_getaffinity(0)))
            clip = read_json(root / "data" / SPEAKER / "ingest" / "ingest.json")["clip"]
            frames = clip["frames"]
            print(f"run {repeat + 1}: {frames} frames, {totals[-1]:.1f} s, {frames / totals[-1]:.1f} frames a second")
        size = read_json(root / "data" / SPEAKER / "ingest" / "ingest.json")["clip"]["width"]
    median = {stage: statistics.median(run[stage] for run in runs) for stage in STAGES}
    total = statistics.median(totals)
    result = {
        "frames": frames,
        "size_px": size,
        "median_seconds": {stage: round(seconds, 2) for stage, seconds in median.items()},
        "median_total_seconds": round(total, 2),
        "frames_per_second": round(frames / total, 1),
        "median_processor_seconds_over_cores": round(statistics.median(processor), 2),
        "frames_per_second_by_processor_time": round(frames / statistics.median(processor), 1),
        "stages_at_once": arguments.at_once,
        "repeats": arguments.repeats,
        "machine": describe_machine(),
    }
    results = read_json(arguments.out) if arguments.out.is_file() else {}
    write_json(arguments.out, {**results, arguments.video.name if arguments.video else "demo speaker": result})
    for stage, seconds in median.items():
        print(f"{stage:16s} {seconds:6.2f} s  {frames / seconds:7.1f} frames a second")
    ideal = result["frames_per_second_by_processor_time"]
    print(f"{'all':16s} {total:6.2f} s  {frames / total:7.1f} frames a second, {ideal} by processor time")


def _processor_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _workspace(root: Path, video: Path | None) -> None:
    raw = root / "data" / SPEAKER / "raw"
    raw.mkdir(parents=True)
    if video is None:
        from talkhead_core.demo.speaker import make_demo_speaker

        video = make_demo_speaker(root / "demo").video
    shutil.copyfile(video, raw / f"video{video.suffix}")
    (root / "params.yaml").write_text((REPOSITORY / "params.yaml").read_text())
    entry = {"video": f"data/{SPEAKER}/raw/video{video.suffix}", "profile": "cpu", "config": "talkhead"}
    (root / "speakers.yaml").write_text(yaml.safe_dump({"speakers": {SPEAKER: entry}}))
    statement = statement_hash("benchmark of the preparation")
    write_consent(raw / "consent.json", Consent(who="benchmark", purpose="timing", given_on="2026-01-01", statement_sha256=statement))


def _run_all(root: Path, at_once: int) -> dict[str, float]:
    """Seconds of every stage; each starts when those it reads from have ended and a place is free."""
    upstream = {
        node.name: {name for name in node.upstream if name in STAGES} for node in read_stage_graph(REPOSITORY) if node.name in STAGES
    }
    seconds: dict[str, float] = {}
    running: dict[Future[float], str] = {}
    with ThreadPoolExecutor(at_once) as pool:
        while len(seconds) < len(STAGES):
            for stage in STAGES:
                begun = stage in seconds or stage in running.values()
                if not begun and len(running) < at_once and upstream[stage] <= seconds.keys():
                    running[pool.submit(_run, root, stage)] = stage
            for done in wait(running, return_when=FIRST_COMPLETED).done:
                seconds[running.pop(done)] = done.result()
    return seconds


def _run(root: Path, stage: str) -> float:
    started = time.perf_counter()
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    command = [sys.executable, "-m", f"tasks.{stage}", "--speaker", SPEAKER]
    subprocess.run(command, cwd=root, env=environment, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


if __name__ == "__main__":
    main()

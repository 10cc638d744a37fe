"""Frames a second of the preparation, from raw video to clean clip: ``python -m benchmarks.preparation [--video V] [--repeats 3]``.

Every stage runs as the process that DVC would start, one after another, in a temporary workspace. Medians over the repeats go to
``benchmarks/results/preparation.json`` with the machine described.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml

from benchmarks.machine import describe_machine
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
    parser.add_argument("--out", type=Path, default=REPOSITORY / "benchmarks" / "results" / "preparation.json")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        _workspace(root, arguments.video)
        frames = 0
        runs = []
        for repeat in range(arguments.repeats):
            seconds = {stage: _run(root, stage) for stage in STAGES}
            runs.append(seconds)
            clip = read_json(root / "data" / SPEAKER / "ingest" / "ingest.json")["clip"]
            frames = clip["frames"]
            print(f"run {repeat + 1}: {frames} frames, {sum(seconds.values()):.1f} s, {frames / sum(seconds.values()):.1f} frames a second")
        size = read_json(root / "data" / SPEAKER / "ingest" / "ingest.json")["clip"]["width"]
    median = {stage: statistics.median(run[stage] for run in runs) for stage in STAGES}
    total = statistics.median(sum(run.values()) for run in runs)
    result = {
        "frames": frames,
        "size_px": size,
        "median_seconds": {stage: round(seconds, 2) for stage, seconds in median.items()},
        "median_total_seconds": round(total, 2),
        "frames_per_second": round(frames / total, 1),
        "repeats": arguments.repeats,
        "machine": describe_machine(),
    }
    write_json(arguments.out, result)
    for stage, seconds in median.items():
        print(f"{stage:16s} {seconds:6.2f} s  {frames / seconds:7.1f} frames a second")
    print(f"{'all':16s} {total:6.2f} s  {frames / total:7.1f} frames a second")


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


def _run(root: Path, stage: str) -> float:
    started = time.perf_counter()
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    command = [sys.executable, "-m", f"tasks.{stage}", "--speaker", SPEAKER]
    subprocess.run(command, cwd=root, env=environment, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


if __name__ == "__main__":
    main()

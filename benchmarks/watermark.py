"""What the invisible mark survives, how often it is seen where it is not, and what it costs.

    python -m benchmarks.watermark --videos FILE... [--rendered data/SPEAKER ...]

Every video is cut into pieces of two seconds at each size, marked, delivered as dubs are (H.264, CRF 17), attacked, and looked
for. The same pieces without the mark are looked through with many keys: each is a trial in which a mark would be a false alarm.
``--rendered`` takes prepared speakers, whose held-out renders have a recording to compare with: what the mark costs in PSNR.
Writes ``benchmarks/results/watermark.json`` and the tables of ``docs/provenance.md``.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
import time
from collections.abc import Iterator
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from benchmarks.machine import describe_machine
from benchmarks.prepared_speaker import REPOSITORY
from talkhead_core.artifacts import read_json, write_json, write_text
from talkhead_core.media.ffmpeg_binary import ffmpeg_path
from talkhead_core.media.frame_selection import read_selected_frames
from talkhead_core.media.video_reader import read_frames
from talkhead_core.media.video_writer import VideoWriter
from talkhead_core.provenance.watermark import DEFAULT_KEY, Watermark
from talkhead_core.provenance.watermark_detector import THRESHOLD, WatermarkDetector
from talkhead_core.types import Image

RESULTS = REPOSITORY / "benchmarks" / "results" / "watermark.json"
DOCUMENT = REPOSITORY / "docs" / "provenance.md"
BEGIN, END = "<!-- results: begin -->", "<!-- results: end -->"
PIECE_FRAMES = 50
HALF, CROP = "scale=trunc(iw/4)*2:trunc(ih/4)*2", "crop=trunc(iw*0.475)*2:trunc(ih*0.475)*2:iw*{x}:ih*{y}"
ATTACKS = {
    "as delivered": None,
    "H.264 at CRF 28": ("", 28),
    "half the size, CRF 23": (HALF, 23),
    "5 % cropped, CRF 23": (CROP, 23),
    "half the size, CRF 28": (HALF, 28),
    "5 % cropped, CRF 28": (CROP, 28),
    "all three: cropped, halved, CRF 28": (f"{CROP},{HALF}", 28),
}
NULL_ATTACKS = ("as delivered", "H.264 at CRF 28", "all three: cropped, halved, CRF 28")


def pieces(video: Path, short_px: int) -> Iterator[list[Image]]:
    """Two-second pieces with ``short_px`` on the short side."""
    frames = read_frames(video)
    while len(piece := list(islice(frames, PIECE_FRAMES))) >= PIECE_FRAMES * 0.9:
        height, width = piece[0].shape[:2]
        scale = short_px / min(height, width)
        size = (round(width * scale / 2) * 2, round(height * scale / 2) * 2)
        yield piece if scale == 1 else [np.asarray(cv2.resize(f, size, interpolation=cv2.INTER_AREA), np.uint8) for f in piece]


def marked(frames: list[Image]) -> list[Image]:
    """The frames with the mark in them."""
    watermark = Watermark(frames[0].shape[1], frames[0].shape[0])
    return [watermark.marked(frame) for frame in frames]


def delivered(frames: list[Image], path: Path) -> Path:
    """Encoded as a dub is."""
    height, width = frames[0].shape[:2]
    with VideoWriter(path, width=width, height=height, fps=Fraction(25), encoding="delivery") as writer:
        for frame in frames:
            writer.write(frame)
    return path


def attacked(video: Path, attack: tuple[str, int] | None, out: Path, random: np.random.Generator) -> WatermarkDetector:
    """What the detector makes of the video after an attack, as a copy that somebody passes on."""
    path = video
    if attack is not None:
        filters, crf = attack
        x, y = random.uniform(0, 0.05, 2)
        chain = ["-vf", filters.format(x=f"{x:.4f}", y=f"{y:.4f}")] if filters else []
        command = [ffmpeg_path(), "-y", "-loglevel", "error", "-i", str(video), *chain, "-c:v", "libx264", "-pix_fmt", "yuv420p"]
        subprocess.run([*command, "-crf", str(crf), str(out)], check=True)
        path = out
    detector = WatermarkDetector()
    for frame in read_frames(path):
        detector.add(frame)
    return detector


def detection(videos: list[Path], sizes: list[int], keys: int, folder: Path) -> dict[str, Any]:
    """Scores of marked pieces by size and attack, and of all trials in which there was nothing to find."""
    random = np.random.default_rng(0)
    scores: dict[str, dict[str, list[float]]] = {str(size): {name: [] for name in ATTACKS} for size in sizes}
    unmarked: list[WatermarkDetector] = []
    for video in videos:
        for size in sizes:
            for piece in pieces(video, size):
                file = delivered(marked(piece), folder / "marked.mp4")
                for name, attack in ATTACKS.items():
                    detector = attacked(file, attack, folder / "attacked.mp4", random)
                    scores[str(size)][name].append(detector.verdict().score)
                file = delivered(piece, folder / "plain.mp4")
                unmarked += [attacked(file, ATTACKS[name], folder / "attacked.mp4", random) for name in NULL_ATTACKS]
        print(f"{video.name}: {[len(row['as delivered']) for row in scores.values()]} pieces so far", flush=True)
    names = [DEFAULT_KEY, *(f"key {number}" for number in range(keys - 1))]
    null = [detector.verdict(name).score for name in names for detector in unmarked]
    rows = {
        size: {
            name: {
                "pieces": len(found),
                "detected": float(np.mean(np.array(found) >= THRESHOLD)),
                "score_least": min(found),
                "score_5th_percentile": float(np.percentile(found, 5)),
                "score_median": float(np.median(found)),
            }
            for name, found in by_attack.items()
            if found
        }
        for size, by_attack in scores.items()
    }
    alarms = int(np.sum(np.array(null) >= THRESHOLD))
    quantiles = {str(q): float(np.quantile(null, q)) for q in (0.5, 0.99, 0.999, 1.0)}
    return {"marked": rows, "unmarked": {"trials": len(null), "false_alarms": alarms, "threshold": THRESHOLD, "score_quantiles": quantiles}}


def cost(speaker: Path, folder: Path) -> dict[str, Any]:
    """PSNR of a speaker's held-out renders against the recording, without and with the mark, in pixels and as delivered."""
    record = read_json(speaker / "render" / "render.json")
    size = (record["size_px"], record["size_px"])
    rows = {}
    for file, protocol in (("heldout.mkv", "head"), ("heldout_full.mkv", "full")):
        truth = [
            np.asarray(cv2.resize(frame, size, interpolation=cv2.INTER_AREA))
            for frame in read_selected_frames(speaker / "ingest" / "clip.mkv", record["frame_ids"])
        ]
        plain = list(read_frames(speaker / "render" / file))
        bearing = marked(plain)
        encoded, encoded_bearing = (list(read_frames(delivered(given, folder / "cost.mp4"))) for given in (plain, bearing))
        rows[f"{speaker.name}, {protocol}"] = {
            "psnr_db": _psnr(plain, truth),
            "psnr_marked_db": _psnr(bearing, truth),
            "delivered_psnr_db": _psnr(encoded, truth),
            "delivered_psnr_marked_db": _psnr(encoded_bearing, truth),
            "mark_alone_db": _psnr(bearing, plain),
        }
    return rows


def speed() -> dict[str, float]:
    """Milliseconds a frame to mark, and to look for the mark, in processor time."""
    found = {}
    for name, (width, height) in {"256 x 256": (256, 256), "512 x 512": (512, 512), "1080 x 1920": (1080, 1920)}.items():
        frame = np.random.default_rng(0).integers(0, 255, (height, width, 3)).astype(np.uint8)
        watermark, detector = Watermark(width, height), WatermarkDetector()
        for label, act in (("mark", watermark.marked), ("look", detector.add)):
            started = time.process_time()
            for _ in range(40):
                act(frame)
            found[f"{label} {name}"] = round((time.process_time() - started) / 40 * 1000, 3)
    detector.verdict()
    started = time.process_time()
    detector.verdict()
    found["search, once a video"] = round((time.process_time() - started) * 1000, 1)
    return found


def _psnr(images: list[Image], reference: list[Image]) -> float:
    error = np.mean([np.mean((a.astype(np.float64) - b) ** 2) for a, b in zip(images, reference, strict=True)])
    return float(10 * np.log10(255**2 / error))


def tables(results: dict[str, Any]) -> str:
    """The results as Markdown."""
    unmarked = results["unmarked"]
    lines = ["| short side | attack | pieces | detected | least score | median |", "|---|---|---|---|---|---|"]
    for size, rows in results["marked"].items():
        for name, row in rows.items():
            share = f"{100 * row['detected']:.1f} %"
            lines.append(f"| {size} px | {name} | {row['pieces']} | {share} | {row['score_least']:.1f} | {row['score_median']:.1f} |")
    worst = unmarked["score_quantiles"]["1.0"]
    lines += ["", f"False alarms at the threshold of {unmarked['threshold']}: {unmarked['false_alarms']} in {unmarked['trials']:,} trials "
              f"(highest score {worst:.2f}; one in a thousand lies above {unmarked['score_quantiles']['0.999']:.2f})."]  # fmt: skip
    lines += [
        "",
        "| render, PSNR against the recording | without | with the mark | cost | as delivered, cost | mark alone |",
        "|---|" + "---|" * 5,
    ]
    for name, row in results["cost"].items():
        paid = row["psnr_db"] - row["psnr_marked_db"]
        delivered_cost = row["delivered_psnr_db"] - row["delivered_psnr_marked_db"]
        lines.append(
            f"| {name} | {row['psnr_db']:.2f} dB | {row['psnr_marked_db']:.2f} dB | {paid:.2f} dB | {delivered_cost:.2f} dB "
            f"| {row['mark_alone_db']:.1f} dB |"
        )
    lines += ["", "Processor time, ms: " + "; ".join(f"{name} {value}" for name, value in results["milliseconds"].items()) + "."]
    return "\n".join(lines)


def main() -> None:
    """Measure, and write the results."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.watermark", description=__doc__)
    parser.add_argument("--videos", type=Path, nargs="+", required=True)
    parser.add_argument("--rendered", type=Path, nargs="*", default=[])
    parser.add_argument("--sizes", type=int, nargs="+", default=[256, 512])
    parser.add_argument("--keys", type=int, default=24)
    parser.add_argument("--results", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    results: dict[str, Any] = {"machine": describe_machine(), "milliseconds": speed()}
    with tempfile.TemporaryDirectory() as folder:
        results["cost"] = {name: row for speaker in arguments.rendered for name, row in cost(speaker, Path(folder)).items()}
        print(results["cost"], results["milliseconds"], flush=True)
        results |= detection(arguments.videos, arguments.sizes, arguments.keys, Path(folder))
    write_json(arguments.results, results)
    if DOCUMENT.exists() and arguments.results == RESULTS:
        before, _, rest = DOCUMENT.read_text(encoding="utf-8").partition(BEGIN)
        write_text(DOCUMENT, f"{before}{BEGIN}\n{tables(results)}\n{END}{rest.partition(END)[2]}")
    print(tables(results))


if __name__ == "__main__":
    main()

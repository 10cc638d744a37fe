"""What the invisible mark survives, how often it is seen where it is not, and what it costs.

    python -m benchmarks.watermark --held-out FILE... [--tuned FILE...] [--rendered data/SPEAKER ...]

``--tuned`` are the videos and still pictures on which strength, band and threshold were chosen, ``--held-out`` those that were not
looked at then. The central square of every video is cut into pieces of two seconds at each size, marked, delivered as dubs are
(H.264, CRF 17), attacked, and looked for; at the smallest size also in pieces of other lengths. A still picture is moved by a slow pan
under sensor noise. Pieces without the mark are looked through with many keys: each is a trial in which a mark would be a false alarm;
those of the tuned clips are what the threshold was chosen by, those of the held-out clips are what it is judged by. ``--rendered``
takes prepared speakers, whose held-out renders have a recording to compare with: what the mark costs in PSNR. Writes
``benchmarks/results/watermark.json`` and the tables of ``docs/provenance.md``.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
import time
from collections.abc import Iterable
from concurrent.futures import Future, ProcessPoolExecutor
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import scipy.stats

from benchmarks.machine import describe_machine
from benchmarks.prepared_speaker import REPOSITORY
from benchmarks.watermark_table import tables, write_into_document
from talkhead_core.artifacts import read_json, write_json
from talkhead_core.media.ffmpeg_binary import ffmpeg_path
from talkhead_core.media.frame_selection import read_selected_frames
from talkhead_core.media.video_reader import read_frames
from talkhead_core.media.video_writer import VideoWriter
from talkhead_core.provenance.watermark import DEFAULT_KEY, Watermark
from talkhead_core.provenance.watermark_detector import THRESHOLD, WatermarkDetector
from talkhead_core.types import Image

RESULTS = REPOSITORY / "benchmarks" / "results" / "watermark.json"
FPS, PIECE_S = 25, 2
_CROPS = 3  # places that each piece is cropped at
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
ON_LARGE = ("as delivered", "H.264 at CRF 28", "half the size, CRF 23", "5 % cropped, CRF 23", "all three: cropped, halved, CRF 28")
HARDEST = ("half the size, CRF 28", "all three: cropped, halved, CRF 28")
STILLS = (".png", ".jpg")
NULL_ATTACKS = ("as delivered", "H.264 at CRF 28", "all three: cropped, halved, CRF 28")


def pieces(video: Path, side_px: int, seconds: int, most: int) -> list[list[Image]]:
    """Pieces of the video's central square, spread over it; at most so many. Of a still picture, one."""
    if video.suffix in STILLS:
        return [panned(video, side_px, FPS * seconds)]
    frames = sum(1 for _ in read_frames(video))
    length = FPS * seconds
    starts = [number * length for number in range(frames // length)]
    chosen = set(starts if len(starts) <= most else [starts[round(place)] for place in np.linspace(0, len(starts) - 1, most)])
    found: list[list[Image]] = []
    for index, frame in enumerate(read_frames(video)):
        if index in chosen:
            found.append([])
        if found and len(found[-1]) < length:
            found[-1].append(_square(frame, side_px))
    return found


def _square(frame: Image, side_px: int) -> Image:
    height, width = frame.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    square = frame[top : top + side, left : left + side]
    return square if side == side_px else np.asarray(cv2.resize(square, (side_px, side_px), interpolation=cv2.INTER_AREA), np.uint8)


def panned(still: Path, side_px: int, count: int) -> list[Image]:
    """A still picture that a hand-held camera films: a pan of a few pixels, and sensor noise."""
    picture = cv2.cvtColor(cv2.imread(str(still), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
    larger = _square(np.asarray(picture, np.uint8), round(side_px * 1.06))
    random, margin = np.random.default_rng(len(still.stem)), (larger.shape[0] - side_px) / 2
    frames = []
    for index in range(count):
        shift = np.array([[1, 0, 3 * np.sin(index / 17) - margin], [0, 1, 2 * np.cos(index / 23) - margin]])
        moved = cv2.warpAffine(larger, shift, (side_px, side_px), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)
        noisy = moved + random.normal(0, 1.3, (side_px, side_px, 1))
        frames.append(np.clip(np.rint(noisy), 0, 255).astype(np.uint8))
    return frames


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
        command = [
            ffmpeg_path(),
            "-y",
            "-loglevel",
            "error",
            "-i",
            str(video),
            *chain,
            "-threads",
            "1",
            "-c:v",
            "libx264",
            "-pix_fmt",
            "yuv420p",
        ]
        subprocess.run([*command, "-crf", str(crf), str(out)], check=True)
        path = out
    detector = WatermarkDetector()
    for frame in read_frames(path):
        detector.add(frame)
    return detector


def detection(video: Path, side_px: int, seconds: int, attacks: Iterable[str], most: int) -> dict[str, list[float]]:
    """The scores of a video's marked pieces after each attack."""
    random = np.random.default_rng(0)
    scores: dict[str, list[float]] = {name: [] for name in attacks}
    with tempfile.TemporaryDirectory() as folder:
        for piece in pieces(video, side_px, seconds, most):
            file = delivered(marked(piece), Path(folder) / "marked.mp4")
            for name, found in scores.items():
                for _ in range(_CROPS if "cropped" in name else 1):
                    found.append(attacked(file, ATTACKS[name], Path(folder) / "attacked.mp4", random).verdict().score)
    print(f"{video.name}, {side_px} px, {seconds} s: { ({name: round(min(f), 1) for name, f in scores.items() if f}) }", flush=True)
    return scores


def rows(of_videos: Iterable[Future[dict[str, list[float]]]]) -> dict[str, dict[str, float]]:
    """What became of the pieces of several videos together, by attack."""
    pooled: dict[str, list[float]] = {}
    for scores in of_videos:
        for name, found in scores.result().items():
            pooled.setdefault(name, []).extend(found)
    return {name: _row(found) for name, found in pooled.items() if found}


def _row(scores: list[float]) -> dict[str, float]:
    found = int(np.sum(np.array(scores) >= THRESHOLD))
    return {
        "pieces": len(scores),
        "detected": found / len(scores),
        "detected_at_least": _share_bounds(found, len(scores))[0],
        "score_least": min(scores),
        "score_5th_percentile": float(np.percentile(scores, 5)),
        "score_median": float(np.median(scores)),
    }


def unmarked_scores(video: Path, side_px: int, keys: int, most: int) -> list[float]:
    """Scores of a video's pieces in which there is nothing to find, for many keys."""
    random, unmarked = np.random.default_rng(1), []
    with tempfile.TemporaryDirectory() as folder:
        for piece in pieces(video, side_px, PIECE_S, most):
            file = delivered(piece, Path(folder) / "plain.mp4")
            unmarked += [attacked(file, ATTACKS[name], Path(folder) / "attacked.mp4", random) for name in NULL_ATTACKS]
    names = [DEFAULT_KEY, *(f"key {number}" for number in range(keys - 1))]
    found = [detector.verdict(name).score for name in names for detector in unmarked]
    print(f"{video.name}, {side_px} px, unmarked: at most {max(found, default=0):.2f} in {len(found)} trials", flush=True)
    return found


def false_alarms(scores: list[float]) -> dict[str, Any]:
    """Counted, with the exact bound of what is likely (95 %) behind the count."""
    null = np.array(scores)
    alarms = int(np.sum(null >= THRESHOLD))
    return {
        "trials": len(null),
        "false_alarms": alarms,
        "at_most": _share_bounds(alarms, len(null))[1],
        "threshold": THRESHOLD,
        "score_quantiles": {str(q): float(np.quantile(null, q)) for q in (0.5, 0.99, 0.999, 1.0)},
    }


def _share_bounds(found: int, tried: int) -> tuple[float, float]:
    """Clopper and Pearson's interval (95 %) of a share."""
    interval = scipy.stats.binomtest(found, tried).proportion_ci(0.95, "exact")
    return float(interval.low), float(interval.high)


def cost(speaker: Path, folder: Path) -> dict[str, Any]:
    """PSNR of a speaker's held-out renders against the recording, without and with the mark, in pixels and as delivered."""
    record = read_json(speaker / "render" / "render.json")
    size = (record["size_px"], record["size_px"])
    found = {}
    for file, protocol in (("heldout.mkv", "head"), ("heldout_full.mkv", "full")):
        truth = [
            np.asarray(cv2.resize(frame, size, interpolation=cv2.INTER_AREA))
            for frame in read_selected_frames(speaker / "ingest" / "clip.mkv", record["frame_ids"])
        ]
        plain = list(read_frames(speaker / "render" / file))
        bearing = marked(plain)
        encoded, encoded_bearing = (list(read_frames(delivered(given, folder / "cost.mp4"))) for given in (plain, bearing))
        found[f"{speaker.name}, {protocol}"] = {
            "psnr_db": _psnr(plain, truth),
            "psnr_marked_db": _psnr(bearing, truth),
            "delivered_psnr_db": _psnr(encoded, truth),
            "delivered_psnr_marked_db": _psnr(encoded_bearing, truth),
            "mark_alone_db": _psnr(bearing, plain),
        }
    return found


def attacks_on(side_px: int) -> list[str]:
    """The attacks tried at a size; where all of the hardest is found, its parts need no rows of their own."""
    return list(ATTACKS if side_px <= 256 else ON_LARGE)


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


def main() -> None:
    """Measure, and write the results."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.watermark", description=__doc__)
    parser.add_argument("--held-out", type=Path, nargs="+", required=True)
    parser.add_argument("--tuned", type=Path, nargs="*", default=[])
    parser.add_argument("--rendered", type=Path, nargs="*", default=[])
    parser.add_argument("--sizes", type=int, nargs="+", default=[256, 512])
    parser.add_argument("--seconds", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--pieces", type=int, default=10, help="of a video, at most, at the smallest size")
    parser.add_argument("--pieces-larger", type=int, default=4, help="of a video, at most, at the larger sizes")
    parser.add_argument("--keys", type=int, default=24, help="that unmarked held-out pieces are looked through with")
    parser.add_argument("--jobs", type=int, default=1, help="processes to share the work between")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--unmarked-alone", action="store_true", help="look for false alarms only; the rest stays as the results have it")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    most, smallest = arguments.pieces, min(arguments.sizes)
    alone = arguments.unmarked_alone
    results: dict[str, Any] = read_json(arguments.results) if alone else {"machine": describe_machine(), "milliseconds": speed()}
    results["pieces_of_a_video"] = most
    groups = {"held out": arguments.held_out, "tuned on": arguments.tuned}
    results["videos"] = {group: [video.name for video in videos] for group, videos in groups.items()}
    sizes = {"held out": arguments.sizes, "tuned on": [smallest]}
    with ProcessPoolExecutor(arguments.jobs) as pool:

        def asked(group: str, size: int) -> list[Future[dict[str, list[float]]]]:
            count = most if size == smallest else arguments.pieces_larger
            return [pool.submit(detection, video, size, PIECE_S, attacks_on(size), count) for video in groups[group]]

        watched = {} if alone else {group: videos for group, videos in groups.items() if videos}
        by_attack = {group: {str(size): asked(group, size) for size in sizes[group]} for group in watched}
        unmarked = {
            group: [pool.submit(unmarked_scores, v, smallest, arguments.keys, most) for v in videos]
            for group, videos in groups.items()
            if videos
        }
        by_length = {
            str(seconds): [pool.submit(detection, v, smallest, seconds, HARDEST, most) for v in arguments.held_out]
            for seconds in ([] if alone else arguments.seconds)
        }
        if not alone:
            with tempfile.TemporaryDirectory() as name:
                results["cost"] = {key: row for speaker in arguments.rendered for key, row in cost(speaker, Path(name)).items()}
            results["marked"] = {group: {size: rows(found) for size, found in by_size.items()} for group, by_size in by_attack.items()}
            results["lengths"] = {seconds: rows(found) for seconds, found in by_length.items()}
        results["unmarked"] = {group: false_alarms([s for one in found for s in one.result()]) for group, found in unmarked.items()}
    write_json(arguments.results, results)
    if arguments.results == RESULTS:
        write_into_document(results)
    print(tables(results))


if __name__ == "__main__":
    main()

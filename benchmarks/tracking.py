"""How steady and how right the head poses are: ``python -m benchmarks.tracking --clips FOLDER``.

Each video of the folder, and the demo speaker, goes whole through ``ingest``, ``landmarks`` and ``track_head`` with their default settings.
Jitter is the RMS second difference of yaw, pitch and roll in degrees, beside that of poses fitted to the same landmarks frame by frame
(:class:`talkhead_core.face.head_track.TrackQuality`). The demo speaker's poses are known: its rotation error is what remains after the one
constant offset that fits best. Figures go to ``benchmarks/results/tracking.json``, the table to ``docs/footage.md``.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.benchmark_runs import REPOSITORY
from benchmarks.document_section import write_section
from benchmarks.machine import describe_machine
from talkhead_core.artifacts import read_arrays, write_json
from talkhead_core.demo.speaker import make_demo_speaker
from talkhead_core.face.frame_landmarks import gather, shot_of_frames
from talkhead_core.face.head_track import HeadTrack
from talkhead_core.face.head_tracking import track_head
from talkhead_core.face.landmarks import LandmarksConfig, build_landmarker
from talkhead_core.face.rotations import rotation_error_deg
from talkhead_core.footage.clip import IngestConfig, ingest_footage
from talkhead_core.media.video_reader import read_frames, read_gray_frames

__all__ = ["figures", "table"]

DEMO = "demo speaker"


def main() -> None:
    """Track, write the figures and their table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=Path, required=True, help="folder of portrait videos (*.mp4)")
    parser.add_argument("--out", type=Path, default=REPOSITORY / "benchmarks" / "results" / "tracking.json")
    arguments = parser.parse_args()
    measured: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for video in sorted(arguments.clips.glob("*.mp4")):
            measured[video.stem] = figures(_tracked(video, Path(folder)))
            print(f"{video.stem}: {measured[video.stem]}", flush=True)
        demo = make_demo_speaker(Path(folder) / "demo")
        measured[DEMO] = figures(_tracked(demo.video, Path(folder)), read_arrays(demo.truth_arrays)["rotation"])
        print(f"{DEMO}: {measured[DEMO]}", flush=True)
    result = {"clips": measured, "machine": describe_machine()}
    write_json(arguments.out, result)
    write_section(REPOSITORY / "docs" / "footage.md", table(result), "tracking")


def figures(track: HeadTrack, truth: Any = None) -> dict[str, Any]:
    """What the table says of one clip; with the true rotations ``[N, 3, 3]`` their error, too."""
    quality, summary = track.quality, track.summary()
    found: dict[str, Any] = {
        "frames": len(track.frame_id),
        "interpolated_frames": int((track.status != 0).sum()),
        "jitter_deg": quality.jitter_deg,
        "jitter_landmarks_alone_deg": quality.jitter_landmarks_alone_deg,
        "jitter_ratio": quality.jitter_deg / quality.jitter_landmarks_alone_deg,
        "reprojection_percent_of_face_width": summary["reprojection_percent_of_face_width"],
    }
    if truth is not None:
        error = rotation_error_deg(track.rotation, truth)
        found |= {"rotation_error_deg": {"mean": float(error.mean()), "largest": float(error.max())}}
    return found


def table(result: dict[str, Any]) -> str:
    """The Markdown of one result."""
    rows = [
        "| clip | jitter | landmarks alone | ratio | reprojection, % of face width | interpolated frames | rotation error, mean (max) |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, found in result["clips"].items():
        error = found.get("rotation_error_deg")
        cells = [
            name if name == DEMO else f"`{name}`",
            f"{found['jitter_deg']:.3f}",
            f"{found['jitter_landmarks_alone_deg']:.3f}",
            f"{found['jitter_ratio']:.2f}",
            f"{found['reprojection_percent_of_face_width']:.2f}",
            f"{found['interpolated_frames']} of {found['frames']}",
            f"{error['mean']:.2f} ({error['largest']:.2f}) degrees" if error else "not known",
        ]
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def _tracked(video: Path, folder: Path) -> HeadTrack:
    clip = folder / f"{video.stem}.mkv"
    ingest = ingest_footage(video, clip, IngestConfig())
    landmarks = gather(build_landmarker(LandmarksConfig()).detect(read_frames(clip), ingest["shots"]))
    shot = shot_of_frames(ingest["shots"], len(landmarks["frame_id"]))
    size = ingest["clip"]
    return track_head(landmarks, shot, width=size["width"], height=size["height"], frames=read_gray_frames(clip))


if __name__ == "__main__":
    main()

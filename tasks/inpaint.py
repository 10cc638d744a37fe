"""Remove hands and passing objects from the clip."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from talkhead_core.artifacts import read_json, whole_file, write_json
from talkhead_core.inpaint.hand_removal import InpaintConfig, clean_frames, holes
from talkhead_core.media.frame_access import FrameAccess
from talkhead_core.media.read_ahead import WriteBehind, read_ahead
from talkhead_core.media.video_reader import VideoInfo, read_frames, read_gray_frames, video_info
from talkhead_core.media.video_writer import VideoWriter
from tasks.stage import Stage, main


def run(stage: Stage) -> None:
    """Write ``clean.mkv`` and ``coverage.json``."""
    config = stage.section(InpaintConfig)
    info = video_info(stage.inputs("ingest") / "clip.mkv")

    def open_holes() -> Iterator[np.ndarray]:
        labels = read_gray_frames(stage.inputs("segment") / "labels.mkv")
        transient = read_gray_frames(stage.inputs("flow_masks") / "transient.mkv")
        return holes(zip(labels, transient, strict=True), config)

    if any(hole.any() for hole in open_holes()):
        removed, recovered = _clean(stage, config, info, open_holes)
    else:
        with whole_file(stage.out / "clean.mkv") as temporary:
            shutil.copyfile(stage.inputs("ingest") / "clip.mkv", temporary)
        removed = recovered = np.zeros(info.frames)
    write_json(stage.out / "coverage.json", _coverage(config.method, removed, recovered))


def _clean(
    stage: Stage, config: InpaintConfig, info: VideoInfo, open_holes: Callable[[], Iterator[np.ndarray]]
) -> tuple[np.ndarray, np.ndarray]:
    """Write ``clean.mkv``; the shares of each frame's pixels that were removed, and recovered from other frames ``[N]``."""
    clip: Path = stage.inputs("ingest") / "clip.mkv"
    shots = [(int(first), int(last)) for first, last in read_json(stage.inputs("ingest") / "ingest.json")["shots"]]
    removed, recovered = np.zeros(info.frames), np.zeros(info.frames)
    with (
        FrameAccess(clip) as access,
        VideoWriter(stage.out / "clean.mkv", width=info.width, height=info.height, fps=info.fps, encoding="near_lossless") as video,
        WriteBehind(video.write) as write,
    ):
        cleaned = clean_frames(read_ahead(read_frames(clip)), access.__getitem__, open_holes, shots, config)
        for index, (filled, hole) in enumerate(cleaned):
            removed[index], recovered[index] = hole.mean(), filled.recovered.mean()
            write(filled.image)
            stage.progress(index + 1, info.frames)
    return removed, recovered


def _coverage(method: str, removed: np.ndarray, recovered: np.ndarray) -> dict[str, object]:
    share = 100 * float(recovered.sum() / removed.sum()) if removed.any() else 100.0
    return {
        "method": method,
        "frame_id": list(range(len(removed))),
        "removed": removed,
        "recovered": recovered,
        "removed_percent": 100 * float(removed.mean()),
        "frames_with_removal": int(np.count_nonzero(removed)),
        "recovered_percent_of_removed": share,
        "never_uncovered_percent_of_removed": 100 - share,
    }


if __name__ == "__main__":
    main(run)

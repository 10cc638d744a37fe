"""Remove hands and passing objects from the clip."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from talkhead_core.artifacts import read_json, write_json
from talkhead_core.inpaint.hand_removal import InpaintConfig, clean_frames
from talkhead_core.media.read_ahead import WriteBehind, read_ahead
from talkhead_core.media.video_reader import read_frames, read_gray_frames, video_info
from talkhead_core.media.video_writer import VideoWriter
from talkhead_core.types import Image
from tasks.stage import Stage, main


def run(stage: Stage) -> None:
    """Write ``clean.mkv`` and ``coverage.json``."""
    config = stage.section(InpaintConfig)
    clip = stage.inputs("ingest") / "clip.mkv"
    info = video_info(clip)
    shots = [(int(first), int(last)) for first, last in read_json(stage.inputs("ingest") / "ingest.json")["shots"]]

    def open_frames() -> Iterator[tuple[Image, np.ndarray, np.ndarray]]:
        labels = read_ahead(read_gray_frames(stage.inputs("segment") / "labels.mkv"))
        transient = read_ahead(read_gray_frames(stage.inputs("flow_masks") / "transient.mkv"))
        return zip(read_ahead(read_frames(clip)), labels, transient, strict=True)

    holes, recovered = [], []
    with (
        VideoWriter(stage.out / "clean.mkv", width=info.width, height=info.height, fps=info.fps, encoding="near_lossless") as video,
        WriteBehind(video.write) as write,
    ):
        for index, (filled, hole) in enumerate(clean_frames(open_frames, shots, config)):
            holes.append(int(np.count_nonzero(hole)))
            recovered.append(int(np.count_nonzero(filled.recovered)))
            write(filled.image)
            stage.progress(index + 1, info.frames)
    removed, seen, pixels = sum(holes), sum(recovered), info.width * info.height
    write_json(
        stage.out / "coverage.json",
        {
            "method": config.method,
            "frame_id": list(range(len(holes))),
            "removed": [hole / pixels for hole in holes],
            "recovered": [count / pixels for count in recovered],
            "removed_percent": 100 * removed / (pixels * max(1, len(holes))),
            "recovered_percent_of_removed": 100 * seen / removed if removed else 100.0,
            "never_uncovered_percent_of_removed": 100 * (removed - seen) / removed if removed else 0.0,
        },
    )


if __name__ == "__main__":
    main(run)

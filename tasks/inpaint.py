"""Remove hands and passing objects from the clip."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from itertools import tee
from pathlib import Path

import numpy as np

from talkhead_core.artifacts import read_json, whole_file, write_json
from talkhead_core.inpaint.hand_removal import InpaintConfig, clean_frames, holes
from talkhead_core.media.frame_access import FrameAccess
from talkhead_core.media.frame_pixels import is_bt709, rgb_pixels
from talkhead_core.media.frame_selection import read_selected_frames
from talkhead_core.media.read_ahead import WriteBehind, read_ahead
from talkhead_core.media.video_reader import VideoInfo, decoded_frames, read_gray_frames, video_info
from talkhead_core.media.video_writer import VideoWriter
from tasks.stage import Stage, main


def run(stage: Stage) -> None:
    """Write ``clean.mkv`` and ``coverage.json``."""
    config = stage.section(InpaintConfig)
    info = video_info(stage.inputs("ingest") / "clip.mkv")
    labels, transient = stage.inputs("segment") / "labels.mkv", stage.inputs("flow_masks") / "transient.mkv"
    everywhere = holes(zip(read_ahead(read_gray_frames(labels)), read_ahead(read_gray_frames(transient)), strict=True), config)
    holed = np.array([hole.any() for hole in everywhere], bool)

    def open_holes() -> Iterator[np.ndarray]:
        wanted = np.flatnonzero(holed).tolist()
        masks = zip(read_selected_frames(labels, wanted, "gray"), read_selected_frames(transient, wanted, "gray"), strict=True)
        some, none = holes(masks, config), np.zeros((info.height, info.width), bool)
        return (next(some) if here else none for here in holed)

    if holed.any():
        removed, recovered = _clean(stage, config, info, holed, open_holes)
    else:
        with whole_file(stage.out / "clean.mkv") as temporary:
            shutil.copyfile(stage.inputs("ingest") / "clip.mkv", temporary)
        removed = recovered = np.zeros(info.frames)
    write_json(stage.out / "coverage.json", _coverage(config.method, removed, recovered))


def _clean(
    stage: Stage, config: InpaintConfig, info: VideoInfo, holed: np.ndarray, open_holes: Callable[[], Iterator[np.ndarray]]
) -> tuple[np.ndarray, np.ndarray]:
    """Write ``clean.mkv``; the shares of each frame's pixels that were removed, and recovered from other frames ``[N]``."""
    clip: Path = stage.inputs("ingest") / "clip.mkv"
    shots = [(int(first), int(last)) for first, last in read_json(stage.inputs("ingest") / "ingest.json")["shots"]]
    removed, recovered = np.zeros(info.frames), np.zeros(info.frames)
    stored, given = tee(read_ahead(decoded_frames(clip)))
    # Frames without a hole are never looked at: they go from decoder to encoder as they are.
    unseen = np.broadcast_to(np.uint8(0), (info.height, info.width, 3))
    pictures = (rgb_pixels(frame) if here or not is_bt709(frame) else unseen for frame, here in zip(given, holed, strict=True))
    with (
        FrameAccess(clip) as access,
        VideoWriter(stage.out / "clean.mkv", width=info.width, height=info.height, fps=info.fps, encoding="near_lossless") as video,
        WriteBehind(video.write) as write,
    ):
        cleaned = clean_frames(pictures, access.__getitem__, open_holes, shots, config)
        for index, ((filled, hole), frame) in enumerate(zip(cleaned, stored, strict=True)):
            if holed[index]:
                removed[index], recovered[index] = hole.mean(), filled.recovered.mean()
            write(frame if filled.image is unseen else filled.image)
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

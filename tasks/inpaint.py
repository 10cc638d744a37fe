"""Remove hands and passing objects from the clip."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from itertools import tee
from pathlib import Path

import numpy as np

from talkhead_core.artifacts import read_json, whole_file, write_json
from talkhead_core.inpaint.hand_removal import InpaintConfig, clean_frames, holes
from talkhead_core.inpaint.inpainter import Filled
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
        coverage = _clean(stage, config, info, holed, open_holes)
    else:
        with whole_file(stage.out / "clean.mkv") as temporary:
            shutil.copyfile(stage.inputs("ingest") / "clip.mkv", temporary)
        coverage = _Coverage(info.frames, config.method)
    write_json(stage.out / "coverage.json", coverage.to_json())


def _clean(
    stage: Stage, config: InpaintConfig, info: VideoInfo, holed: np.ndarray, open_holes: Callable[[], Iterator[np.ndarray]]
) -> _Coverage:
    """Write ``clean.mkv``; what was removed from it, and what fills it."""
    clip: Path = stage.inputs("ingest") / "clip.mkv"
    shots = [(int(first), int(last)) for first, last in read_json(stage.inputs("ingest") / "ingest.json")["shots"]]
    coverage = _Coverage(info.frames, config.method)
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
                coverage.add(index, hole, filled)
            write(frame if filled.image is unseen else filled.image)
            stage.progress(index + 1, info.frames)
    return coverage


class _Coverage:
    """What was removed, and by what it is filled.

    Args:
        frames: of the clip.
        method: the inpainter.
    """

    def __init__(self, frames: int, method: str) -> None:
        self._method = method
        self._removed, self._recovered = np.zeros(frames), np.zeros(frames)
        self._invented: dict[str, float] = {}

    def add(self, index: int, hole: np.ndarray, filled: Filled) -> None:
        """One frame: its hole ``[H, W]``, and the frame without."""
        removed, recovered = float(hole.mean()), float(filled.recovered.mean())
        self._removed[index], self._recovered[index] = removed, recovered
        if filled.invented_by is not None:
            self._invented[filled.invented_by] = self._invented.get(filled.invented_by, 0.0) + removed - recovered

    def to_json(self) -> dict[str, object]:
        """Of each frame's pixels the share that was removed and recovered; of all removed pixels, in per cent, what fills them."""
        total = float(self._removed.sum())
        recovered = 100 * float(self._recovered.sum()) / total if total else 100.0
        filled_by = {name: 100 * share / total for name, share in self._invented.items() if share > 0}
        if self._recovered.any():
            filled_by = {"temporal_median": recovered, **filled_by}  # nothing else looks at other frames
        return {
            "method": self._method,
            "frame_id": list(range(len(self._removed))),
            "removed": self._removed,
            "recovered": self._recovered,
            "removed_percent": 100 * float(self._removed.mean()),
            "frames_with_removal": int(np.count_nonzero(self._removed)),
            "recovered_percent_of_removed": recovered,
            "never_uncovered_percent_of_removed": 100 - recovered,
            "filled_by_percent_of_removed": filled_by,
        }


if __name__ == "__main__":
    main(run)

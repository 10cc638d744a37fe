"""Selected frames are the same pixels as those of a full read, for every encoding that a stage writes."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from talkhead_core.errors import FootageError
from talkhead_core.media.frame_selection import read_selected_frames
from talkhead_core.media.video_reader import read_frames, read_gray_frames
from talkhead_core.media.video_writer import Encoding, VideoWriter


def _video(path: Path, encoding: Encoding, fps: Fraction, frames: int = 90) -> Path:
    with VideoWriter(path, width=64, height=64, fps=fps, encoding=encoding) as writer:
        for index in range(frames):
            frame = np.full((64, 64, 3), index * 2, np.uint8)
            frame[:, index % 64] = 255
            writer.write(frame[..., 0] if encoding == "lossless_gray" else frame)
    return path


@pytest.mark.parametrize("encoding", ["near_lossless", "lossless_rgb", "delivery"])
@pytest.mark.parametrize("fps", [Fraction(25), Fraction(30000, 1001)])
def test_selected_frames_are_those_of_a_full_read(tmp_path: Path, encoding: Encoding, fps: Fraction) -> None:
    path = _video(tmp_path / ("v.mp4" if encoding == "delivery" else "v.mkv"), encoding, fps)
    everything = list(read_frames(path))
    ids = [40, 41, 60, 89]
    for index, frame in zip(ids, read_selected_frames(path, ids), strict=True):
        assert np.array_equal(frame, everything[index]), f"frame {index}"


def test_gray_frames(tmp_path: Path) -> None:
    path = _video(tmp_path / "m.mkv", "lossless_gray", Fraction(25))
    everything = list(read_gray_frames(path))
    assert all(np.array_equal(a, everything[i]) for i, a in zip([0, 70], read_selected_frames(path, [0, 70], "gray"), strict=True))


def test_a_frame_beyond_the_end_is_an_error(tmp_path: Path) -> None:
    path = _video(tmp_path / "v.mkv", "near_lossless", Fraction(25), frames=20)
    with pytest.raises(FootageError, match="1 of the frames 18 to 25"):
        list(read_selected_frames(path, [18, 25]))

"""Pixels of frames: the values that BT.709 gives, and no drift over writing and reading."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from talkhead_core.media.frame_access import FrameAccess
from talkhead_core.media.frame_pixels import bt709_frame, gray_pixels, plane, rgb_pixels
from talkhead_core.media.video_reader import read_frames, read_gray_frames
from talkhead_core.media.video_writer import VideoWriter

# RGB and its limited-range BT.709 code values (as SMPTE RP 219 prints them for full-level bars).
_BARS = [
    ((255, 255, 255), (235, 128, 128)),
    ((0, 0, 0), (16, 128, 128)),
    ((255, 255, 0), (219, 16, 138)),
    ((0, 255, 255), (188, 154, 16)),
    ((0, 255, 0), (173, 42, 26)),
    ((255, 0, 255), (78, 214, 230)),
    ((255, 0, 0), (63, 102, 240)),
    ((0, 0, 255), (32, 240, 118)),
]


@pytest.mark.parametrize(("rgb", "code"), _BARS)
def test_colour_bars_have_their_code_values_and_come_back(rgb: tuple[int, int, int], code: tuple[int, int, int]) -> None:
    frame = bt709_frame(np.full((16, 32, 3), rgb, np.uint8))
    assert [int(plane(frame, index)[3, 5]) for index in range(3)] == list(code)
    assert np.abs(rgb_pixels(frame).astype(int) - rgb).max() <= 1
    assert int(gray_pixels(frame)[0, 0]) == round((code[0] - 16) * 255 / 219)


def _picture(height: int = 128, width: int = 192) -> np.ndarray:
    noise = np.random.default_rng(0).integers(40, 216, (height // 16, width // 16, 3), np.uint8)
    return np.asarray(cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)


def test_ten_generations_neither_darken_nor_blur_nor_shift() -> None:
    picture = _picture()
    again = picture
    for _ in range(10):
        again = rgb_pixels(bt709_frame(again))
    difference = again.astype(float) - picture
    assert np.abs(difference.mean(axis=(0, 1))).max() < 0.35
    assert np.abs(difference).mean() < 2.5
    shift, _ = cv2.phaseCorrelate(picture[..., 0].astype(np.float32), again[..., 0].astype(np.float32))
    assert np.abs(shift).max() < 0.15


def test_frames_of_other_kinds_give_nearly_the_same() -> None:
    picture = _picture()
    ours = rgb_pixels(bt709_frame(picture)).astype(int)
    given = av.VideoFrame.from_ndarray(picture, format="rgb24")
    assert np.array_equal(rgb_pixels(given), picture)
    untagged = bt709_frame(picture)
    untagged.colorspace = 5  # BT.601
    assert np.abs(rgb_pixels(untagged).astype(int) - ours).mean() > 2  # its own matrix is taken, not ours
    odd = given.reformat(width=191, height=127).reformat(format="yuv420p", dst_colorspace=1, dst_color_range=1)
    odd.colorspace, odd.color_range = 1, 1
    assert rgb_pixels(odd).shape == (127, 191, 3)


def test_every_reader_gives_the_same_pixels(tmp_path: Path) -> None:
    pictures = [np.roll(_picture(), 4 * index, axis=1) for index in range(5)]
    with VideoWriter(tmp_path / "v.mkv", width=192, height=128, fps=Fraction(25), encoding="near_lossless") as video:
        for picture in pictures:
            video.write(picture)
    read = list(read_frames(tmp_path / "v.mkv"))
    with FrameAccess(tmp_path / "v.mkv") as access:
        assert all(np.array_equal(access[index], read[index]) for index in (3, 0, 4))
    assert np.abs(np.stack(read).astype(int) - np.stack(pictures)).mean() < 1.5
    luma = np.stack(read) @ [0.2126, 0.7152, 0.0722]
    assert np.abs(np.stack(list(read_gray_frames(tmp_path / "v.mkv"))) - luma).mean() < 1.0

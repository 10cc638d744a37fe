"""The square back in its frame: known answers."""

from __future__ import annotations

from fractions import Fraction
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import pytest
import skimage.data

from talkhead_core.compositing.paste_back import PasteBack, PasteBackConfig
from talkhead_core.errors import ParameterError
from talkhead_core.media.frame_access import FrameAccess
from talkhead_core.media.probe import probe_video
from talkhead_core.media.square_crop import SquareCrop
from talkhead_core.media.transcode import write_clip, write_full_frame
from talkhead_core.media.video_reader import read_frames, video_info
from tests.footage_maker import babble, encode, ffmpeg


def photograph(width: int, height: int) -> np.ndarray:
    return cv2.resize(skimage.data.astronaut(), (width, height), interpolation=cv2.INTER_AREA)


def cut(frame: np.ndarray, crop: SquareCrop) -> np.ndarray:
    return frame[crop.y : crop.y + crop.size, crop.x : crop.x + crop.size]


def disc(size: int, softness: float = 0.1) -> np.ndarray:
    """A soft disc of radius 0.3, ``[size, size]``."""
    v, u = (np.mgrid[:size, :size] + 0.5) / size - 0.5
    return np.clip((0.3 - np.hypot(u, v)) / softness + 0.5, 0, 1).astype(np.float32)


CROPS = [
    (400, 300, SquareCrop(x=60, y=40, size=200)),
    (301, 401, SquareCrop(x=0, y=20, size=300)),
    (255, 255, SquareCrop(x=0, y=0, size=254)),
    (255, 255, SquareCrop(x=0, y=0, size=255)),
]


@pytest.mark.parametrize(("width", "height", "crop"), CROPS)
def test_the_sources_own_crop_gives_the_source(width: int, height: int, crop: SquareCrop) -> None:
    source = photograph(width, height)
    paste = PasteBack(crop, width=width, height=height)
    assert np.array_equal(paste.paste(source, cut(source, crop), np.ones((64, 64), np.float32)), source)


@pytest.mark.parametrize("scale", [0.5, 2.0])
def test_a_smooth_picture_survives_another_size(scale: float) -> None:
    v, u = np.mgrid[:300, :400] / 300
    source = np.stack([255 * u / 2, 255 * v, 120 + 60 * np.sin(3 * u)], axis=-1).astype(np.uint8)
    crop = SquareCrop(x=60, y=40, size=200)
    other = cv2.resize(cut(source, crop), None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    pasted = PasteBack(crop, width=400, height=300).paste(source, other, disc(128))
    assert np.abs(pasted.astype(int) - source).max() <= 1, "nothing moves by as much as half a pixel"


def test_outside_the_mask_the_source_stays_bit_by_bit() -> None:
    source, crop = photograph(400, 300), SquareCrop(x=60, y=40, size=200)
    pasted = PasteBack(crop, width=400, height=300).paste(source, np.zeros((200, 200, 3), np.uint8), disc(200))
    outside = np.ones((300, 400), bool)
    outside[40:240, 60:260] = disc(200) == 0
    assert np.array_equal(pasted[outside], source[outside])
    assert np.abs(cut(pasted, crop)[95:105, 95:105].astype(int)).max() <= PasteBackConfig().most_shift_levels


def test_a_constant_colour_error_is_taken_out() -> None:
    source, crop = np.full((300, 400, 3), 100, np.uint8), SquareCrop(x=60, y=40, size=200)
    rendered = np.broadcast_to(np.array([106, 95, 100], np.uint8), (200, 200, 3)).copy()
    rendered[80:120, 80:120] += 40
    mask = disc(200)
    matched = PasteBack(crop, width=400, height=300).paste(source, rendered, mask)
    assert np.abs(cut(matched, crop)[45:60, 90:110].astype(int) - 100).max() <= 1
    assert np.abs(cut(matched, crop)[95:105, 95:105].astype(int) - 140).max() <= 1
    plain = PasteBack(crop, width=400, height=300, config=PasteBackConfig(match_colours=False)).paste(source, rendered, mask)
    assert cut(plain, crop)[60, 100].tolist() == [106, 95, 100]


def test_the_colour_shift_follows_slowly() -> None:
    source, crop = np.full((300, 400, 3), 100, np.uint8), SquareCrop(x=60, y=40, size=200)
    paste = PasteBack(crop, width=400, height=300)
    levels = [
        int(paste.paste(source, np.full((200, 200, 3), 100 + 10 * (step > 0), np.uint8), disc(200))[140, 160, 0]) for step in range(40)
    ]
    assert levels[0] == 100
    assert levels[1] == 109
    assert levels[-1] == 100
    assert max(abs(b - a) for a, b in zip(levels[1:], levels[2:], strict=False)) <= 1


def test_there_is_no_seam_along_the_square() -> None:
    """A full mask and a picture 20 levels off: the step at the square's side is spread, but not at the frame's border."""
    source, crop = np.full((300, 400, 3), 100, np.uint8), SquareCrop(x=0, y=50, size=250)
    config = PasteBackConfig(match_colours=False, edge_share=0.1)
    pasted = PasteBack(crop, width=400, height=300, config=config).paste(source, np.full((250, 250, 3), 120, np.uint8), np.ones((8, 8)))
    steps = np.abs(np.diff(pasted.astype(int), axis=1)).max(), np.abs(np.diff(pasted.astype(int), axis=0)).max()
    assert max(steps) <= 2
    assert pasted[299, 100, 0] == 120
    assert pasted[150, 0, 0] == 120
    assert pasted[50, 100, 0] <= 101


def test_masks_of_8_bits_and_of_floats_agree() -> None:
    source, crop = photograph(400, 300), SquareCrop(x=60, y=40, size=200)
    rendered = cut(source, crop)[:, ::-1]
    whole = np.rint(255 * disc(200)).astype(np.uint8)
    one, other = (PasteBack(crop, width=400, height=300).paste(source, rendered, mask) for mask in (whole, whole / 255))
    assert np.array_equal(one, other)


@pytest.mark.parametrize("values", [{"edge_share": 0.5}, {"shift_inertia": 1.0}, {"most_shift_levels": -1.0}])
def test_impossible_settings_are_refused(values: dict) -> None:
    with pytest.raises(ParameterError):
        PasteBackConfig(**values)


@pytest.mark.parametrize(("turn", "size"), [(0, (320, 240)), (90, (240, 320)), (270, (254, 322)), (0, (323, 241))])
def test_a_clip_goes_back_into_its_own_source(turn: int, size: tuple[int, int], tmp_path: Path) -> None:
    """Turned and odd sources: the full frame comes back upright, at its size and rate, and the clip lands where it was cut."""
    width, height = size
    shown = [np.roll(photograph(width, height), 2 * index, axis=1) for index in range(30)]
    stored = [np.rot90(frame, k=turn // 90) for frame in shown]
    options = ("-c:v", "libx264", "-preset", "ultrafast", "-crf", "8", "-pix_fmt", "yuv444p")
    flat = encode(tmp_path / "flat.mp4", stored, fps=30, audio=babble(1.0), options=options)
    ffmpeg("-display_rotation", str(-turn % 360), "-i", flat, "-c", "copy", tmp_path / "turned.mp4")
    probe = probe_video(tmp_path / "turned.mp4")
    assert (probe.width, probe.height, probe.fps, probe.rotation_deg) == (width, height, 30, turn)
    crop = SquareCrop(x=40, y=30, size=180)
    write_clip(probe, crop, tmp_path / "clip.mkv", size_px=180, fps=Fraction(30), crf=6, preset="ultrafast")
    write_full_frame(probe, tmp_path / "full.mkv", fps=Fraction(30))
    info = video_info(tmp_path / "full.mkv")
    assert (info.width, info.height, info.fps, info.frames) == (width // 2 * 2, height // 2 * 2, 30, 30)
    paste = PasteBack(crop, width=info.width, height=info.height)
    with FrameAccess(tmp_path / "full.mkv", kept_frames=40) as full:
        for frame_id, ours in enumerate(islice(read_frames(tmp_path / "clip.mkv"), 3)):
            pasted = paste.paste(full[frame_id], ours, np.ones((180, 180), np.float32))
            difference = np.abs(pasted.astype(int) - shown[frame_id][: info.height, : info.width])
            assert difference.mean() < 4, "fine chroma is lost in 4:2:0"
            assert np.abs(pasted.astype(int) - full[frame_id]).mean() < 1

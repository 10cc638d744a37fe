"""OpenFace's action units with a recording: carried in it, read by the clip's frames, and what conditions the upper face."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from talkhead_core.errors import FootageError, InputError
from talkhead_core.face.action_units import UPPER_FACE_UNITS, upper_face_units
from talkhead_core.face.expression import ExpressionConfig, measured_expression
from talkhead_core.media.attachments import attached_file, write_with_attachment
from talkhead_core.media.openface_csv import OPENFACE_FILE, attached_openface, openface_rows
from talkhead_core.media.probe import probe_video
from talkhead_core.media.video_reader import read_frames
from tests.footage_maker import encode, ffmpeg, moving_portrait, plain_video
from tests.test_weighted_metrics import openface

FRAMES = 12


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return plain_video(tmp_path_factory.mktemp("video") / "take.mp4", seconds=FRAMES / 25)


def _ingest(recorded_fps: float, recorded: int, shown: int) -> dict:
    return {
        "source": {"timestamps_s": (np.arange(recorded) / recorded_fps).tolist()},
        "frame_source_timestamp_s": (np.arange(shown) / 25).tolist(),
    }


def _attach(video: Path, csv: Path, out: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tasks.attach_action_units", "--video", str(video), "--csv", str(csv), "--out", str(out)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_recording_carries_the_csv_and_is_otherwise_the_same(video: Path, tmp_path: Path) -> None:
    csv = openface(tmp_path / "take.csv", FRAMES, AU45_r=np.arange(float(FRAMES)))
    for name in ("one.mkv", "two.mkv"):
        done = _attach(video, csv, tmp_path / name)
        assert done.returncode == 0, done.stderr
    assert (tmp_path / "one.mkv").read_bytes() == (tmp_path / "two.mkv").read_bytes(), "so that a second registration changes nothing"
    assert attached_openface(tmp_path / "one.mkv") == csv.read_bytes() and attached_openface(video) is None
    for copied, recorded in zip(read_frames(tmp_path / "one.mkv"), read_frames(video), strict=True):
        assert np.array_equal(copied, recorded)
    before, after = probe_video(video), probe_video(tmp_path / "one.mkv")
    assert after.audio == before.audio and np.abs(after.timestamps_s - before.timestamps_s).max() < 1e-3


def test_a_csv_of_another_video_is_refused(video: Path, tmp_path: Path) -> None:
    done = _attach(video, openface(tmp_path / "a.csv", FRAMES + 5), tmp_path / "o.mkv")
    assert done.returncode == 1 and f"names {FRAMES + 5} frames" in done.stderr and len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "o.mkv").exists()


def test_a_turned_video_stays_turned_or_is_refused(tmp_path: Path) -> None:
    upright = encode(tmp_path / "upright.mp4", moving_portrait(3))
    ffmpeg("-display_rotation", "90", "-i", upright, "-c", "copy", tmp_path / "turned.mp4")
    turned = probe_video(tmp_path / "turned.mp4").rotation_deg
    assert turned in (90, 270)
    try:
        write_with_attachment(tmp_path / "turned.mp4", tmp_path / "o.mkv", OPENFACE_FILE, b"x")
    except FootageError as error:
        assert "convert it first" in str(error) and not (tmp_path / "o.mkv").exists()
    else:
        assert probe_video(tmp_path / "o.mkv").rotation_deg == turned and attached_file(tmp_path / "o.mkv", OPENFACE_FILE) == b"x"


def test_units_are_of_the_frame_that_the_clip_shows(video: Path, tmp_path: Path) -> None:
    """A recording at 50 a second: the clip shows every other of its frames, and one without a face stays where it is."""
    success = np.ones(FRAMES)
    success[4] = 0
    csv = openface(tmp_path / "a.csv", FRAMES, AU45_r=np.arange(float(FRAMES)), success=success)
    write_with_attachment(video, tmp_path / "v.mkv", OPENFACE_FILE, csv.read_bytes())
    units = upper_face_units(tmp_path / "v.mkv", _ingest(50, FRAMES, FRAMES // 2))
    assert units.shape == (6, 8) and units.dtype == np.float32
    np.testing.assert_array_equal(units[:, -1], [0, 2, np.nan, 6, 8, 10])
    with pytest.raises(InputError, match="30 frames and its action units 12"):
        upper_face_units(tmp_path / "v.mkv", _ingest(25, 30, 30))
    with pytest.raises(InputError, match="--action-units"):
        upper_face_units(video, _ingest(25, FRAMES, FRAMES))


def test_action_units_condition_the_upper_face_gated_like_the_other_sources() -> None:
    units = np.tile(np.linspace(0, 2, 40, dtype=np.float32)[:, None], (1, 8))
    units[7:9] = np.nan
    units[20] = 5.0
    landmarks = {"confidence": np.where(np.arange(40) == 20, 0.05, 1.0), "action_units": units}
    config = ExpressionConfig(source="action_units", smoothing_frames=5)
    values = measured_expression(config, landmarks, np.zeros((40, 468, 3)), np.ones(40, bool), np.zeros(40, int))
    assert config.names == UPPER_FACE_UNITS
    np.testing.assert_allclose(values, np.tile(np.linspace(0, 2, 40)[:, None], (1, 8)), atol=1e-5)


def test_rows_for_a_dataset_are_numbered_by_its_frames(tmp_path: Path) -> None:
    content = openface(tmp_path / "a.csv", FRAMES, AU45_r=np.arange(float(FRAMES))).read_bytes()
    told = pd.read_csv(io.StringIO(openface_rows(content, np.array([0, 3, 3, 11, 14]), "here")))
    assert list(told.columns[:2]) == ["frame", " face_id"] and told["frame"].tolist() == [1, 2, 3, 4, 5]
    assert told[" AU45_r"].tolist() == [0, 3, 3, 11, 0] and told[" success"].tolist() == [1, 1, 1, 1, 0]

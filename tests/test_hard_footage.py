"""What people film and what happens to their files: a right clip or one clear line, in bounded time, and nothing half-written."""

from __future__ import annotations

import os
import re
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from flows.child_process import child_environment
from talkhead_core.errors import FootageError
from talkhead_core.footage.clip import IngestConfig, ingest_footage
from talkhead_core.media.audio_file import write_audio
from talkhead_core.media.video_reader import video_info
from tests.footage_maker import SECONDS, babble, encode, ffmpeg, moving_portrait, plain_video, portrait
from tests.toy_workspace import REPOSITORY, add_speaker

CLIP_PX = 128
Frames = list[np.ndarray]
X264 = ("-c:v", "libx264", "-preset", "ultrafast", "-crf", "12", "-pix_fmt", "yuv420p")


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return plain_video(tmp_path_factory.mktemp("plain") / "plain.mp4")


def ingested(video: Path, folder: Path) -> dict[str, Any]:
    return ingest_footage(video, folder / "clip.mkv", IngestConfig(size_px=CLIP_PX))


def clip_or_line(video: Path, out: Path) -> dict[str, Any] | str:
    """The record of a right clip, or the refusal; anything else fails."""
    try:
        record = ingested(video, out)
    except FootageError as error:
        assert list(out.iterdir()) == [] and "\n" not in str(error) and str(video) in str(error) and "; " in str(error)
        return str(error)
    assert video_info(out / "clip.mkv").frames == record["clip"]["frames"]
    return record


# ------------------------------------------------------------------------------------------------------- what is filmed


def leaving(frames: Frames) -> Frames:
    wall = np.full_like(frames[0], 120)
    return [wall if 30 <= index < 45 else frame for index, frame in enumerate(frames)]


def fading(frames: Frames) -> Frames:
    return [np.zeros_like(frame) if 40 <= index < 46 else frame for index, frame in enumerate(frames)]


def with_a_poster(frames: Frames) -> Frames:
    small = cv2.resize(portrait()[40:160, 60:180], (56, 56), interpolation=cv2.INTER_AREA)
    wide = [cv2.copyMakeBorder(frame, 0, 0, 0, 160, cv2.BORDER_CONSTANT, value=(90, 110, 90)) for frame in frames]
    for frame in wide:
        frame[20:76, -80:-24] = small
    return wide


def from_the_side(frames: Frames) -> Frames:
    """One eye and the nose: the left half of the face on a wall."""
    sides = []
    for frame in frames:
        side = np.full_like(frame, 120)
        side[:, :100] = frame[:, :100]
        sides.append(side)
    return sides


def frozen(frames: Frames) -> Frames:
    return [frames[0]] * len(frames)


def cut_together(frames: Frames) -> Frames:
    return [np.ascontiguousarray(frame[:, ::-1]) if index >= 40 else frame for index, frame in enumerate(frames)]


OF_THE_PORTRAIT = {"face_small", "mouth_never_closed"}  # she is small and smiles, whatever is done to the frames
# what the frames become; the refusal, or the findings beyond those of the portrait
FILMED: dict[str, tuple[Callable[[Frames], Frames], str | set[str]]] = {
    "face leaves and returns": (leaving, {"cuts", "face_absent"}),
    "black frames": (fading, {"cuts", "face_absent"}),
    "face on a poster": (with_a_poster, set()),
    "from the side": (from_the_side, "shows no face in 14 frames looked at; give a video in which the speaker's face is in view"),
    "cut together": (cut_together, {"cuts"}),
    "a still picture as a video": (frozen, "the picture never changes: a still picture with a sound; give a video of a person who speaks"),
}


@pytest.mark.parametrize("name", FILMED)
def test_what_is_filmed(name: str, tmp_path: Path) -> None:
    change, expected = FILMED[name]
    out = tmp_path / "out"
    out.mkdir()
    video = encode(tmp_path / "filmed.mp4", change(moving_portrait(80)), audio=babble(SECONDS))
    result = clip_or_line(video, out)
    if isinstance(expected, str):
        assert isinstance(result, str) and result.startswith(f"{video}: {expected}"), result
        return
    assert isinstance(result, dict), result
    assert {one["code"] for one in result["findings"] if one["level"] != "ok"} == expected | OF_THE_PORTRAIT
    if name == "face on a poster":
        assert result["crop"]["x"] + result["crop"]["size"] / 2 < 200, "the crop follows the speaker, not the poster"


@pytest.mark.parametrize(("width", "height", "face_px"), [(64, 64, 28), (96, 128, 53)])
def test_faces_too_small_to_train_on_are_refused(width: int, height: int, face_px: int, plain: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    ffmpeg("-i", plain, "-vf", f"scale={width}:{height}", "-c:a", "copy", *X264, tmp_path / "small.mp4")
    result = clip_or_line(tmp_path / "small.mp4", tmp_path / "out")
    assert isinstance(result, str), result
    found = re.fullmatch(r".*: the face is (\d+) px high in the source; at least 80 px are needed: film closer, or .*", result)
    assert found and abs(int(found[1]) - face_px) <= 2, result


@pytest.mark.slow
def test_4k_is_cut_down(plain: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    ffmpeg("-i", plain, "-vf", "scale=2160:2160,pad=3840:2160:840:0:gray", "-c:a", "copy", *X264, tmp_path / "large.mp4")
    result = clip_or_line(tmp_path / "large.mp4", tmp_path / "out")
    assert isinstance(result, dict) and result["source"]["width"] == 3840 and result["clip"]["width"] == CLIP_PX


# what the sound becomes; the refusal, or the findings beyond those of the portrait
SOUNDS: dict[str, tuple[Callable[[np.ndarray], np.ndarray], str | set[str]]] = {
    "clipped": (lambda sound: np.clip(sound * 40, -1, 1), {"clipped"}),
    "infinite": (
        lambda sound: np.where(np.arange(len(sound))[:, None] == 5000, np.inf, sound),
        "holds samples that are not numbers; export",
    ),
    "very loud floats": (lambda sound: sound * 1e6, {"clipped"}),
    "faint": (lambda sound: sound * 1e-6, "its audio track is silent (-120 dBFS); give a video with the speaker's voice"),
}


@pytest.mark.parametrize("name", SOUNDS)
def test_what_is_heard(name: str, tmp_path: Path) -> None:
    change, expected = SOUNDS[name]
    (tmp_path / "out").mkdir()
    sound = change(babble(SECONDS)).astype(np.float32)
    video = encode(tmp_path / "heard.mkv", moving_portrait(80), audio=sound, options=(*X264, "-c:a", "pcm_f32le"))
    result = clip_or_line(video, tmp_path / "out")
    if isinstance(expected, str):
        assert isinstance(result, str) and expected in result, result
    else:
        assert isinstance(result, dict), result
        assert {one["code"] for one in result["findings"] if one["level"] != "ok"} == expected | OF_THE_PORTRAIT


def test_time_before_zero(tmp_path: Path) -> None:
    """Negative timestamps: the first frame shown is frame 0."""
    (tmp_path / "out").mkdir()
    shift = ("-output_ts_offset", "-0.5", "-avoid_negative_ts", "disabled")
    whole = plain_video(tmp_path / "whole.mp4", seconds=4.0)
    ffmpeg("-i", whole, "-c", "copy", *shift, "-f", "mov", tmp_path / "early.mov")
    result = clip_or_line(tmp_path / "early.mov", tmp_path / "out")
    assert isinstance(result, dict)
    assert result["frame_source_timestamp_s"][0] == pytest.approx(0.0, abs=0.05)
    assert 85 <= result["clip"]["frames"] <= 88, "what lies before zero is not shown, as in any player"


SAID = {".mkv": "is cut off or damaged: its header promises 3.22 s, it holds ", ".ts": "at least 3 s are needed; film a minute or more"}


@pytest.mark.parametrize("share", [0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.6, 0.75, 0.9, 0.97, 0.999])
@pytest.mark.parametrize("suffix", [".mkv", ".ts"])
def test_cut_off_anywhere(share: float, suffix: str, plain: Path, tmp_path: Path) -> None:
    """Formats that can be read up to where they were cut off: refused up to three seconds, a clip of what is there from then on."""
    ffmpeg("-i", plain, "-c", "copy", tmp_path / f"whole{suffix}")
    data = (tmp_path / f"whole{suffix}").read_bytes()
    (tmp_path / f"part{suffix}").write_bytes(data[: int(len(data) * share)])
    (tmp_path / "out").mkdir()
    result = clip_or_line(tmp_path / f"part{suffix}", tmp_path / "out")
    if share > 0.95:
        assert isinstance(result, dict) and 75 <= result["clip"]["frames"] <= 80, result
    elif suffix == ".ts" and share == 0.01:
        assert isinstance(result, str) and "holds 1 picture(s), not a moving one; give a video of a person speaking" in result, result
    else:
        assert isinstance(result, str) and SAID[suffix] in result, result


# --------------------------------------------------------------------------------------------------- where it is written


def run(root: Path, task: str, *arguments: str | Path, file_bytes: int | None = None) -> subprocess.CompletedProcess[str]:
    limit = (lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes, file_bytes))) if file_bytes is not None else None
    command = [sys.executable, "-m", f"tasks.{task}", *map(str, arguments)]
    return subprocess.run(
        command, cwd=root, env=child_environment(), capture_output=True, text=True, timeout=240, preexec_fn=limit, check=False
    )


def refused_in_one_line(done: subprocess.CompletedProcess[str], task: str) -> str:
    assert done.returncode == 1 and "Traceback" not in done.stderr, done.stderr
    lines = [line for line in done.stderr.splitlines() if line.startswith(f"{task}: ")]
    assert len(lines) == 1, done.stderr
    return lines[0]


@pytest.fixture
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The code as it is, and no speaker."""
    root = tmp_path_factory.mktemp("workspace")
    for name in ("tasks", "talkhead_core", "flows", "params.yaml"):
        (root / name).symlink_to(REPOSITORY / name)
    (root / "speakers.yaml").write_text("speakers: {}\n")
    return root


def test_a_full_disk_is_one_line_and_leaves_nothing(workspace: Path, plain: Path) -> None:
    add_speaker(workspace, "full", video=plain.read_bytes())
    said = refused_in_one_line(run(workspace, "ingest", "--speaker", "full", file_bytes=20_000), "ingest")
    assert "File too large" in said or "ffmpeg" in said, said
    assert list((workspace / "data/full/ingest").iterdir()) == []


@pytest.mark.parametrize("place", ["a file is in the way", "nobody may write", "no name"])
def test_places_that_cannot_be_written_to(place: str, workspace: Path, tmp_path: Path) -> None:
    write_audio(tmp_path / "in.wav", babble(1.0, 16_000)[:, 0])
    (tmp_path / "file").write_text("")
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o500)
    unwritable = locked / "out.wav" if os.geteuid() else Path("/proc/out.wav")  # permissions do not stop root
    target = {
        "a file is in the way": tmp_path / "file" / "out.wav",
        "nobody may write": unwritable,
        "no name": tmp_path / ("x" * 300 + ".wav"),
    }
    refused_in_one_line(run(workspace, "denoise_file", tmp_path / "in.wav", target[place]), "denoise")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "in.wav", "locked"]


def test_a_full_disk_leaves_no_half_sound(workspace: Path, tmp_path: Path) -> None:
    write_audio(tmp_path / "in.wav", babble(2.0, 16_000)[:, 0])
    refused_in_one_line(run(workspace, "denoise_file", tmp_path / "in.wav", tmp_path / "out.wav", file_bytes=4096), "denoise")
    assert [path.name for path in tmp_path.iterdir()] == ["in.wav"]

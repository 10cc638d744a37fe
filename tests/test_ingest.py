"""From the raw video to the clip and its sound: timing, framing, colours, shots, and the stage's contract."""

from __future__ import annotations

import json
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
import yaml

from talkhead_core.consent import Consent, statement_hash, write_consent
from talkhead_core.errors import ParameterError
from talkhead_core.face.face_scan import FaceBox
from talkhead_core.footage.clip import IngestConfig, ingest_footage
from talkhead_core.footage.framing import FramingConfig, choose_crop
from talkhead_core.media.audio_file import read_audio, read_audio_span
from talkhead_core.media.frame_rate import clip_rate, frame_sources
from talkhead_core.media.probe import probe_video
from talkhead_core.media.shots import LUMA_THUMBNAIL_PX, ShotDetector
from talkhead_core.media.square_crop import SquareCrop
from talkhead_core.media.video_reader import read_frames, video_info
from talkhead_core.speakers import Speaker, write_speakers
from tests.footage_maker import FPS, babble, encode, ffmpeg, moving_portrait, plain_video

ROOT = Path(__file__).parents[1]
SPEAKERS = ROOT.parent / "shared" / "data" / "speakers"
SAMPLE_RATE_HZ = 16_000


def real_clip(name: str) -> Path:
    path = SPEAKERS / f"{name}.mp4"
    if not path.exists():
        pytest.skip(f"the real clip {path.name} is not here")
    return path


# ------------------------------------------------------------------------------------------------------------ real clips


# Squares of the first 3.2 seconds, in which the speakers move less than in the whole recordings (those are in tests/test_tracking.py).
@pytest.mark.parametrize(
    ("name", "crop"),
    [
        ("newsreader_512", (0, 0, 512)),
        ("anchor_512", (0, 0, 512)),
        pytest.param("hands_1080p", (138, 110, 818), marks=pytest.mark.slow),
        pytest.param("outdoor_1080p", (276, 488, 636), marks=pytest.mark.slow),
    ],
)
def test_real_clips_are_framed_and_keep_their_colours(name: str, crop: tuple[int, int, int], tmp_path: Path) -> None:
    part = ("-c:v", "libx264", "-preset", "ultrafast", "-qp", "0", "-c:a", "copy")
    ffmpeg("-t", "3.2", "-i", real_clip(name), *part, tmp_path / "part.mp4")
    record = ingest_footage(tmp_path / "part.mp4", tmp_path / "clip.mkv", IngestConfig())
    assert record["clip"] == {"width": 512, "height": 512, "fps": "25/1", "frames": record["source"]["frames"]}
    x, y, size = (record["crop"][key] for key in ("x", "y", "size"))
    assert np.abs(np.subtract((x, y, size), crop)).max() <= (0 if size == 512 else 20)
    assert np.allclose(record["frame_source_timestamp_s"], record["source"]["timestamps_s"])
    ours, source = next(read_frames(tmp_path / "clip.mkv")), next(read_frames(tmp_path / "part.mp4"))
    expected = cv2.resize(source[y : y + size, x : x + size], (512, 512), interpolation=cv2.INTER_AREA)
    difference = ours.astype(int) - expected
    assert np.abs(difference.mean(axis=(0, 1))).max() < 0.5
    assert np.abs(difference).mean() < 1.5
    assert all(finding["level"] != "fail" for finding in record["findings"])


@pytest.mark.parametrize(
    ("name", "cuts"),
    [
        ("newsreader_512", []),
        ("anchor_512", [176, 702, 953, 1031, 1429]),
        pytest.param("hands_1080p", [], marks=pytest.mark.slow),
        pytest.param("outdoor_1080p", [], marks=pytest.mark.slow),
    ],
)
def test_real_cuts_are_found_and_gestures_are_none(name: str, cuts: list[int]) -> None:
    detector = ShotDetector()
    with av.open(str(real_clip(name))) as container:
        container.streams.video[0].thread_type = "AUTO"
        for frame in container.decode(video=0):
            plane = frame.planes[0]
            luma = np.frombuffer(memoryview(plane), np.uint8).reshape(plane.height, plane.line_size)[:, : plane.width]
            scale = LUMA_THUMBNAIL_PX / min(luma.shape)
            detector.add(cv2.resize(luma, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA))
    assert [start for start, _ in detector.shots()] == [0, *cuts]


# ---------------------------------------------------------------------------------------------------------------- timing


def numbered(count: int) -> list[np.ndarray]:
    """Portraits that carry their number in black and white squares along the top edge."""
    frames = moving_portrait(count)
    for number, frame in enumerate(frames):
        for bit in range(8):
            frame[:16, 16 * bit : 16 * bit + 16] = 235 if number >> bit & 1 else 20
    return frames


def number_in(frame: np.ndarray) -> int:
    scale = frame.shape[1] / 256
    return sum(1 << bit for bit in range(8) if frame[round(8 * scale), round((16 * bit + 8) * scale)].mean() > 127)


@pytest.mark.parametrize("fps", ["auto", "source", "30"])
def test_each_clip_frame_names_the_time_it_was_taken_from(fps: str, tmp_path: Path) -> None:
    """Variable rate: the number in the picture tells which source frame is shown."""
    encode(tmp_path / "even.mp4", numbered(100), audio=babble(4.0))
    chosen = r"select=not(eq(mod(n\,7)\,2)+eq(mod(n\,5)\,3)+between(n\,40\,48))"
    ffmpeg("-i", tmp_path / "even.mp4", "-vf", chosen, "-fps_mode", "vfr", "-crf", "10", "-c:a", "copy", tmp_path / "uneven.mp4")
    kept = [n for n in range(100) if not (n % 7 == 2 or n % 5 == 3 or 40 <= n <= 48)]
    record = ingest_footage(tmp_path / "uneven.mp4", tmp_path / "clip.mkv", IngestConfig(size_px=256, fps=fps))
    assert np.allclose(record["source"]["timestamps_s"], np.array(kept) / FPS, atol=1e-3)
    assert not record["source"]["constant_rate"]
    shown = [number_in(frame) for frame in read_frames(tmp_path / "clip.mkv")]
    named = [round(time * FPS) for time in record["frame_source_timestamp_s"]]
    assert shown == named
    clip_fps = Fraction(record["clip"]["fps"])
    late_s = np.arange(len(shown)) / float(clip_fps) - record["frame_source_timestamp_s"]
    assert late_s.min() > -0.5 / clip_fps - 1e-6, "no frame is shown more than half a frame early"


@pytest.mark.parametrize(
    ("source", "choice", "rate"),
    [
        (Fraction(25), "auto", Fraction(25)),
        (Fraction(30000, 1001), "auto", Fraction(30000, 1001)),
        (Fraction(24000, 1001), "auto", Fraction(24000, 1001)),
        (Fraction(50), "auto", Fraction(25)),
        (Fraction(60), "auto", Fraction(30)),
        (Fraction(120), "auto", Fraction(30)),
        (Fraction(15), "auto", Fraction(25)),
        (Fraction(32), "auto", Fraction(25)),
        (Fraction(60), "source", Fraction(60)),
        (Fraction(60), "24", Fraction(24)),
    ],
)
def test_clip_rate(source: Fraction, choice: str, rate: Fraction) -> None:
    assert clip_rate(source, choice) == rate


def test_frame_sources_of_a_doubled_and_a_halved_rate() -> None:
    times = np.arange(10) / 50
    assert frame_sources(times, Fraction(25), 5).tolist() == [0, 2, 4, 6, 8]
    assert frame_sources(times, Fraction(100), 20).tolist() == np.repeat(np.arange(10), 2).tolist()


def clicks(seconds: float, sample_rate_hz: int, channels: int = 1) -> np.ndarray:
    """Half-sine clicks of 2 ms, centred on 0.5, 1.0, 1.5 ... s, over the babble that ingest asks for."""
    sound = 0.02 * babble(seconds, sample_rate_hz, channels)
    width = round(0.002 * sample_rate_hz)
    for middle in np.arange(0.5, seconds - 0.1, 0.5):
        start = round(middle * sample_rate_hz) - width // 2
        sound[start : start + width] += 0.8 * np.sin(np.pi * (np.arange(width) + 0.5) / width)[:, None]
    return sound.astype(np.float32)


def click_times_s(audio: np.ndarray) -> np.ndarray:
    """Centroids of the loud moments."""
    loud = np.flatnonzero(np.abs(audio) > 0.25)
    groups = np.split(loud, np.flatnonzero(np.diff(loud) > 800) + 1)
    return np.array([np.average(group, weights=np.abs(audio[group])) + 0.5 for group in groups]) / SAMPLE_RATE_HZ


@pytest.mark.parametrize(
    ("name", "codec", "sample_rate_hz", "channels"),
    [
        ("a.mkv", "pcm_s16le", 48_000, 1),
        ("b.mp4", "aac", 44_100, 2),
        ("c.mkv", "flac", 96_000, 2),
        ("d.mp4", "aac", 48_000, 6),
        ("e.mkv", "pcm_s16le", 8_000, 1),
    ],
)
def test_sound_is_aligned_with_frame_0(name: str, codec: str, sample_rate_hz: int, channels: int, tmp_path: Path) -> None:
    options = ("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-c:a", codec)
    sound = clicks(4.0, sample_rate_hz, channels)
    video = encode(tmp_path / name, moving_portrait(100), audio=sound, sample_rate_hz=sample_rate_hz, options=options)
    audio = read_audio_span(video, probe_video(video).start_s, 4.0)
    assert len(audio) == 64_000
    assert np.abs(click_times_s(audio) - np.arange(0.5, 3.9, 0.5)).max() < 0.0005
    assert np.abs(audio).max() < 0.95


@pytest.mark.parametrize("shift_s", [0.4, -0.2, 1.3])
def test_sound_keeps_its_place_when_it_starts_late_or_early(shift_s: float, tmp_path: Path) -> None:
    options = ("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-c:a", "pcm_s16le")
    video = encode(tmp_path / "a.mkv", moving_portrait(100), audio=clicks(4.0, 48_000), sample_rate_hz=48_000, options=options)
    shifted = tmp_path / "shifted.mkv"
    early, late = (str(-shift_s), "0") if shift_s < 0 else ("0", str(shift_s))
    ffmpeg("-itsoffset", early, "-i", video, "-itsoffset", late, "-i", video, "-map", "0:v", "-map", "1:a", "-c", "copy", shifted)
    probe = probe_video(shifted)
    times = click_times_s(read_audio_span(shifted, probe.start_s, 4.0))
    expected = np.arange(0.5, 3.9, 0.5) + shift_s
    expected = expected[(expected > 0.01) & (expected < 3.99)]
    assert np.abs(times - expected).max() < 0.0015, "Matroska counts in milliseconds"


def test_edit_list_of_a_trimmed_recording(tmp_path: Path) -> None:
    """An MP4 cut without encoding starts before its first shown frame and says so in its edit list."""
    video = encode(tmp_path / "a.mp4", numbered(125), audio=clicks(5.0, 48_000), sample_rate_hz=48_000)
    ffmpeg("-ss", "0.6", "-i", video, "-c", "copy", tmp_path / "cut.mp4")
    record = ingest_footage(tmp_path / "cut.mp4", tmp_path / "clip.mkv", IngestConfig(size_px=256))
    shown = [number_in(frame) for frame in read_frames(tmp_path / "clip.mkv")]
    assert shown == list(range(shown[0], 125))
    audio = read_audio_span(tmp_path / "cut.mp4", record["source"]["start_s"], len(shown) / FPS)
    expected = np.arange(0.5, 4.9, 0.5) - shown[0] / FPS
    assert np.abs(click_times_s(audio) - expected[expected > 0.01]).max() < 0.002


def test_downmix_neither_clips_nor_drops_the_centre(tmp_path: Path) -> None:
    loud = np.full((16_000, 2), 0.9, np.float32) * np.sin(np.arange(16_000) / 10)[:, None]
    centre = np.zeros((16_000, 6), np.float32)
    centre[:, 2] = loud[:, 0]
    for name, sound in (("stereo", loud), ("surround", centre)):
        sound.astype("<f4").tofile(tmp_path / "raw")
        channels = str(sound.shape[1])
        ffmpeg("-f", "f32le", "-ar", "16000", "-ac", channels, "-i", tmp_path / "raw", "-c:a", "pcm_f32le", tmp_path / f"{name}.wav")
    assert np.abs(read_audio(tmp_path / "stereo.wav")).max() == pytest.approx(0.9, abs=0.01)
    assert 0.2 < np.abs(read_audio(tmp_path / "surround.wav")).max() <= 0.9


# --------------------------------------------------------------------------------------------------------------- framing


def test_crop_is_square_even_and_inside() -> None:
    face = FaceBox(x=700, y=60, width=160, height=200, score=1)
    crop = choose_crop([face], 901, 1601)
    assert crop.size % 2 == crop.x % 2 == crop.y % 2 == 0
    assert 0 <= crop.x <= 901 - crop.size
    assert crop.y == 0
    assert crop.size == 560


def test_crop_grows_with_the_speakers_movement() -> None:
    still = [FaceBox(x=400, y=400, width=100, height=120, score=1)] * 20
    moving = [FaceBox(x=300 + 10 * step, y=400, width=100, height=120, score=1) for step in range(20)]
    assert choose_crop(moving, 2000, 2000).size >= choose_crop(still, 2000, 2000).size + 150


def test_crop_maps_there_and_back() -> None:
    crop = SquareCrop(x=100, y=340, size=880)
    points = np.array([[100.0, 340.0], [540.0, 780.0]])
    assert np.allclose(crop.to_clip(points, 512), [[0, 0], [256, 256]])
    assert np.allclose(crop.to_source(crop.to_clip(points, 512), 512), points)


@pytest.mark.parametrize("values", [{"size_px": 511}, {"fps": "fast"}, {"fps": "0"}, {"crf": 40}])
def test_impossible_parameters_are_refused(values: dict) -> None:
    with pytest.raises(ParameterError):
        IngestConfig(**values)


def test_impossible_framing_is_refused() -> None:
    with pytest.raises(ParameterError):
        FramingConfig(crop_face_heights=1.0)


# ------------------------------------------------------------------------------------------------------------- the stage


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    raw = tmp_path / "data" / "anna" / "raw"
    raw.mkdir(parents=True)
    plain_video(raw / "video.mp4")
    agreed = Consent(who="Anna", purpose="tests", given_on="2025-01-01", statement_sha256=statement_hash("yes"), synthetic=True)
    write_consent(raw / "consent.json", agreed)
    write_speakers(tmp_path / "speakers.yaml", {"anna": Speaker(video="data/anna/raw/video.mp4", profile="test", config="test")})
    params = {"ingest": {"size_px": 128}, "extract_audio": {}, "profiles": {"test": {}}, "configs": {"test": {}}}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params))
    return tmp_path


def run_stage(name: str, workspace: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", f"tasks.{name}", "--speaker", "anna"]
    return subprocess.run(command, cwd=workspace, capture_output=True, text=True, check=False)


def test_stages_write_what_the_contract_says(workspace: Path) -> None:
    for stage in ("ingest", "extract_audio"):
        done = run_stage(stage, workspace)
        assert done.returncode == 0, done.stderr
    record = json.loads((workspace / "data/anna/ingest/ingest.json").read_text())
    assert set(record) >= {"source", "clip", "frame_source_timestamp_s", "crop", "shots", "findings", "consent"}
    assert set(record["source"]) >= {"file", "sha256", "width", "height", "rotation_deg", "fps", "constant_rate", "frames", "timestamps_s"}
    assert record["consent"]["who"] == "Anna"
    assert record["shots"] == [[0, record["clip"]["frames"]]]
    assert video_info(workspace / "data/anna/ingest/clip.mkv").frames == record["clip"]["frames"] == 80
    audio = read_audio(workspace / "data/anna/extract_audio/audio.wav")
    assert len(audio) == 80 * SAMPLE_RATE_HZ // 25


def test_a_second_run_writes_the_same_bytes(workspace: Path) -> None:
    written = []
    for _ in range(2):
        assert run_stage("ingest", workspace).returncode == 0
        written.append([(workspace / "data/anna/ingest" / name).read_bytes() for name in ("clip.mkv", "ingest.json")])
    assert written[0] == written[1]


def test_a_refusal_is_one_line_and_leaves_nothing(workspace: Path) -> None:
    video = workspace / "data/anna/raw/video.mp4"
    video.write_bytes(video.read_bytes()[:5000])
    done = run_stage("ingest", workspace)
    assert done.returncode == 1
    lines = [line for line in done.stderr.splitlines() if line.startswith("ingest:")]
    assert len(lines) == 1
    assert "Traceback" not in done.stderr
    assert list((workspace / "data/anna/ingest").glob("*")) == []

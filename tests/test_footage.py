"""The footage doctor: each finding on footage made to show it, and the verdict on real clips."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from talkhead_core.errors import FootageError
from talkhead_core.face.face_motion import FaceMotionMeter, face_measures
from talkhead_core.face.face_scan import FaceDetector
from talkhead_core.footage.audio_video_offset import audio_video_offset
from talkhead_core.footage.finding import Finding, verdict
from talkhead_core.footage.motion_findings import blink_count, closed_mouth_s, offset_finding
from talkhead_core.footage.report import FootageReport, examine_footage
from talkhead_core.footage.sound_findings import clipped_share, sound_findings
from talkhead_core.media.audio_file import read_audio
from talkhead_core.media.probe import probe_video
from talkhead_core.media.shots import ShotDetector
from talkhead_core.media.shown_frame import ShownFrame
from tests.footage_maker import FPS, babble, encode, ffmpeg, moving_portrait, plain_video, portrait

DATA = Path(__file__).parents[2] / "shared" / "data"
RATE_HZ = 16_000
SECONDS = 4.0


def real(name: str) -> Path:
    path = DATA / name
    if not path.exists():
        pytest.skip(f"the real recording {path.name} is not here")
    return path


def codes(report: FootageReport) -> dict[str, str]:
    return {finding.code: finding.level for finding in report.findings}


def examined(folder: Path, frames: list[np.ndarray], sound: np.ndarray | None = None, fps: float = FPS) -> FootageReport:
    return examine_footage(encode(folder / "film.mp4", frames, fps=fps, audio=babble(len(frames) / fps) if sound is None else sound))


# ---------------------------------------------------------------------------------------------------------- the verdict


def test_verdict_is_the_worst_finding() -> None:
    found = [Finding(level=level, code=level, message="") for level in ("ok", "warn", "fail")]
    assert [verdict(found[:count]) for count in (0, 1, 2, 3)] == ["go", "go", "go_with_care", "no_go"]


def test_a_good_clip_is_examined_in_full(tmp_path: Path) -> None:
    report = examine_footage(plain_video(tmp_path / "plain.mp4", SECONDS))
    assert report.verdict != "no_go"
    report.require_go()
    expected = {"frame_rate", "one_shot", "face_present", "one_face", "face_small", "no_hands", "pose_range", "blinks", "snr"}
    assert expected <= set(codes(report))
    assert json.loads(json.dumps(report.to_json(), allow_nan=False))["verdict"] == report.verdict


def test_the_first_failure_is_raised_with_its_advice(tmp_path: Path) -> None:
    report = examined(tmp_path, [np.full((128, 128, 3), 80, np.uint8)] * 100)
    assert codes(report)["no_face"] == "fail"
    assert report.verdict == "no_go"
    with pytest.raises(FootageError, match="no face"):
        report.require_go()


# ------------------------------------------------------------------------------------------------------------ the picture


def flickering(frames: list[np.ndarray]) -> list[np.ndarray]:
    return [np.clip(frame * (1 + 0.03 * np.sin(2 * np.pi * 8 * n / FPS)), 0, 255).astype(np.uint8) for n, frame in enumerate(frames)]


def repeating(frames: list[np.ndarray]) -> list[np.ndarray]:
    return [frames[index // 2 * 2] for index in range(len(frames))]


def cut_in_two(frames: list[np.ndarray]) -> list[np.ndarray]:
    other = [np.roll(frame, (8, -14), axis=(0, 1)) for frame in frames]
    return frames[:50] + other[50:]


def leaving(frames: list[np.ndarray]) -> list[np.ndarray]:
    empty = cv2.GaussianBlur(frames[0], (0, 0), 40)
    return frames[:70] + [empty] * (len(frames) - 70)


def darkened(frames: list[np.ndarray]) -> list[np.ndarray]:
    return [(frame * 0.12).astype(np.uint8) for frame in frames]


@pytest.mark.parametrize(
    ("change", "code"),
    [(flickering, "flicker"), (repeating, "repeated_frames"), (cut_in_two, "cuts"), (leaving, "face_absent"), (darkened, "dark")],
)
def test_a_flaw_in_the_picture_is_found_where_it_is_and_only_there(
    change: Callable[[list[np.ndarray]], list[np.ndarray]], code: str, tmp_path: Path
) -> None:
    frames = moving_portrait(round(SECONDS * FPS))
    report = examined(tmp_path, change(frames))
    assert codes(report).get(code) in ("warn", "fail")
    if code == "cuts":
        assert report.scan is not None
        assert report.scan.shots == [(0, 50), (50, 100)]
    if code == "repeated_frames":
        assert report.figures["repeated_share"] == pytest.approx(0.5, abs=0.05)
    untouched = examined(tmp_path, frames)
    assert code not in codes(untouched)


def test_a_low_frame_rate_is_said(tmp_path: Path) -> None:
    assert codes(examined(tmp_path, moving_portrait(40, fps=10), fps=10))["low_frame_rate"] == "warn"


def test_a_rate_that_the_clip_cannot_divide_is_said(tmp_path: Path) -> None:
    assert codes(examined(tmp_path, moving_portrait(160, fps=40), fps=40))["reduced_rate"] == "warn"
    halved = next(finding for finding in examined(tmp_path, moving_portrait(200, fps=50), fps=50).findings if finding.code == "frame_rate")
    assert halved.message == "50.00 fps, constant; the clip takes one frame in 2"


def test_faces_are_counted_frame_by_frame(tmp_path: Path) -> None:
    two = [np.concatenate([frame, frame[:, ::-1]], axis=1) for frame in moving_portrait(24)]
    one = [np.concatenate([frame, np.full_like(frame, 90)], axis=1) for frame in moving_portrait(76)]
    report = examined(tmp_path, two + one)
    counted = report.to_json()["figures"]["faces_per_frame"]
    assert counted == {"1": 13, "2": 4}, "looked at four times a second"
    assert codes(report)["two_faces"] == "fail"


def test_a_flash_is_no_cut() -> None:
    detector = ShotDetector()
    for index, frame in enumerate(moving_portrait(40)):
        luma = cv2.cvtColor(cv2.resize(frame, (128, 128)), cv2.COLOR_RGB2GRAY)
        detector.add(np.full_like(luma, 255) if index == 20 else luma)
    assert detector.shots() == [(0, 40)]


@pytest.mark.parametrize("turn", [0, 90, 180, 270])
def test_parts_of_a_turned_source_are_seen_upright(turn: int, tmp_path: Path) -> None:
    shown = cv2.resize(portrait(), (256, 192))
    flat = encode(tmp_path / "flat.mp4", [np.rot90(shown, k=turn // 90)] * 5)
    ffmpeg("-display_rotation", str(-turn % 360), "-i", flat, "-c", "copy", tmp_path / "turned.mp4")
    probe = probe_video(tmp_path / "turned.mp4")
    with av.open(str(probe.path)) as container:
        frame = ShownFrame(next(container.decode(video=0)), probe)
    assert (probe.width, probe.height) == (256, 192)
    assert np.abs(frame.picture().astype(int) - shown).mean() < 4
    part = frame.region(64, 48, 128, 96, 64, 48)
    expected = cv2.resize(shown[48:144, 64:192], (64, 48), interpolation=cv2.INTER_AREA)
    assert np.abs(part.astype(int) - expected).mean() < 4


# --------------------------------------------------------------------------------------------------------------- the face


def test_faces_are_found_at_any_size_and_noise_is_none() -> None:
    scene = np.full((720, 1280, 3), 90, np.uint8)
    scene[300:460, 900:1060] = portrait(160)
    with FaceDetector() as detector:
        found = detector.find(scene, thorough=True)
        assert len(found) == 1
        assert np.abs(np.subtract(found[0].centre, (980, 375))).max() < 20
        noise = np.random.default_rng(1).integers(0, 255, (256, 256, 3)).astype(np.uint8)
        assert detector.find(cv2.GaussianBlur(noise, (0, 0), 1.0), thorough=True) == []
        assert len(detector.find(np.concatenate([portrait(), portrait()[:, ::-1]], axis=1))) == 2


def test_pose_turns_its_sign_in_the_mirror() -> None:
    with FaceMotionMeter() as meter:
        straight = meter.measure(portrait())
        meter.restart()
        mirrored = meter.measure(np.ascontiguousarray(portrait()[:, ::-1]))
        tilt = cv2.getRotationMatrix2D((128, 110), -15, 1)  # clockwise
        meter.restart()
        tilted = meter.measure(cv2.warpAffine(portrait(), tilt, (256, 256), borderMode=cv2.BORDER_REPLICATE))
    assert straight is not None
    assert mirrored is not None
    assert tilted is not None
    assert straight[2] == pytest.approx(-mirrored[2], abs=4)
    assert straight[4] == pytest.approx(-mirrored[4], abs=3)
    assert tilted[4] - straight[4] == pytest.approx(15, abs=3)


def test_measures_of_a_drawn_face() -> None:
    """A frontal face of which only the measured points are right."""
    points = np.zeros((478, 3))
    points[10], points[152], points[33], points[263] = (0, -80, 0), (0, 80, 0), (-45, -20, 0), (45, -20, 0)
    points[133], points[362] = (-15, -20, 0), (15, -20, 0)
    for upper, lower, x in ((159, 145, -30), (158, 153, -26), (386, 374, 30), (385, 380, 26)):
        points[upper], points[lower] = (x, -24.5, 0), (x, -15.5, 0)
    for upper, lower, x in ((13, 14, 0), (82, 87, -5), (312, 317, 5)):
        points[upper], points[lower] = (x, 30, 0), (x, 48, 0)
    assert face_measures(points) == pytest.approx([18 / 90, 9 / 30, 0, 0, 0])
    for name, axis in (("yaw", 1), ("pitch", 0), ("roll", 2)):
        turn = cv2.Rodrigues(np.radians(20.0) * np.eye(3)[axis])[0]
        pose = face_measures(points @ turn.T)[2:]
        expected = {"yaw": (-20, 0, 0), "pitch": (0, -20, 0), "roll": (0, 0, 20)}[name]
        assert pose == pytest.approx(expected, abs=0.01), name


def test_blinks_and_closed_lips_are_counted() -> None:
    eyes = np.full(100, 0.3)
    eyes[20:23], eyes[50:54], eyes[60:95] = 0.1, 0.12, 0.1  # two blinks, then eyes closed for 1.4 s
    assert blink_count(eyes, 25) == 2
    lips = np.full(100, 0.1)
    lips[10:12], lips[30:55] = 0.01, 0.005  # a consonant, then a second of rest
    assert closed_mouth_s(lips, 25) == pytest.approx(1.0)
    assert closed_mouth_s(np.full(10, np.nan), 25) == 0


# -------------------------------------------------------------------------------------------------------------- the sound


def lips_of(sound: np.ndarray, late_s: float, seconds: float) -> tuple[np.ndarray, np.ndarray]:
    """Times and openings of a mouth that follows the loudness of ``sound``, which comes ``late_s`` after it."""
    times = np.arange(round(seconds * FPS)) / FPS
    loudness = np.sqrt(np.convolve(sound**2, np.ones(800) / 800, mode="same"))
    samples = np.clip(((times + 0.5 / FPS + late_s) * RATE_HZ).astype(int), 0, len(sound) - 1)
    return times, loudness[samples] + np.random.default_rng(0).normal(0, 0.3 * loudness.std(), len(times))


@pytest.mark.parametrize("late_s", [-0.24, 0.0, 0.12, 0.4])
def test_a_known_offset_is_measured(late_s: float) -> None:
    sound = read_audio(real("audio/speech_2.wav"))
    times, lips = lips_of(sound, late_s, len(sound) / RATE_HZ)
    offset = audio_video_offset(times, lips, sound, RATE_HZ)
    assert offset.sure
    assert offset.seconds == pytest.approx(late_s - 0.015, abs=0.03)
    finding = offset_finding(offset)
    assert finding.level == ("warn" if abs(late_s) > 0.1 else "ok")


def test_lips_that_do_not_belong_to_the_sound_give_no_offset() -> None:
    sound = read_audio(real("audio/speech_2.wav"))
    times, lips = lips_of(read_audio(real("audio/speech_3.wav")), 0.0, 18.0)
    offset = audio_video_offset(times, lips, sound, RATE_HZ)
    assert not offset.sure
    assert offset_finding(offset).code == "offset_unknown"


@pytest.mark.parametrize("name", ["speech_1.wav", "speech_2.wav", "speech_3.wav", "jfk.flac"])
def test_clipping_is_told_from_loudness(name: str) -> None:
    sound = read_audio(real(f"audio/{name}"))
    loud = sound / np.abs(sound).max()
    assert clipped_share(loud) < 1.5e-4
    assert "clipped" not in {finding.code for finding in sound_findings(loud, RATE_HZ)[0]}
    assert "clipped" in {finding.code for finding in sound_findings(np.clip(2 * loud, -1, 1), RATE_HZ)[0]}
    assert "clipped" in {finding.code for finding in sound_findings(np.clip(loud, -0.5, 0.5), RATE_HZ)[0]}


def test_noise_and_silence_are_found() -> None:
    sound = read_audio(real("audio/speech_2.wav"))
    noisy = sound + np.random.default_rng(0).normal(0, 0.3 * sound.std(), len(sound)).astype(np.float32)
    clean, dirty = sound_findings(sound, RATE_HZ), sound_findings(noisy, RATE_HZ)
    assert {finding.code for finding in clean[0]} == {"speech", "snr"}
    assert "noisy" in {finding.code for finding in dirty[0]}
    assert dirty[1]["snr_db"] == pytest.approx(12, abs=4)
    assert sound_findings(np.zeros(RATE_HZ, np.float32), RATE_HZ)[0][0].code == "silent"


# ------------------------------------------------------------------------------------------------------------- real clips


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("newsreader_512", {"no_hands": "ok", "one_shot": "ok", "in_sync": "ok", "one_face": "ok"}),
        ("hands_1080p", {"hands_outside_clip": "ok", "one_shot": "ok", "one_face": "ok"}),
        ("outdoor_1080p", {"hands_outside_clip": "ok", "one_shot": "ok", "one_face": "ok"}),
        ("anchor_512", {"cuts": "warn", "one_face": "ok", "face_present": "ok"}),
    ],
)
@pytest.mark.slow
def test_real_clips_may_go_and_are_examined_faster_than_they_play(name: str, expected: dict[str, str], tmp_path: Path) -> None:
    ffmpeg("-t", "20", "-i", real(f"speakers/{name}.mp4"), "-c", "copy", tmp_path / "part.mp4")
    started = time.process_time()
    report = examine_footage(tmp_path / "part.mp4")
    assert (time.process_time() - started) / 2 < report.probe.duration_s, "two cores"
    assert report.verdict in ("go", "go_with_care")
    assert expected.items() <= codes(report).items()
    assert report.figures["blinks"] >= 2
    assert sum(report.figures["faces_per_frame"].values()) == pytest.approx(4 * report.probe.duration_s, rel=0.1)
    if name == "anchor_512":
        assert report.scan is not None
        # A copied part ends with frames whose neighbours were cut away, which may look like one more cut.
        assert [start for start, _ in report.scan.shots][:2] == [0, 176]

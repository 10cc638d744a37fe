"""The demo speaker: the same every time, and what it says of itself is what is seen and heard."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from talkhead_core.artifacts import read_arrays, read_json
from talkhead_core.demo.espeak import speak
from talkhead_core.demo.head_mesh import face_triangles
from talkhead_core.demo.speaker import DemoSpeaker, DemoSpeakerConfig, make_demo_speaker
from talkhead_core.demo.visemes import VISEMES, mouth_track, viseme_of
from talkhead_core.errors import ParameterError
from talkhead_core.media.audio_file import read_audio
from talkhead_core.media.video_reader import read_frames, read_gray_frames, video_info
from talkhead_core.types import OUTER_EYE_DISTANCE_CM, Camera, Label

CONFIG = DemoSpeakerConfig(size_px=256, duration_s=3.5)
BRIEF = DemoSpeakerConfig(size_px=128, duration_s=2.0, seed=3)


@pytest.fixture(scope="module")
def speaker(tmp_path_factory: pytest.TempPathFactory) -> DemoSpeaker:
    return make_demo_speaker(tmp_path_factory.mktemp("demo"), CONFIG)


@pytest.fixture(scope="module")
def truth(speaker: DemoSpeaker) -> dict[str, np.ndarray]:
    return read_arrays(speaker.truth_arrays)


@pytest.fixture(scope="module")
def landmarks(speaker: DemoSpeaker) -> np.ndarray:
    """MediaPipe's points ``[N, 478, 3]`` in pixels, NaN where it finds no face."""
    from mediapipe.python.solutions.face_mesh import FaceMesh

    rows = []
    with FaceMesh(refine_landmarks=True, max_num_faces=1) as face_mesh:
        for frame in read_frames(speaker.video):
            found = face_mesh.process(frame).multi_face_landmarks
            points = [(p.x, p.y, p.z) for p in found[0].landmark] if found else np.full((478, 3), np.nan)
            rows.append(np.array(points) * CONFIG.size_px)
    return np.stack(rows)


def test_picture_and_sound_are_as_long_as_promised(speaker: DemoSpeaker) -> None:
    info = video_info(speaker.video)
    assert (info.width, info.height, info.fps, info.frames) == (256, 256, 25, CONFIG.frames)
    expected = CONFIG.frames * 16_000 // 25
    assert len(read_audio(speaker.clean_audio)) == expected
    # AAC works in blocks of 1024 samples at 48 kHz.
    assert abs(len(read_audio(speaker.video)) - expected) <= 2 * 1024 / 3
    assert video_info(speaker.labels).frames == CONFIG.frames


def test_same_seed_same_speaker(tmp_path: Path) -> None:
    first, second = (make_demo_speaker(tmp_path / name, BRIEF) for name in ("a", "b"))
    for name in ("truth_arrays", "truth_json", "clean_audio", "speech", "consent"):
        assert getattr(first, name).read_bytes() == getattr(second, name).read_bytes(), name
    for one, other in zip(read_frames(first.video), read_frames(second.video), strict=True):
        np.testing.assert_array_equal(one, other)
    for one, other in zip(read_gray_frames(first.labels), read_gray_frames(second.labels), strict=True):
        np.testing.assert_array_equal(one, other)


def test_another_seed_moves_otherwise(tmp_path: Path, truth: dict[str, np.ndarray]) -> None:
    other = read_arrays(make_demo_speaker(tmp_path, BRIEF).truth_arrays)
    assert np.abs(other["yaw_pitch_roll_deg"] - truth["yaw_pitch_roll_deg"][: BRIEF.frames]).max() > 1.0


def test_face_is_found_in_every_frame_where_the_truth_says(truth: dict[str, np.ndarray], landmarks: np.ndarray) -> None:
    assert not np.isnan(landmarks).any()
    camera = Camera(focal_px=float(truth["focal_px"][0]), width=CONFIG.size_px, height=CONFIG.size_px)
    posed = np.einsum("nij,nvj->nvi", truth["rotation"], truth["mesh_cm"]) + truth["translation_cm"][:, None]
    error_px = np.linalg.norm(camera.project(posed) - landmarks[:, :468, :2], axis=-1)
    face_width_px = np.linalg.norm(landmarks[:, 234, :2] - landmarks[:, 454, :2], axis=-1).mean()
    assert error_px.mean() < 0.02 * face_width_px
    assert error_px.mean(axis=0).max() < 0.10 * face_width_px


def test_mouth_and_eyes_are_seen_as_they_are(truth: dict[str, np.ndarray], landmarks: np.ndarray) -> None:
    eyes_px = np.linalg.norm(landmarks[:, 33] - landmarks[:, 263], axis=-1)
    opening = np.linalg.norm(landmarks[:, 13, :2] - landmarks[:, 14, :2], axis=-1) / eyes_px * OUTER_EYE_DISTANCE_CM
    assert np.corrcoef(opening, truth["mouth_opening_cm"])[0, 1] > 0.85
    lids = np.linalg.norm(landmarks[:, 159, :2] - landmarks[:, 145, :2], axis=-1) / eyes_px
    lids += np.linalg.norm(landmarks[:, 386, :2] - landmarks[:, 374, :2], axis=-1) / eyes_px
    assert truth["eye_openness"].min() < 0.1
    assert np.corrcoef(lids, truth["eye_openness"].mean(axis=1))[0, 1] > 0.85
    assert lids[truth["eye_openness"].min(axis=1) < 0.2].max() < 0.6 * np.median(lids)


def test_truth_poses_are_rotations_with_the_units_of_the_contract(truth: dict[str, np.ndarray]) -> None:
    rotation = truth["rotation"].astype(float)
    np.testing.assert_allclose(rotation @ rotation.transpose(0, 2, 1), np.broadcast_to(np.eye(3), rotation.shape), atol=1e-5)
    np.testing.assert_allclose(np.linalg.det(rotation), 1.0, atol=1e-5)
    assert (truth["translation_cm"][:, 2] < -50).all(), "the head is in front of a camera that looks down -Z"
    shape = truth["shape_cm"]
    assert np.linalg.norm(shape[33] - shape[263]) == pytest.approx(OUTER_EYE_DISTANCE_CM, abs=0.3)
    assert shape[263, 0] > shape[33, 0], "the person's left is at the image's right"
    assert shape[10, 1] > shape[152, 1], "y is up"
    assert shape[1, 2] > shape[234, 2], "z points out of the face"
    assert np.linalg.norm(shape[13] - shape[14]) < 0.01, "the neutral shape has its lips closed"


def test_mouth_follows_the_phonemes(speaker: DemoSpeaker, truth: dict[str, np.ndarray]) -> None:
    described = read_json(speaker.truth_json)
    phonemes = described["phonemes"]
    starts = [start for start, _, _ in phonemes]
    assert starts == sorted(starts)
    assert all(end > start for start, end, _ in phonemes)
    middle_s = (truth["frame_id"] + 0.5) / CONFIG.fps
    closed = np.zeros(len(middle_s), bool)
    open_vowel = np.zeros(len(middle_s), bool)
    for start, end, symbol in phonemes:
        inside = (middle_s >= start) & (middle_s < end)
        closed |= inside & (viseme_of(symbol) == ("p",))
        open_vowel |= inside & (viseme_of(symbol)[0] in ("a", "ae"))
    opening = truth["mouth_opening_cm"]
    assert closed.any()
    assert open_vowel.any()
    assert opening[closed].max() < 0.06, "m, b and p are said with closed lips"
    assert opening[open_vowel].mean() > 0.5
    assert opening[middle_s < starts[0] - 0.15].max() < 0.06, "the mouth is closed before the first word"
    assert [described["visemes"][index] for index in truth["viseme"][closed]] == ["p"] * int(closed.sum())


def test_labels_agree_with_the_poses_and_the_hand(speaker: DemoSpeaker, truth: dict[str, np.ndarray]) -> None:
    labels = np.stack(list(read_gray_frames(speaker.labels)))
    assert set(np.unique(labels)) == set(Label)
    assert truth["hand_visible"].any()
    assert not (labels[~truth["hand_visible"]] == Label.HANDS).any()
    shares = {label: (labels == label).mean() for label in Label}
    assert 0.10 < shares[Label.HEAD] < 0.30
    assert shares[Label.TORSO] > 0.15
    camera = Camera(focal_px=float(truth["focal_px"][0]), width=CONFIG.size_px, height=CONFIG.size_px)
    posed = np.einsum("nij,nvj->nvi", truth["rotation"], truth["mesh_cm"]) + truth["translation_cm"][:, None]
    pixels = np.floor(camera.project(posed)).astype(int)
    inner = [1, 4, 5, 6, 9, 50, 280, 13, 33, 263, 151]
    for frame, points in enumerate(pixels[:, inner]):
        assert (labels[frame, points[:, 1], points[:, 0]] == Label.HEAD).all(), frame
    assert (labels[:, : CONFIG.size_px // 2] != Label.HANDS).all(), "the hand stays below the face"


def test_noise_has_the_level_asked_for_and_starts_before_the_speech(speaker: DemoSpeaker) -> None:
    noisy, clean = read_audio(speaker.video), read_audio(speaker.clean_audio)
    length = min(len(noisy), len(clean))
    noise = noisy[:length] - clean[:length]
    level = read_json(speaker.truth_json)["noise_rms"]
    # Above 8 kHz, which 16 kHz cannot hold, there is a little of the noise too.
    assert np.sqrt(np.mean(noise[1600:-1600] ** 2)) == pytest.approx(level, rel=0.2)
    assert np.abs(clean[: int(0.55 * 16_000)]).max() < 1e-3 < np.abs(noisy[1600 : int(0.55 * 16_000)]).max()


def test_espeak_says_the_same_twice_and_knows_its_phonemes() -> None:
    first, second = speak("Maybe Bob may buy a map."), speak("Maybe Bob may buy a map.")
    np.testing.assert_array_equal(first.audio, second.audio)
    assert first.phonemes == second.phonemes
    assert [p.symbol.strip("ˈˌ") for p in first.phonemes[:3]] == ["m", "eɪ", "b"]
    ends = [p.end_s for p in first.phonemes]
    assert ends[:-1] == [p.start_s for p in first.phonemes[1:]]
    assert ends[-1] == pytest.approx(first.duration_s)


def test_espeak_names_what_it_does_not_have() -> None:
    with pytest.raises(ParameterError, match="no voice 'xx-nobody'"):
        speak("hello", voice="xx-nobody")
    with pytest.raises(ParameterError, match="nothing to say"):
        speak("  ")


def test_a_bilabial_closes_the_lips_between_open_vowels() -> None:
    speech = speak("papa papa papa")
    fps = 100.0
    track = mouth_track(speech.phonemes, int(speech.duration_s * fps), fps)
    closed = np.array([shape.closed for shape in track.shapes])
    for phoneme in speech.phonemes:
        middle = int((phoneme.start_s + phoneme.end_s) / 2 * fps)
        if viseme_of(phoneme.symbol) == ("p",):
            assert closed[middle] > 0.99
        elif phoneme.symbol:
            assert closed[middle] < 0.7
    assert all(name in VISEMES for name in ("rest", "p", "a"))


def test_face_mesh_has_holes_for_eyes_and_mouth_only() -> None:
    triangles = face_triangles()
    edges = np.sort(triangles[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2), axis=1)
    _, count = np.unique(edges, axis=0, return_counts=True)
    assert set(count) == {1, 2}
    # Outline 36, eyes 16 each, mouth 20.
    assert (count == 1).sum() == 88


@pytest.mark.parametrize("wrong", [{"size_px": 255}, {"fps": 0}, {"duration_s": 0.5}, {"noise_snr_db": 100.0}])
def test_configuration_is_checked(wrong: dict[str, float]) -> None:
    with pytest.raises(ParameterError, match=next(iter(wrong))):
        DemoSpeakerConfig(**wrong)  # type: ignore[arg-type]

"""Datasets of the AD-NeRF family: written as their loaders read them, and back again without losing a frame, a pose or a pixel."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import torch
import yaml

from talkhead_core.artifacts import write_arrays
from talkhead_core.audio.features.deepspeech import DEEPSPEECH_FILES
from talkhead_core.errors import InputError
from talkhead_core.face.frame_landmarks import gather
from talkhead_core.face.head_poses import HeadPoses, attached_poses
from talkhead_core.face.head_tracking import TrackHeadConfig, track_head
from talkhead_core.face.landmarks import LandmarksConfig, build_landmarker
from talkhead_core.face.rotations import exp_so3
from talkhead_core.footage.clip import IngestConfig, ingest_footage
from talkhead_core.footage.report import FootageConfig
from talkhead_core.interop.ad_nerf_export import AdNerfExportConfig, PreparedSpeaker, export_ad_nerf, shown_frames
from talkhead_core.interop.ad_nerf_import import read_ad_nerf, write_recording
from talkhead_core.interop.ad_nerf_layout import labels_of_colours, parsing_colours
from talkhead_core.interop.ad_nerf_poses import euler_angles, poses_of_transforms, transforms_document
from talkhead_core.interop.eye_columns import blendshape_rows, eye_closure
from talkhead_core.interop.speech_files import write_speech_files
from talkhead_core.interop.torso_image import over_background, torso_image
from talkhead_core.media.audio_file import read_audio, write_audio
from talkhead_core.media.openface_csv import attached_openface
from talkhead_core.media.video_reader import read_frames
from talkhead_core.media.video_writer import VideoWriter
from talkhead_core.types import Camera, Label
from tasks import track_head as track_head_stage
from tasks.export_dataset import export_dataset
from tasks.stage import Stage
from tests.official_weights import write_feature_weights
from tests.small_speaker import FPS, FRAMES, SIZE_PX, _labels, clip_frames
from tests.test_weighted_metrics import openface

FACELESS = (6, 7)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> PreparedSpeaker:
    """44 frames of a real face, of which two show none, with real landmarks and a real track."""
    folder = tmp_path_factory.mktemp("prepared")
    frames = [frame.copy() for frame in clip_frames()]
    for number in FACELESS:
        frames[number][:] = 90
    large = (cv2.resize(frame, (512, 512), interpolation=cv2.INTER_CUBIC) for frame in frames)
    landmarks = gather(build_landmarker(LandmarksConfig()).detect(large, [[0, FRAMES]]))
    landmarks["points"] = landmarks["points"] * (SIZE_PX / 512)
    assert np.flatnonzero(~landmarks["detected"]).tolist() == list(FACELESS)
    track = track_head(
        landmarks, np.zeros(FRAMES, np.int32), width=SIZE_PX, height=SIZE_PX, config=TrackHeadConfig(stabilise=False)
    ).arrays()
    labels = [_labels(landmarks["points"][number if number not in FACELESS else 5]) for number in range(FRAMES)]
    _video(folder / "clip.mkv", frames, "lossless_rgb")
    _video(folder / "labels.mkv", labels, "lossless_gray")
    cv2.imwrite(str(folder / "background.png"), np.full((SIZE_PX, SIZE_PX, 3), (30, 90, 200), np.uint8))
    rng, times = np.random.default_rng(0), np.arange(FRAMES * 640) / 16000
    voice = (0.05 + 0.95 * (np.sin(2 * np.pi * 3 * times) > 0)) * rng.normal(0, 0.08, len(times))
    write_audio(folder / "audio.wav", voice.astype(np.float32))
    blendshapes = np.tile(np.arange(52, dtype=np.float32) / 52, (FRAMES, 1))
    blendshapes[list(FACELESS)] = np.nan
    return PreparedSpeaker(
        clip=folder / "clip.mkv",
        labels=folder / "labels.mkv",
        plate=folder / "background.png",
        audio=folder / "audio.wav",
        landmarks=landmarks,
        track=track,
        blendshapes=blendshapes,
    )


@pytest.fixture(scope="module")
def dataset(prepared: PreparedSpeaker, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exported") / "ada"
    described = export_ad_nerf(prepared, folder)
    assert (described["frames"], described["posed_frames"], described["size_px"]) == (FRAMES, FRAMES - 2, SIZE_PX)
    return folder


def _video(path: Path, frames: list[np.ndarray], encoding: str) -> None:
    with VideoWriter(path, width=SIZE_PX, height=SIZE_PX, fps=FPS, encoding=encoding) as writer:  # type: ignore[arg-type]
        for frame in frames:
            writer.write(frame)


def _poses(count: int = 11, width: int = 451, height: int = 450) -> HeadPoses:
    rng = np.random.default_rng(1)
    return HeadPoses(
        frame_id=np.array([0, 1, 2, 5, 6, 7, 8, 9, 10, 11, 12][:count]),
        rotation=exp_so3(rng.normal(0, 0.3, (count, 3))),
        translation_cm=rng.normal(0, 5, (count, 3)) - [0, 0, 110],
        focal_px=1201.5,
        width=width,
        height=height,
    )


def test_the_familys_loader_sends_its_rays_through_the_points_that_our_camera_sees() -> None:
    poses = _poses()
    train, validation = transforms_document(poses)
    points_cm = np.random.default_rng(2).uniform(-8, 8, (20, 3))
    for frame, rotation, translation in zip(train["frames"] + validation["frames"], poses.rotation, poses.translation_cm, strict=True):
        pixels = Camera(focal_px=poses.focal_px, width=451, height=450).project(points_cm @ rotation.T + translation)
        matrix = np.array(frame["transform_matrix"])
        # what their loader does: world axes (y, z, x), camera columns 2 and 3 negated, lengths times 4
        loaded = matrix[[1, 2, 0]] * [1, -1, -1, 4]
        rays = np.stack([(pixels[:, 0] - train["cx"]) / train["focal_len"], (pixels[:, 1] - train["cy"]) / train["focal_len"]], axis=1)
        directions = np.concatenate([rays, np.ones((20, 1))], axis=1) @ loaded[:, :3].T
        towards = points_cm[:, [1, 2, 0]] / 100 * 4 - loaded[:, 3]
        across = np.linalg.norm(np.cross(directions, towards), axis=1) / np.linalg.norm(directions, axis=1)
        assert across.max() < 1e-9
        assert (np.einsum("ij,ij->i", directions, towards) > 0).all(), "the head is in front of the camera"


def test_poses_come_back_to_1e_4_by_the_frames_own_numbers() -> None:
    poses = _poses()
    documents = json.loads(json.dumps(transforms_document(poses)))
    assert [len(part["frames"]) for part in documents] == [10, 1]
    back = poses_of_transforms(list(documents), width=451, height=450, where="here")
    np.testing.assert_array_equal(back.frame_id, poses.frame_id)
    np.testing.assert_allclose(back.rotation, poses.rotation, atol=1e-12)
    np.testing.assert_allclose(back.translation_cm, poses.translation_cm, atol=1e-10)
    assert back.focal_px == poses.focal_px
    again = HeadPoses.from_bytes(poses.to_bytes())
    np.testing.assert_array_equal(again.rotation, poses.rotation)
    assert (again.focal_px, again.width, again.height) == (poses.focal_px, 451, 450)


def test_euler_angles_build_the_rotation() -> None:
    rotation = _poses().rotation
    theta, phi, psi = euler_angles(rotation).T
    zero = np.zeros_like(theta)

    def about(axis: int, angle: np.ndarray) -> np.ndarray:
        return exp_so3(np.stack([angle if i == axis else zero for i in range(3)], axis=1))

    np.testing.assert_allclose(about(0, theta) @ about(1, phi) @ about(2, -psi), rotation, atol=1e-12)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.pop("focal_len"), "focal_len"),
        (lambda d: d["frames"].clear(), "no frame"),
        (lambda d: d["frames"].append(d["frames"][0]), "twice"),
        (lambda d: d["frames"][3]["transform_matrix"][0].__setitem__(0, 5.0), "frame 5 is no rotation"),
        (lambda d: d.update(cx=100), "not the middle"),
    ],
)
def test_transforms_that_cannot_be_right_are_refused(change, message: str) -> None:  # type: ignore[no-untyped-def]
    document = json.loads(json.dumps(transforms_document(_poses())[0]))
    change(document)
    with pytest.raises(InputError, match=message):
        poses_of_transforms([document], width=451, height=450, where="here")


def test_the_dataset_has_what_the_loaders_open(dataset: Path, prepared: PreparedSpeaker) -> None:
    train, validation = (json.loads((dataset / f"transforms_{part}.json").read_text()) for part in ("train", "val"))
    numbers = [frame["img_id"] for frame in train["frames"] + validation["frames"]]
    assert numbers == [number for number in range(FRAMES) if number not in FACELESS]
    assert len(train["frames"]) == 42 * 10 // 11
    assert (int(train["cy"]) * 2, int(train["cx"]) * 2) == (SIZE_PX, SIZE_PX)
    closed = pd.read_csv(dataset / "au.csv")[" AU45_r"].to_numpy()
    blendshapes = np.load(dataset / "bs.npy")
    assert closed.shape == (FRAMES,) and (closed >= 0).all() and (closed <= 2).all()
    assert blendshapes.shape == (FRAMES, 52) and np.isfinite(blendshapes).all() and (blendshapes[:, -1] == 0).all()
    np.testing.assert_allclose(blendshapes[:, 0], 1 / 52, atol=1e-6)
    assert cv2.imread(str(dataset / "bc.jpg")).shape == (SIZE_PX, SIZE_PX, 3)
    for number in numbers:
        landmarks = np.loadtxt(dataset / "ori_imgs" / f"{number}.lms")
        assert landmarks.shape == (68, 2)
        np.testing.assert_allclose(landmarks[62], prepared.landmarks["points"][number, 13, :2], atol=1e-5)
        assert cv2.imread(str(dataset / "gt_imgs" / f"{number}.jpg")).shape == (SIZE_PX, SIZE_PX, 3)
        assert cv2.imread(str(dataset / "torso_imgs" / f"{number}.png"), cv2.IMREAD_UNCHANGED).shape == (SIZE_PX, SIZE_PX, 4)
        face = cv2.imread(str(dataset / "parsing" / f"{number}_face.png"))
        nose = landmarks[30].astype(int)
        assert face[nose[1], nose[0]].tolist() == [255, 0, 0] and face[0, 0].tolist() == [255, 255, 255]
    track = torch.load(dataset / "track_params.pt", weights_only=True)
    assert track["euler"].shape == track["trans"].shape == (42, 3)
    assert not any((dataset / "ori_imgs" / f"{number}.lms").exists() for number in FACELESS)
    audio = read_audio(dataset / "aud.wav")
    np.testing.assert_allclose(audio, read_audio(prepared.audio), atol=1e-4)


def test_jaw_brows_eyes_and_nose_stand_where_the_annotation_has_them(dataset: Path) -> None:
    points = np.loadtxt(dataset / "ori_imgs" / "0.lms")
    assert (np.diff(points[:17, 0]) > -1).all(), "the jaw runs from the image's left to its right"
    assert points[8, 1] == points[:, 1].max(), "point 8 is the chin"
    assert (np.diff(points[17:27, 0]) > 0).all() and (np.diff(points[27:31, 1]) > 0).all()
    assert points[36:42, 0].max() < points[42:48, 0].min() and points[17:27, 1].max() < points[36:48, 1].min()
    assert points[36, 0] < points[39, 0] < points[42, 0] < points[45, 0]
    assert (points[37:39, 1] < points[40:42, 1][::-1]).all() and points[31, 0] < points[33, 0] < points[35, 0]


def test_colours_are_labels_and_hands_are_torso() -> None:
    labels = np.array([[0, 1, 2, 3, 4]], np.uint8)
    colours = parsing_colours(labels)
    assert colours[0].tolist() == [[255, 255, 255], [0, 0, 255], [0, 255, 0], [255, 0, 0], [0, 0, 255]]
    assert labels_of_colours(colours)[0].tolist() == [0, 1, 2, 3, 1]


def test_the_neck_goes_on_under_the_head_and_nowhere_else() -> None:
    labels = np.full((512, 100), Label.BACKGROUND, np.uint8)
    labels[300:, 20:80], labels[200:300, 30:60], labels[100:200, 25:75] = Label.TORSO, Label.NECK, Label.HEAD
    labels[290:300, 62:75] = Label.HEAD  # the torso touches the head here
    image = np.zeros((512, 100, 3), np.uint8)
    image[..., 0] = np.arange(512)[:, None] // 2
    torso = torso_image(image, labels)
    opaque = torso[..., 3] == 255
    assert opaque[labels == Label.TORSO].all() and opaque[labels == Label.NECK].all()
    assert opaque[152:200, 30:60].all() and not opaque[:152].any(), "48 pixels of 512"
    assert opaque[292:300, 62:75].all() and not opaque[285:292, 62:75].any(), "8 pixels"
    assert not opaque[labels == Label.BACKGROUND].any() and not opaque[:, 25:30][100:200].any()
    assert (torso[160, 30:60, 0] == image[204, 30, 0]).all(), "coloured as just below the chin's shadow"
    over = over_background(image, labels, np.full_like(image, 7))
    assert (over[labels == Label.BACKGROUND] == 7).all() and (over[opaque & (labels > 0)] == image[opaque & (labels > 0)]).all()


def test_closure_and_blendshapes_are_by_frame() -> None:
    opening = np.full((20, 2), 0.3)
    opening[8] = 0.12
    closure = eye_closure(opening)
    assert closure[8] == 1.0 and (np.delete(closure, 8) == 0).all()
    scores = np.zeros((20, 52))
    scores[:, 9] = np.arange(20)  # eyeBlinkLeft
    scores[5:7] = np.nan
    np.testing.assert_allclose(blendshape_rows(scores)[:, 8], np.arange(20), atol=1e-9)


def test_eye_closure_is_of_the_eyelids_whatever_conditions_the_upper_face(prepared: PreparedSpeaker, dataset: Path, tmp_path: Path) -> None:
    blendshapes = np.random.default_rng(0).uniform(0, 1, (FRAMES, 7)).astype(np.float32)  # browDownLeft first
    export_ad_nerf(replace(prepared, track={**prepared.track, "expression": blendshapes}), tmp_path / "d")
    assert (tmp_path / "d" / "au.csv").read_text() == (dataset / "au.csv").read_text()


def test_openfaces_units_go_with_the_recording_both_ways(prepared: PreparedSpeaker, tmp_path: Path) -> None:
    csv = openface(tmp_path / "a.csv", FRAMES, AU45_r=np.arange(float(FRAMES))).read_bytes()
    recorded = replace(prepared, action_units=csv, source_frames=np.arange(FRAMES))
    assert export_ad_nerf(recorded, tmp_path / "d")["files"]["au.csv"].startswith("OpenFace")
    assert pd.read_csv(tmp_path / "d" / "au.csv")[" AU45_r"].tolist() == list(range(FRAMES))
    write_recording(read_ad_nerf(tmp_path / "d"), tmp_path / "v.mkv")
    assert attached_openface(tmp_path / "v.mkv") == (tmp_path / "d" / "au.csv").read_bytes()


def test_other_rates_give_25_frames_a_second() -> None:
    np.testing.assert_array_equal(shown_frames(50, Fraction(25)), np.arange(50))
    at_30 = shown_frames(300, Fraction(30))
    assert len(at_30) == 250 and (np.abs((np.arange(250) + 0.5) / 25 - (at_30 + 0.5) / 30) < 0.5 / 30 + 1e-9).all()
    at_ntsc = shown_frames(240, Fraction(24000, 1001))
    assert at_ntsc[-1] == 239 and len(at_ntsc) == 250


@pytest.mark.parametrize("size_px", [SIZE_PX, 241])
def test_round_trip(prepared: PreparedSpeaker, tmp_path: Path, size_px: int) -> None:
    """Export, import, and the stages ingest and track_head: poses to 1e-4, pixels to JPEG error, ids not shifted."""
    export_ad_nerf(prepared, tmp_path / "d", AdNerfExportConfig(size_px=size_px))
    video = tmp_path / "recording.mkv"
    write_recording(read_ad_nerf(tmp_path / "d"), video)
    poses = attached_poses(video)
    assert poses is not None
    kept = [number for number in range(FRAMES) if number not in FACELESS]
    assert poses.frame_id.tolist() == kept and (poses.width, poses.height) == (size_px, size_px)
    np.testing.assert_allclose(poses.rotation, prepared.track["rotation"][kept], atol=1e-4)
    np.testing.assert_allclose(poses.translation_cm, prepared.track["translation_cm"][kept], atol=1e-4)
    assert poses.focal_px == pytest.approx(float(prepared.track["focal_px"][0]) * size_px / SIZE_PX, rel=1e-6)
    recorded, original = list(read_frames(video)), list(read_frames(prepared.clip))
    assert len(recorded) == FRAMES
    if size_px == SIZE_PX:
        for image, first in zip(recorded, original, strict=True):
            assert np.abs(image.astype(int) - first).mean() < 1.5

    root = _workspace(tmp_path, video)
    ingest = ingest_footage(
        video, root / "data/ada/ingest/clip.mkv", IngestConfig(size_px=SIZE_PX, footage=FootageConfig(min_duration_s=1.0))
    )
    assert (ingest["clip"]["frames"], ingest["crop"], ingest["attached_poses"]) == (FRAMES, {"x": 0, "y": 0, "size": size_px}, 42)
    (root / "data/ada/ingest/ingest.json").write_text(json.dumps(ingest))
    write_arrays(root / "data/ada/landmarks/landmarks.safetensors", prepared.landmarks)
    stage = Stage(name="track_head", speaker="ada", root=root)
    track_head_stage.run(stage)
    from talkhead_core.artifacts import read_arrays

    track = read_arrays(stage.out / "track.safetensors")
    assert np.flatnonzero(track["status"]).tolist() == list(FACELESS)
    np.testing.assert_allclose(track["rotation"][kept], prepared.track["rotation"][kept], atol=1e-4)
    np.testing.assert_allclose(track["translation_cm"][kept], prepared.track["translation_cm"][kept], atol=1e-4)
    assert track["focal_px"][0] == pytest.approx(prepared.track["focal_px"][0], rel=1e-4)
    np.testing.assert_allclose(track["shape_cm"], prepared.track["shape_cm"], atol=0.25)


def _workspace(tmp_path: Path, video: Path) -> Path:
    root = tmp_path / "workspace"
    (root / "data/ada/raw").mkdir(parents=True)
    shutil.copy(video, root / "data/ada/raw/video.mkv")
    (root / "params.yaml").write_text(yaml.safe_dump({"track_head": {}, "profiles": {"p": {}}, "configs": {"c": {}}}))
    speaker = {"video": "data/ada/raw/video.mkv", "profile": "p", "config": "c"}
    (root / "speakers.yaml").write_text(yaml.safe_dump({"speakers": {"ada": speaker}}))
    return root


def test_speech_features_are_written_where_their_weights_are(prepared: PreparedSpeaker, tmp_path: Path) -> None:
    (tmp_path / "weights").mkdir()
    write_feature_weights(tmp_path / "weights")
    shutil.rmtree(tmp_path / "weights" / "wav2vec2")
    (tmp_path / "weights" / "deepspeech" / DEEPSPEECH_FILES[1]).rename(tmp_path / "weights" / DEEPSPEECH_FILES[1])
    audio = read_audio(prepared.audio)
    described = write_speech_files(tmp_path, audio, FRAMES, tmp_path / "weights")
    assert np.load(tmp_path / "aud_hu.npy").shape == (FRAMES, 2, 128) and np.load(tmp_path / "aud_ds.npy").shape == (FRAMES, 16, 29)
    assert "talkhead models pull wav2vec2" in described["aud_eo.npy"] and not (tmp_path / "aud_eo.npy").exists()


def test_a_missing_image_shifts_nothing(dataset: Path, tmp_path: Path) -> None:
    folder = tmp_path / "d"
    shutil.copytree(dataset, folder)
    (folder / "ori_imgs" / "11.jpg").unlink()
    read = read_ad_nerf(folder)
    assert read.missing == [11] and len(read.images) == FRAMES
    assert read.images[11].name == "10.jpg" and read.images[12].name == "12.jpg"
    assert 11 not in read.poses.frame_id and 12 in read.poses.frame_id


@pytest.mark.parametrize(
    ("remove", "message"),
    [("ori_imgs", "holds no ori_imgs"), ("aud.wav", "holds no aud.wav"), ("transforms_*.json", "holds no transforms_train.json")],
)
def test_what_is_missing_is_named(dataset: Path, tmp_path: Path, remove: str, message: str) -> None:
    folder = tmp_path / "d"
    shutil.copytree(dataset, folder)
    for path in folder.glob(remove):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    with pytest.raises(InputError, match=message):
        read_ad_nerf(folder)


def test_an_image_of_another_size_is_named(dataset: Path, tmp_path: Path) -> None:
    folder = tmp_path / "d"
    shutil.copytree(dataset, folder)
    cv2.imwrite(str(folder / "ori_imgs" / "9.jpg"), np.zeros((31, 33, 3), np.uint8))
    with pytest.raises(InputError, match=r"9\.jpg: 33 x 31 pixels"):
        write_recording(read_ad_nerf(folder), tmp_path / "v.mkv")
    assert not (tmp_path / "v.mkv").exists()


def test_a_folder_that_holds_something_is_left_alone(dataset: Path, prepared: PreparedSpeaker) -> None:
    before = sorted(dataset.rglob("*"))
    with pytest.raises(InputError, match="not empty"):
        export_ad_nerf(prepared, dataset)
    assert sorted(dataset.rglob("*")) == before


def test_an_unprepared_speaker_is_told_what_to_run(tmp_path: Path) -> None:
    root = _workspace(tmp_path, Path(__file__))
    with pytest.raises(InputError, match="talkhead run --speaker ada"):
        export_dataset(root, "ada", tmp_path / "out", AdNerfExportConfig())


def test_import_needs_consent_and_a_dataset(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "flows.command_line", "import", "--dir", str(tmp_path)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 1 and "consent" in result.stderr

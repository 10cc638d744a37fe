"""A small speaker folder with a real face (scikit-image's astronaut) for tests of the last stages; no training behind it."""

from __future__ import annotations

import json
from fractions import Fraction
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import skimage.data
import yaml

from talkhead_core.artifacts import write_arrays, write_json
from talkhead_core.face.frame_landmarks import gather
from talkhead_core.face.landmarks import LandmarksConfig, build_landmarker
from talkhead_core.media.audio_file import write_audio
from talkhead_core.media.video_writer import Encoding, VideoWriter
from talkhead_core.metrics.regions import face_mask
from talkhead_core.types import Image, Label

NAME = "astronaut"
SIZE_PX = 256
FRAMES = 44
HELD_OUT = list(range(24, 44))
FPS = Fraction(25)


@cache
def clip_frames() -> tuple[Image, ...]:
    """The astronaut's head swaying over its own background, ``FRAMES`` frames of ``SIZE_PX``."""
    portrait = skimage.data.astronaut()[0:300, 80:380]
    frames = []
    for index in range(FRAMES):
        shift = np.array([[1, 0, 6 * np.sin(index / 5)], [0, 1, 3 * np.cos(index / 7)]], np.float32)
        moved = cv2.warpAffine(portrait, shift, (300, 300), borderMode=cv2.BORDER_REPLICATE)
        frames.append(np.asarray(cv2.resize(moved, (SIZE_PX, SIZE_PX), interpolation=cv2.INTER_AREA), dtype=np.uint8))
    return tuple(frames)


@cache
def _landmarks() -> dict[str, np.ndarray]:
    large = (cv2.resize(frame, (512, 512), interpolation=cv2.INTER_CUBIC) for frame in clip_frames())
    found = gather(build_landmarker(LandmarksConfig()).detect(large, [[0, FRAMES]]))
    assert found["detected"].all()
    found["points"] = found["points"] * (SIZE_PX / 512)
    return found


def build_workspace(root: Path) -> Path:
    """A workspace whose speaker has every artifact up to ``render``; returns ``data/<speaker>``."""
    folder = root / "data" / NAME
    frames, landmarks = clip_frames(), _landmarks()
    (root / "params.yaml").write_text(
        yaml.safe_dump({"evaluate": {}, "report": {}, "profiles": {"smoke": {}}, "configs": {"talkhead": {}}})
    )
    speaker = {"video": f"data/{NAME}/raw/video.mp4", "profile": "smoke", "config": "talkhead"}
    (root / "speakers.yaml").write_text(yaml.safe_dump({"speakers": {NAME: speaker}}))
    _write_footage(folder, frames, landmarks)
    labels = [_labels(points) for points in landmarks["points"]]
    transient = [np.where(label == Label.HANDS, 255, 0).astype(np.uint8) for label in labels]
    _video(folder / "segment" / "labels.mkv", labels, "lossless_gray")
    _video(folder / "flow_masks" / "transient.mkv", transient, "lossless_gray")
    _video(folder / "inpaint" / "clean.mkv", list(frames), "near_lossless")
    write_json(folder / "segment" / "segment.json", {"segmenter": "test"})
    write_json(folder / "flow_masks" / "coverage.json", {"mean": 0.01})
    filled_by = {"temporal_median": 97.3, "telea": 2.7}
    write_json(folder / "inpaint" / "coverage.json", {"removed": [0.01] * FRAMES, "filled_by_percent_of_removed": filled_by})
    _write_training(folder)
    _write_render(folder, frames, labels)
    return folder


def _write_footage(folder: Path, frames: tuple[Image, ...], landmarks: dict[str, np.ndarray]) -> None:
    _video(folder / "ingest" / "clip.mkv", list(frames), "near_lossless")
    clip = {"width": SIZE_PX, "height": SIZE_PX, "fps": "25/1", "frames": FRAMES}
    source = {"file": "video.mp4", "sha256": "0" * 64, "rotation_deg": 0, "constant_rate": True, "duration_s": FRAMES / 25, **clip}
    findings = [
        {"level": "ok", "code": "face_found", "message": "one face in every frame", "advice": ""},
        {"level": "warn", "code": "too_short", "message": "only 2 s of <speech>", "advice": "film two minutes or more"},
    ]
    write_json(
        folder / "ingest" / "ingest.json", {"source": source, "clip": clip, "shots": [[0, FRAMES]], "findings": findings, "consent": {}}
    )
    write_arrays(folder / "landmarks" / "landmarks.safetensors", landmarks)
    rotation = np.tile(np.eye(3, dtype=np.float32), (FRAMES, 1, 1))
    write_arrays(folder / "track_head" / "track.safetensors", {"frame_id": np.arange(FRAMES), "rotation": rotation})
    write_json(folder / "track_head" / "track.json", {"focal_px": 600.0, "reprojection_px_mean": 0.5, "jitter_deg": [0.1, 0.1, 0.1]})
    sound = 0.1 * np.sin(2 * np.pi * 200 * np.arange(FRAMES * 640) / 16000)
    write_audio(folder / "extract_audio" / "audio.wav", sound)
    write_audio(folder / "denoise" / "audio.wav", sound)
    write_json(folder / "denoise" / "denoise.json", {"method": "mss", "applied": "none"})


def _write_training(folder: Path) -> None:
    for stage in ("train_coarse", "train_fine", "train_torso"):
        step = np.arange(20) * 10
        table = pd.DataFrame({"step": step, "seconds": step / 50, "loss": np.exp(-step / 80), "psnr": 30 - 10 * np.exp(-step / 80)})
        (folder / stage).mkdir(parents=True, exist_ok=True)
        table.to_parquet(folder / stage / "history.parquet")
        write_json(folder / stage / "model.json", {"step": 190, "parameters": {"levels": 14}})


def _write_render(folder: Path, frames: tuple[Image, ...], labels: list[np.ndarray]) -> None:
    render = folder / "render"
    held_out = [frames[i] for i in HELD_OUT]
    soft = [cv2.blur(np.where(labels[i] == Label.HEAD, 255, 0).astype(np.uint8), (5, 5)) for i in HELD_OUT]
    head = [_composite(cv2.GaussianBlur(frame, (0, 0), 1.0), frame, alpha) for frame, alpha in zip(held_out, soft, strict=True)]
    wrong = [_composite(frames[i - 9], frames[i], alpha) for i, alpha in zip(HELD_OUT, soft, strict=True)]
    still = [_composite(frames[0], frames[i], alpha) for i, alpha in zip(HELD_OUT, soft, strict=True)]
    unmoved = [_composite(cv2.GaussianBlur(frame, (0, 0), 2.0), frame, alpha) for frame, alpha in zip(held_out, soft, strict=True)]
    full = [cv2.GaussianBlur(frame, (0, 0), 1.5) for frame in held_out]
    _video(render / "heldout.mkv", head, "lossless_rgb")
    _video(render / "heldout_wrong_audio.mkv", wrong, "lossless_rgb")
    _video(render / "heldout_static_mouth.mkv", unmoved, "lossless_rgb")
    _video(render / "heldout_retrieval.mkv", still, "lossless_rgb")
    _video(render / "heldout_portrait.mkv", head, "lossless_rgb")
    _video(render / "heldout_full.mkv", full, "lossless_rgb")
    _video(render / "region.mkv", soft, "lossless_gray")
    _video(render / "heldout.mp4", full, "delivery")
    rendering = {"frame_ids": HELD_OUT, "size_px": SIZE_PX, "fps": "25/1", "protocol": {}, "videos": {}, "seconds_per_frame": 0.01}
    (render / "render.json").write_text(json.dumps(rendering))


def _composite(inside: Image, outside: Image, alpha: np.ndarray) -> Image:
    weight = alpha[..., None] / 255.0
    return np.asarray(np.round(inside * weight + outside * (1 - weight)), dtype=np.uint8)


def _labels(points: np.ndarray) -> np.ndarray:
    labels = np.full((SIZE_PX, SIZE_PX), Label.BACKGROUND, np.uint8)
    head = cv2.dilate(face_mask(points, SIZE_PX, SIZE_PX).astype(np.uint8), np.ones((25, 25), np.uint8))
    chin = points[152, :2].astype(int)
    labels[chin[1] :, 20:236] = Label.TORSO
    labels[chin[1] - 10 : chin[1] + 25, chin[0] - 30 : chin[0] + 30] = Label.NECK
    labels[230:, 30:60] = Label.HANDS
    labels[head > 0] = Label.HEAD
    return labels


def _video(path: Path, frames: list[np.ndarray], encoding: Encoding) -> None:
    height, width = frames[0].shape[:2]
    with VideoWriter(path, width=width, height=height, fps=FPS, encoding=encoding) as writer:
        for frame in frames:
            writer.write(frame)

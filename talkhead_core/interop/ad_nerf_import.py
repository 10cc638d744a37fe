"""Reading a dataset of the AD-NeRF family as a recording that carries its head poses."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import av
import cv2
import numpy as np

from talkhead_core.artifacts import read_json, whole_file
from talkhead_core.errors import InputError
from talkhead_core.face.head_poses import POSES_FILE, HeadPoses
from talkhead_core.interop.ad_nerf_layout import FPS, AdNerfFiles
from talkhead_core.interop.ad_nerf_poses import poses_of_transforms
from talkhead_core.media.audio_file import SPEECH_SAMPLE_RATE_HZ, read_audio
from talkhead_core.media.openface_csv import OPENFACE_FILE
from talkhead_core.progress import Progress, silent
from talkhead_core.types import FloatArray, Image

__all__ = ["AdNerfDataset", "read_ad_nerf", "write_recording"]

_BITEXACT = 0x400  # AVFMT_FLAG_BITEXACT: equal imports give equal files
_OPENFACE_COLUMN = b"AU01_r"
_SAMPLES_A_FRAME = int(SPEECH_SAMPLE_RATE_HZ / FPS)
_MOST_OF_ALL_MISSING = 20  # frames for each image


@dataclass(frozen=True, kw_only=True, eq=False)
class AdNerfDataset:
    """A dataset that can be a speaker.

    Args:
        folder: where it is.
        images: for every frame from 0 the image to show; a frame whose image is missing shows the one before.
        missing: numbers of those frames.
        poses: by frame number.
        audio: mono ``[samples]`` at 16 kHz.
        action_units: its ``au.csv`` where that is OpenFace's; one that holds blinks alone, such as an export writes, is left.
    """

    folder: Path
    images: list[Path]
    missing: list[int]
    poses: HeadPoses
    audio: FloatArray
    action_units: bytes | None = None


def read_ad_nerf(folder: Path) -> AdNerfDataset:
    """Look at a dataset; its images are read only by :func:`write_recording`.

    Raises:
        InputError: images, poses or sound are missing or do not belong together.
        FootageError: the sound cannot be read.
    """
    files = AdNerfFiles(folder)
    numbered = {int(path.stem): path for path in files.image(0).parent.glob("*.jpg") if path.stem.isdecimal() and path.stem.isascii()}
    if not numbered:
        raise InputError(f"{folder}: holds no ori_imgs/0.jpg and so on; give a folder in the layout of AD-NeRF, ER-NeRF or SyncTalk")
    documents = [read_json(path) for path in (files.train, files.validation) if path.is_file()]
    if not documents:
        raise InputError(f"{folder}: holds no transforms_train.json; finish its own preparation, or give the video to 'talkhead run'")
    if not files.audio.is_file():
        raise InputError(f"{folder}: holds no aud.wav; put the speech there")
    first = _read_image(numbered[min(numbered)])
    height, width = first.shape[:2]
    poses = poses_of_transforms(documents, width=width, height=height, where=str(folder))
    count = max(numbered) + 1
    if poses.frame_id[-1] >= count:
        raise InputError(f"{folder}: there is a pose of frame {poses.frame_id[-1]} but no ori_imgs/{poses.frame_id[-1]}.jpg")
    if count > len(numbered) * _MOST_OF_ALL_MISSING:
        raise InputError(f"{folder}: ori_imgs holds {len(numbered)} images, numbered up to {count - 1}; they must be numbered from 0 on")
    missing = [number for number in range(count) if number not in numbered]
    images: list[Path] = []
    for number in range(count):
        images.append(numbered.get(number) or (images[-1] if images else numbered[min(numbered)]))
    lost = np.isin(poses.frame_id, missing)
    if lost.any():
        poses = HeadPoses(
            frame_id=poses.frame_id[~lost],
            rotation=poses.rotation[~lost],
            translation_cm=poses.translation_cm[~lost],
            focal_px=poses.focal_px,
            width=width,
            height=height,
        )
    audio = read_audio(files.audio)
    sound_s, pictures_s = len(audio) / SPEECH_SAMPLE_RATE_HZ, count / float(FPS)
    if abs(sound_s - pictures_s) > max(1.0, 0.02 * pictures_s):
        raise InputError(
            f"{folder}: aud.wav lasts {sound_s:.1f} s and the {count} images {pictures_s:.1f} s at 25 fps; they must be of one recording"
        )
    units = files.action_units.read_bytes() if files.action_units.is_file() else b""
    action_units = units if _OPENFACE_COLUMN in units.partition(b"\n")[0] else None
    return AdNerfDataset(folder=folder, images=images, missing=missing, poses=poses, audio=audio, action_units=action_units)


def write_recording(dataset: AdNerfDataset, path: Path, progress: Progress = silent) -> None:
    """Write images and sound, losslessly, as one Matroska file that carries the poses; whole or not at all.

    Raises:
        InputError: an image cannot be read, or is of another size.
    """
    width, height = dataset.poses.width, dataset.poses.height
    sound = np.zeros(len(dataset.images) * _SAMPLES_A_FRAME, np.float32)
    sound[: len(dataset.audio)] = dataset.audio[: len(sound)]
    samples = np.round(np.clip(sound, -1, 1) * 32767).astype(np.int16).reshape(-1, _SAMPLES_A_FRAME)
    with whole_file(path) as temporary, av.open(str(temporary), "w", format="matroska") as container:
        container.flags |= _BITEXACT
        video = container.add_stream("ffv1", rate=FPS, options={"level": "3", "g": "1"})
        assert isinstance(video, av.VideoStream)
        video.width, video.height, video.pix_fmt = width, height, "bgr0"
        audio = container.add_stream("pcm_s16le", rate=SPEECH_SAMPLE_RATE_HZ, layout="mono")
        assert isinstance(audio, av.AudioStream)
        container.add_attachment(POSES_FILE, "application/octet-stream", dataset.poses.to_bytes())
        if dataset.action_units is not None:
            container.add_attachment(OPENFACE_FILE, "application/octet-stream", dataset.action_units)
        for index, image in enumerate(dataset.images):
            picture = _read_image(image)
            if picture.shape[:2] != (height, width):
                raise InputError(f"{image}: {picture.shape[1]} x {picture.shape[0]} pixels among images of {width} x {height}")
            frame = av.VideoFrame.from_ndarray(picture, format="bgr24")
            frame.pts, frame.time_base = index, 1 / FPS
            container.mux(video.encode(frame))
            part = av.AudioFrame.from_ndarray(samples[index : index + 1], format="s16", layout="mono")
            part.sample_rate, part.pts = SPEECH_SAMPLE_RATE_HZ, index * _SAMPLES_A_FRAME
            container.mux(audio.encode(part))
            progress(index + 1, len(dataset.images))
        container.mux(video.encode(None))
        container.mux(audio.encode(None))


def _read_image(path: Path) -> Image:
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        raise InputError(f"{path}: is no image that can be read; export the dataset again")
    return np.asarray(image, np.uint8)

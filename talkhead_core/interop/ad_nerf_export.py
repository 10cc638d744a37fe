"""Writing a prepared speaker as a dataset of the AD-NeRF family, which ER-NeRF and SyncTalk train on as it is."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from talkhead_core.artifacts import write_json, write_text
from talkhead_core.errors import InputError
from talkhead_core.face.expression import expression
from talkhead_core.face.head_poses import HeadPoses
from talkhead_core.face.points_68 import points_68
from talkhead_core.interop.ad_nerf_layout import FPS, AdNerfFiles, parsing_colours
from talkhead_core.interop.ad_nerf_poses import euler_angles, transforms_document
from talkhead_core.interop.eye_columns import blendshape_rows, write_action_units
from talkhead_core.interop.speech_files import write_speech_files
from talkhead_core.interop.torso_image import over_background, torso_image
from talkhead_core.media.audio_file import read_audio, write_audio
from talkhead_core.media.openface_csv import openface_rows
from talkhead_core.media.video_reader import read_frames, read_gray_frames, video_info
from talkhead_core.parameters import require
from talkhead_core.progress import Progress, silent
from talkhead_core.segmentation.face_geometry import FaceGeometry, filled
from talkhead_core.types import FloatArray, Image, Label

__all__ = ["AdNerfExportConfig", "PreparedSpeaker", "export_ad_nerf"]

_DECIMETRES_A_CM = 0.1


@dataclass(frozen=True, kw_only=True)
class AdNerfExportConfig:
    """How a dataset is written.

    Args:
        size_px: side of its images, odd or even; the clip's own where None.
        jpeg_quality: of its JPEG files, without chroma subsampling.
    """

    size_px: int | None = None
    jpeg_quality: int = 97

    def __post_init__(self) -> None:
        require(self.size_px is None or 32 <= self.size_px <= 4096, f"size_px must be 32 to 4096, not {self.size_px}")
        require(50 <= self.jpeg_quality <= 100, f"jpeg_quality must be 50 to 100, not {self.jpeg_quality}")


@dataclass(frozen=True, kw_only=True, eq=False)
class PreparedSpeaker:
    """What the stages up to ``segment`` made of a recording.

    Args:
        clip: ``clip.mkv``.
        labels: ``labels.mkv``.
        plate: ``background.png``.
        audio: the speech, 16 kHz mono.
        landmarks: the arrays of ``landmarks.safetensors``.
        track: the arrays of ``track.safetensors``.
        blendshapes: ``[N, 52]`` in MediaPipe's order, NaN rows without a face; None where no landmarker gave any.
        action_units: OpenFace's CSV of the recording, to hand on; None: eye closure is estimated from the landmarks.
        source_frames: ``[N]`` the recording's frame that each frame of the clip shows.
        weights: the folder of the weight store, for the speech features; None writes none.
    """

    clip: Path
    labels: Path
    plate: Path
    audio: Path
    landmarks: dict[str, np.ndarray]
    track: dict[str, np.ndarray]
    blendshapes: FloatArray | None = None
    action_units: bytes | None = None
    source_frames: np.ndarray | None = None
    weights: Path | None = None


def export_ad_nerf(
    speaker: PreparedSpeaker, folder: Path, config: AdNerfExportConfig | None = None, progress: Progress = silent
) -> dict[str, Any]:
    """Write the dataset; ``folder`` appears only when it is complete.

    Args:
        speaker: the prepared speaker.
        folder: a new one.
        config: how.
        progress: told after each frame.

    Returns:
        ``frames``, ``posed_frames``, ``size_px``, ``files``: what there is and where it comes from.

    Raises:
        InputError: the folder holds something, or the stages disagree.
    """
    config = config or AdNerfExportConfig()
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder}: exists and is not empty; give a new folder")
    info = video_info(speaker.clip)
    lengths = {"clip": info.frames, "landmarks": len(speaker.landmarks["frame_id"]), "track": len(speaker.track["frame_id"])}
    if len(set(lengths.values())) != 1:
        raise InputError(f"the stages disagree in their number of frames ({lengths}); run 'talkhead run' to bring them up to date")
    size = config.size_px or info.width
    shown = shown_frames(info.frames, info.fps)
    scaled = _scaled(speaker, shown, info.width, size)
    writing = folder.with_name(f".writing-{folder.name}")
    shutil.rmtree(writing, ignore_errors=True)
    files = AdNerfFiles(writing)
    files.make_folders()
    try:
        _write_frames(speaker, files, shown, scaled, config, size, progress)
        described = _write_tables(speaker, files, shown, scaled)
        if folder.exists():
            folder.rmdir()
        writing.replace(folder)
    finally:
        shutil.rmtree(writing, ignore_errors=True)
    return {"frames": len(shown), "posed_frames": len(scaled.poses.frame_id), "size_px": size, "files": described}


def shown_frames(frames: int, fps: Fraction) -> np.ndarray:
    """The clip frame ``[25 * seconds]`` on show in the middle of each frame of the dataset, which runs at 25 a second."""
    count = int(frames * FPS / fps)
    index = (2 * np.arange(count, dtype=np.int64) + 1) * fps.numerator // (2 * fps.denominator * FPS.numerator)
    return np.minimum(index, frames - 1)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Scaled:
    """Rows of the dataset's frames, at its size.

    Args:
        poses: of the frames that have one.
        posed: ``[frames]`` bool.
        points: ``[frames, >= 468, 2]`` pixels.
        face: ``[frames]`` bool, where the points are a face.
    """

    poses: HeadPoses
    posed: np.ndarray
    points: FloatArray
    face: np.ndarray


def _scaled(speaker: PreparedSpeaker, shown: np.ndarray, clip_px: int, size: int) -> _Scaled:
    track, scale = speaker.track, size / clip_px
    posed = track["status"][shown] == 0
    poses = HeadPoses(
        frame_id=np.flatnonzero(posed).astype(np.int64),
        rotation=track["rotation"][shown[posed]].astype(np.float64),
        translation_cm=track["translation_cm"][shown[posed]].astype(np.float64),
        focal_px=float(track["focal_px"][0]) * scale,
        width=size,
        height=size,
    )
    points = speaker.landmarks["points"][shown][..., :2] * scale
    return _Scaled(poses=poses, posed=posed, points=points, face=speaker.landmarks["detected"][shown].astype(bool))


def _write_frames(
    speaker: PreparedSpeaker,
    files: AdNerfFiles,
    shown: np.ndarray,
    scaled: _Scaled,
    config: AdNerfExportConfig,
    size: int,
    progress: Progress,
) -> None:
    jpeg = [cv2.IMWRITE_JPEG_QUALITY, config.jpeg_quality, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
    plate = _resized(np.asarray(cv2.imread(str(speaker.plate), cv2.IMREAD_COLOR), np.uint8), size)
    _write(files.background, plate, jpeg)
    for number, (image, labels) in enumerate(_frames_and_labels(speaker, shown)):
        bgr = _resized(image[..., ::-1], size)
        labels = cv2.resize(labels, (size, size), interpolation=cv2.INTER_NEAREST)
        _write(files.image(number), bgr, jpeg)
        merged = over_background(bgr, labels, plate)
        _write(files.over_background(number), merged, jpeg)
        _write(files.torso(number), torso_image(merged, labels), [])
        _write(files.parsing(number), parsing_colours(labels), [])
        if scaled.face[number]:
            _write(files.face(number), _face_colours(labels, scaled.points[number]), [])
            np.savetxt(files.landmarks(number), points_68(scaled.points[number]), "%f")
        progress(number + 1, len(shown))


def _frames_and_labels(speaker: PreparedSpeaker, shown: np.ndarray) -> Iterator[tuple[Image, np.ndarray]]:
    """The clip frames on show, one after another; one that is shown twice comes twice."""
    pairs = enumerate(zip(read_frames(speaker.clip), read_gray_frames(speaker.labels), strict=True))
    index, pair = next(pairs)
    for wanted in shown:
        while index < wanted:
            index, pair = next(pairs)
        yield pair


def _face_colours(labels: np.ndarray, points: FloatArray) -> Image:
    """The face's skin as the layout's head colour on white ``[H, W, 3]``, with a soft edge."""
    face = filled(FaceGeometry.of(points).face_polygon(), (labels.shape[0], labels.shape[1])) & (labels == Label.HEAD)
    colours = parsing_colours(np.where(face, np.uint8(Label.HEAD), np.uint8(Label.BACKGROUND)))
    return np.asarray(cv2.GaussianBlur(colours, (9, 9), 0), np.uint8)


def _write_tables(speaker: PreparedSpeaker, files: AdNerfFiles, shown: np.ndarray, scaled: _Scaled) -> dict[str, str]:
    """Everything that is not an image; returns what each file is."""
    import torch  # two seconds, for one small file

    train, validation = transforms_document(scaled.poses)
    write_json(files.train, train)
    write_json(files.validation, validation)
    posed = scaled.poses
    track = {
        "euler": torch.from_numpy(euler_angles(posed.rotation).astype(np.float32)),
        "trans": torch.from_numpy((posed.translation_cm * _DECIMETRES_A_CM).astype(np.float32)),
        "focal": torch.tensor([posed.focal_px]),
        "img_id": torch.from_numpy(posed.frame_id),
    }
    torch.save(track, files.track)
    samples = int(len(shown) * 16000 / FPS)
    audio = read_audio(speaker.audio)[:samples]
    audio = np.pad(audio, (0, samples - len(audio)))
    write_audio(files.audio, audio)
    described = {"track_params.pt": "poses alone: there is no 3D morphable model behind them"}
    if speaker.action_units is not None and speaker.source_frames is not None:
        rows = openface_rows(speaker.action_units, speaker.source_frames[shown], "the recording's action units")
        write_text(files.action_units, rows)
        described["au.csv"] = "OpenFace, as given, by the dataset's frames"
    else:
        openings = expression(speaker.track["mesh_cm"][shown])[:, :2]  # the track's own columns may be blendshapes
        write_action_units(files.action_units, openings, scaled.posed)
        described["au.csv"] = "AU45_r estimated from the distance of the eyelids; no other action unit"
    if speaker.blendshapes is not None:
        np.save(files.blendshapes, blendshape_rows(speaker.blendshapes[shown]))
        described["bs.npy"] = "MediaPipe FaceLandmarker"
    else:
        described["bs.npy"] = "left out: the landmarks hold no blendshapes; set landmarks: {landmarker: face_landmarker}"
    if speaker.weights is not None:
        described |= write_speech_files(files.folder, audio, len(shown), speaker.weights)
    return described


def _resized(image: Image, size: int) -> Image:
    if image.shape[0] == size:
        return np.ascontiguousarray(image)
    shrinks = size < image.shape[0]
    return np.asarray(cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC), np.uint8)


def _write(path: Path, image: Image, options: list[int]) -> None:
    if not cv2.imwrite(str(path), image, options):
        raise InputError(f"{path}: cannot be written; is the disk full?")

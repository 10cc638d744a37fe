"""Footage for tests: a real face that moves a little, with a sound, and the many ways in which files come."""

from __future__ import annotations

import subprocess
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import skimage.data
from PIL import Image as Picture

from talkhead_core.media.ffmpeg_binary import ffmpeg_path

FPS = 25
SIZE_PX = 256
SECONDS = 3.2


@cache
def portrait(size_px: int = SIZE_PX) -> np.ndarray:
    """Head and shoulders of the astronaut (public domain), ``[size, size, 3]``; the face is nearly half as high as the picture."""
    head = skimage.data.astronaut()[10:270, 95:355]
    return np.asarray(Picture.fromarray(head).resize((size_px, size_px), Picture.Resampling.LANCZOS))


def moving_portrait(count: int, size_px: int = SIZE_PX, fps: float = FPS) -> list[np.ndarray]:
    """The portrait swaying by a few pixels, ``count`` frames; frame 0 is the portrait itself."""
    face = portrait(size_px)
    seconds = np.arange(count) / fps
    sways = np.stack([3 * np.sin(5 * seconds), 2 * np.sin(3 * seconds)], axis=1)
    return [
        cv2.warpAffine(face, np.float32([[1, 0, dx], [0, 1, dy]]), (size_px, size_px), borderMode=cv2.BORDER_REPLICATE) for dx, dy in sways
    ]


def babble(seconds: float, sample_rate_hz: int = 44_100, channels: int = 1) -> np.ndarray:
    """Noise with the rhythm of syllables, ``[samples, channels]`` float32."""
    count = round(seconds * sample_rate_hz)
    time = np.arange(count) / sample_rate_hz
    rhythm = np.clip(np.sin(2 * np.pi * 3 * time), 0, 1) * (np.sin(2 * np.pi * 0.5 * time) > -0.5)
    noise = np.random.default_rng(0).normal(0, 0.1, count)
    return np.repeat((rhythm * noise)[:, None], channels, axis=1).astype(np.float32)


def ffmpeg(*arguments: str | Path) -> None:
    """Run the ffmpeg that the library uses."""
    subprocess.run([ffmpeg_path(), "-v", "error", "-nostdin", "-y", *map(str, arguments)], check=True, capture_output=True)


def encode(
    path: Path,
    frames: list[np.ndarray],
    *,
    fps: float = FPS,
    audio: np.ndarray | None = None,
    sample_rate_hz: int = 44_100,
    options: tuple[str, ...] = ("-c:v", "libx264", "-preset", "ultrafast", "-crf", "12", "-pix_fmt", "yuv420p"),
) -> Path:
    """Write RGB frames, with ``[samples, channels]`` float sound where given, through ffmpeg's pipe."""
    height, width = frames[0].shape[:2]
    exact = ["-vf", "scale=flags=accurate_rnd+full_chroma_int"]  # the default rounds colours down
    command = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", str(fps), "-i", "-"]
    if audio is not None:
        sound = path.with_suffix(".f32")
        audio.astype("<f4").tofile(sound)
        command += ["-f", "f32le", "-ar", str(sample_rate_hz), "-ac", str(audio.shape[1]), "-i", str(sound), "-b:a", "192k"]
    pixels = b"".join(np.ascontiguousarray(frame).tobytes() for frame in frames)
    subprocess.run(
        [ffmpeg_path(), "-v", "error", "-y", *command, *exact, *options, str(path)], input=pixels, check=True, capture_output=True
    )
    if audio is not None:
        sound.unlink()
    return path


def plain_video(path: Path, seconds: float = SECONDS) -> Path:
    """A speaker as one would wish: H.264 + AAC, 25 fps, one face."""
    return encode(path, moving_portrait(round(seconds * FPS)), audio=babble(seconds))

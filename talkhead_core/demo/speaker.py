"""The demo speaker: a synthetic person whose every pose, mouth shape, mask and sample is known.

``make_demo_speaker`` writes a portrait video as a camera and a microphone would have recorded it, speech for a dub, and
the ground truth that measurements can be held against.
"""

from __future__ import annotations

import tempfile
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path

import cv2
import ffmpeg
import numpy as np
from scipy.signal import resample_poly
from scipy.spatial.transform import Rotation

from talkhead_core.artifacts import whole_file, write_arrays, write_json, write_text
from talkhead_core.demo.figure import Face, Figure, HeadPose
from talkhead_core.demo.ground_truth import described, hand_truth, truth_arrays
from talkhead_core.demo.hand import Gesture, Hand, gestures
from talkhead_core.demo.layering import layered
from talkhead_core.demo.motion import BodyMotion, body_motion
from talkhead_core.demo.photograph import WINDOW_SIZE_PX, Photograph, photograph
from talkhead_core.demo.soundtrack import DUB_SENTENCES, SENTENCES, Soundtrack, noise_like_a_room, soundtrack
from talkhead_core.demo.studio import studio_background
from talkhead_core.demo.visemes import MouthTrack, mouth_track
from talkhead_core.media.audio_file import SPEECH_SAMPLE_RATE_HZ, write_audio
from talkhead_core.media.ffmpeg_binary import run_graph
from talkhead_core.media.video_writer import VideoWriter
from talkhead_core.parameters import require
from talkhead_core.progress import Progress, silent
from talkhead_core.types import FloatArray, Image, Label

__all__ = ["CONSENT_STATEMENT", "DemoSpeaker", "DemoSpeakerConfig", "make_demo_speaker"]

CONSENT_STATEMENT = (
    "This speaker is synthetic. Her picture is animated from NASA's public-domain portrait of astronaut Eileen Collins, which ships "
    "with scikit-image; her voice is made by espeak-ng. She never said these words. Made by talkhead's demo for testing; "
    "no person was recorded. Do not present it as footage of a real person."
)
_VIDEO_SAMPLE_RATE_HZ = 48_000
# The head turns about the top of the spine, below and behind the middle of the face.
_HEAD_PIVOT_CM = np.array([0.0, -5.5, -8.5])
_EYEBALL_RADIUS_CM = 1.2
_GAZE_LIMIT_PX = 1.5
_SENSOR_NOISE = 1.3


@dataclass(frozen=True, kw_only=True)
class DemoSpeakerConfig:
    """What the demo speaker's recording is like.

    Args:
        size_px: side of the square video; even.
        fps: frames a second.
        duration_s: length of the video.
        seed: of motion, noise and background.
        noise_snr_db: speech over background noise; speech level is taken while she speaks.
        voice: an espeak-ng voice.
        words_per_minute: speed of speech.
        with_hand: whether a hand crosses the torso.
    """

    size_px: int = 512
    fps: int = 25
    duration_s: float = 22.0
    seed: int = 0
    noise_snr_db: float = 13.0
    voice: str = "en-us+f3"
    words_per_minute: int = 160
    with_hand: bool = True

    def __post_init__(self) -> None:
        require(128 <= self.size_px <= 2048 and self.size_px % 2 == 0, f"size_px must be even, 128 to 2048, not {self.size_px}")
        require(self.fps > 0 and SPEECH_SAMPLE_RATE_HZ % self.fps == 0, f"fps must divide {SPEECH_SAMPLE_RATE_HZ}, not {self.fps}")
        require(2.0 <= self.duration_s <= 600.0, f"duration_s must be 2 to 600, not {self.duration_s}")
        require(80 <= self.words_per_minute <= 300, f"words_per_minute must be 80 to 300, not {self.words_per_minute}")
        require(-10.0 <= self.noise_snr_db <= 60.0, f"noise_snr_db must be -10 to 60, not {self.noise_snr_db}")

    @property
    def frames(self) -> int:
        """Number of frames of the video."""
        return round(self.duration_s * self.fps)


@dataclass(frozen=True, kw_only=True)
class DemoSpeaker:
    """Where the demo speaker's files are.

    Args:
        video: H.264 and AAC, as a user would bring it.
        speech: other words in the same voice, without noise, to dub with.
        clean_audio: the video's sound without its noise; 16 kHz, sample 0 at the start of frame 0.
        truth_arrays: safetensors, rows keyed by ``frame_id``: ``rotation [N, 3, 3]``, ``translation_cm [N, 3]`` (head to
            camera, see ``types``), ``focal_px [1]``, ``shape_cm [468, 3]`` (lips closed, eyes open), ``mesh_cm
            [N, 468, 3]`` (head frame), ``mouth_opening_cm [N]`` (between the inner lips), ``eye_openness [N, 2]`` (image
            left and right, 1 open), ``viseme [N]``, ``yaw_pitch_roll_deg [N, 3]`` (relative to the photograph),
            ``hand_visible [N]``, ``hand_speed_px [N]`` (of the wrist, per frame).
        truth_json: phonemes with times, names of visemes, noise, gestures, configuration.
        labels: FFV1 gray, ``types.Label``.
        consent: text that says that the speaker is synthetic.
    """

    video: Path
    speech: Path
    clean_audio: Path
    truth_arrays: Path
    truth_json: Path
    labels: Path
    consent: Path

    @classmethod
    def in_folder(cls, folder: str | Path) -> DemoSpeaker:
        """The files of a demo speaker that was made in ``folder``."""
        folder = Path(folder)
        return cls(
            video=folder / "video.mp4",
            speech=folder / "speech.wav",
            clean_audio=folder / "clean.wav",
            truth_arrays=folder / "truth.safetensors",
            truth_json=folder / "truth.json",
            labels=folder / "truth_labels.mkv",
            consent=folder / "consent.txt",
        )


def make_demo_speaker(folder: str | Path, config: DemoSpeakerConfig | None = None, progress: Progress = silent) -> DemoSpeaker:
    """Make the demo speaker; the same configuration gives the same speaker.

    Args:
        folder: where to; made if it is not there.
        config: what it should be like.
        progress: told the frames done.

    Raises:
        NotAvailableError: espeak-ng's library cannot be loaded.
    """
    config = config or DemoSpeakerConfig()
    files = DemoSpeaker.in_folder(folder)
    track = soundtrack(
        SENTENCES,
        duration_s=config.frames / config.fps,
        sample_rate_hz=_VIDEO_SAMPLE_RATE_HZ,
        voice=config.voice,
        words_per_minute=config.words_per_minute,
    )
    mouth = mouth_track(track.phonemes, config.frames, config.fps)
    motion = body_motion(track.phonemes, config.frames, config.fps, config.seed)
    visits = gestures(config.duration_s) if config.with_hand else ()
    figure, layers = _figure(config)
    faces = [_face(figure, motion, mouth, frame) for frame in range(config.frames)]
    poses = [_pose(figure, motion, frame) for frame in range(config.frames)]
    with tempfile.TemporaryDirectory(prefix="talkhead-demo-") as scratch:
        picture, sound = Path(scratch) / "picture.mp4", Path(scratch) / "sound.wav"
        _draw_frames(picture, files.labels, figure, layers, poses, faces, visits, config, progress)
        noise_level = _write_sound(sound, files, track, config)
        _join(picture, sound, files.video)
    hand_visible, hand_speed_px = hand_truth(visits, config.frames, config.fps, config.size_px)
    arrays = truth_arrays(figure, poses, faces, motion, mouth)
    write_arrays(files.truth_arrays, {**arrays, "hand_visible": hand_visible, "hand_speed_px": hand_speed_px})
    write_json(
        files.truth_json,
        {"statement": CONSENT_STATEMENT, "synthetic": True, "config": asdict(config), "noise_rms": noise_level, **described(track, visits)},
    )
    write_text(files.consent, CONSENT_STATEMENT + "\n")
    return files


def _figure(config: DemoSpeakerConfig) -> tuple[Figure, Photograph]:
    layers = photograph(2 * config.size_px / WINDOW_SIZE_PX)
    return Figure(config.size_px, layers), layers


def _face(figure: Figure, motion: BodyMotion, mouth: MouthTrack, frame: int) -> Face:
    px_per_deg = np.radians(1) * _EYEBALL_RADIUS_CM * figure.mesh.camera.focal_px / abs(figure.mesh.translation_cm[2])
    gaze = np.clip(motion.gaze_deg[frame] * px_per_deg, -_GAZE_LIMIT_PX, _GAZE_LIMIT_PX) * (1.0, 0.4)
    blink = float(motion.blink[frame])
    return Face(mouth=mouth.shapes[frame], blink=(blink, blink), brow=0.6 * float(motion.brow[frame]), smile=0.3, gaze_px=gaze)


def _pose(figure: Figure, motion: BodyMotion, frame: int) -> HeadPose:
    mesh = figure.mesh
    yaw, pitch, roll = motion.yaw_pitch_roll_deg[frame]
    turn = Rotation.from_euler("YXZ", [yaw, pitch, -roll], degrees=True).as_matrix()
    rotation = turn @ mesh.rotation
    about = mesh.rotation @ _HEAD_PIVOT_CM
    translation = mesh.translation_cm + about - turn @ about + motion.sway_cm[frame]
    return HeadPose(
        rotation=rotation,
        translation_cm=translation,
        torso_shift_cm=motion.torso_sway_cm[frame],
        torso_roll_deg=float(motion.torso_roll_deg[frame]),
    )


def _draw_frames(
    picture: Path,
    labels: Path,
    figure: Figure,
    layers: Photograph,
    poses: list[HeadPose],
    faces: list[Face],
    visits: tuple[Gesture, ...],
    config: DemoSpeakerConfig,
    progress: Progress,
) -> None:
    size, fps = config.size_px, Fraction(config.fps)
    background = studio_background(size, config.seed).astype(np.float32)
    hand = Hand(size, config.fps, config.seed)
    rng = np.random.default_rng([config.seed, 1])
    grain = np.asarray(cv2.GaussianBlur(rng.normal(size=(2 * size, 2 * size, 3)), (0, 0), 0.6), np.float32)
    grain *= np.float32(_SENSOR_NOISE / grain.std())
    with (
        VideoWriter(picture, width=size, height=size, fps=fps, encoding="delivery") as video,
        VideoWriter(labels, width=size, height=size, fps=fps, encoding="lossless_gray") as label_video,
    ):
        for frame, (pose, face) in enumerate(zip(poses, faces, strict=True)):
            image, label = _frame(figure, layers, background, pose, face)
            gesture = hand.draw(visits, (frame + 0.5) / config.fps)
            if gesture is not None:
                image = image * (1 - gesture[..., 3:]) + gesture[..., :3]
                label[gesture[..., 3] > 0.5] = Label.HANDS
            y, x = rng.integers(0, size, 2)
            image += grain[y : y + size, x : x + size]
            video.write(np.clip(image + 0.5, 0, 255).astype(np.uint8))
            label_video.write(label)
            progress(frame + 1, len(poses), "drawing the demo speaker")


def _frame(figure: Figure, layers: Photograph, background: FloatArray, pose: HeadPose, face: Face) -> tuple[FloatArray, Image]:
    """Picture ``[H, W, 3]`` float32 and labels ``[H, W]`` without the hand."""
    size = background.shape[:2]
    matrix = figure.torso_transform(pose)
    # OpenCV counts from pixel centres.
    matrix = np.column_stack([matrix[:, :2], matrix[:, 2] + matrix[:, :2] @ (0.5, 0.5) - 0.5])
    torso = cv2.warpAffine(layers.torso, matrix, size[::-1], flags=cv2.INTER_LINEAR)
    return layered(background, np.asarray(torso, np.uint8), *figure.draw(pose, face))


def _write_sound(noisy: Path, files: DemoSpeaker, track: Soundtrack, config: DemoSpeakerConfig) -> float:
    """Write the noisy, the clean and the dub's sound; returns the noise's root mean square."""
    rate = track.sample_rate_hz
    voiced = np.zeros(len(track.clean), bool)
    for phoneme in track.phonemes:
        if phoneme.symbol:
            voiced[int(phoneme.start_s * rate) : int(phoneme.end_s * rate)] = True
    speech_level = float(np.sqrt(np.mean(track.clean[voiced] ** 2)))
    level = speech_level * 10 ** (-config.noise_snr_db / 20)
    write_audio(noisy, track.clean + level * noise_like_a_room(len(track.clean), rate, config.seed), rate)
    step = rate // SPEECH_SAMPLE_RATE_HZ
    write_audio(files.clean_audio, resample_poly(track.clean, 1, step), SPEECH_SAMPLE_RATE_HZ)
    dub = soundtrack(
        DUB_SENTENCES, duration_s=None, sample_rate_hz=_VIDEO_SAMPLE_RATE_HZ, voice=config.voice, words_per_minute=config.words_per_minute
    )
    write_audio(files.speech, dub.clean, dub.sample_rate_hz)
    return level


def _join(picture: Path, sound: Path, video: Path) -> None:
    with whole_file(video) as temporary:
        graph = ffmpeg.output(
            ffmpeg.input(str(picture))["v"],
            ffmpeg.input(str(sound))["a"],
            str(temporary),
            vcodec="copy",
            acodec="aac",
            audio_bitrate="160k",
            movflags="+faststart",
        )
        run_graph(graph, picture)

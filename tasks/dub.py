"""Make a trained speaker say any speech: ``python -m tasks.dub --speaker NAME --audio A --out O.mp4``."""

from __future__ import annotations

import argparse
import dataclasses
import math
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import Literal

import cv2
import numpy as np

from talkhead_core.artifacts import read_json
from talkhead_core.audio.denoise import DenoiseConfig, denoise
from talkhead_core.audio.features import DrivingFeatures
from talkhead_core.audio.voice_activity import voice_activity
from talkhead_core.compositing.hand_visits import HandVisits
from talkhead_core.errors import FootageError, InputError
from talkhead_core.face.expression import eye_opening
from talkhead_core.kernels import select_device
from talkhead_core.media.audio_file import SPEECH_SAMPLE_RATE_HZ, read_audio
from talkhead_core.media.frame_access import FrameAccess
from talkhead_core.media.mux import mux
from talkhead_core.media.square_crop import SquareCrop
from talkhead_core.media.video_writer import VideoWriter
from talkhead_core.parameters import require
from talkhead_core.provenance.credentials import Origin, sign_file
from talkhead_core.provenance.signer import Signer
from talkhead_core.provenance.software import file_sha256
from talkhead_core.provenance.watermark import Watermark
from talkhead_core.rendering.blink_source import BlinkConfig
from talkhead_core.rendering.portrait_renderer import PortraitRenderer
from talkhead_core.rendering.pose_replay import PoseReplayConfig, finer_positions, longest_shot, rows_at
from talkhead_core.rendering.recording_replay import RecordedHead, RecordingReplay, replay_recording
from talkhead_core.rendering.silence_gate import closed_mouth_codes, gated_codes
from talkhead_core.rendering.speaker_model import SpeakerModel
from talkhead_core.speakers import check_speaker_name
from talkhead_core.training.portrait_dataset import HeadTrack, held_out_start, load_track
from talkhead_core.types import FloatArray, Image
from talkhead_core.work_folders import work_folder
from tasks.driving_speech import driving_speech
from tasks.full_frames import FullFrames, Recording, hand_visits
from tasks.provenance import ProvenanceConfig, origin_of, record_video, stage_signer
from tasks.speaker_data import load_features, spoken_codes
from tasks.stage import Stage, errors_in_one_line, keep_freed_memory

_LOUDEST_SILENCE = 10 ** (-60 / 20)


@dataclass(frozen=True, kw_only=True)
class DubConfig:
    """The section ``dub``.

    Args:
        torso: ``source`` plays the recorded frame (hands removed) around the head, ``field`` the trained torso.
        region: ``head`` renders the whole head, ``lower_face`` what other words change; eyes, hair and ears are then the recorded frame's.
            The papers' heads hear everywhere: with speech that they were not trained on, their brows frown, and hair and ears no longer
            meet the recording's.
        frame: ``crop`` writes the square around head and torso, ``full`` pastes it back into the whole source frame.
        rate: of a full frame: ``source`` keeps 50 or 60 frames a second of a source whose clip has half of them, which takes twice as
            long to render; ``clip`` takes the clip's.
        size_px: side of the rendered square; 0 takes the size the model was trained at, for a full frame that of the clip: a head
            rendered larger than it was trained is sharper than one enlarged.
        samples: samples a ray.
        feather: width of the head region's soft edge, as a part of the frame's side.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        silence_fade_frames: over how many frames the mouth closes in silence; 0 at once.
        silence_gate: close the mouth in silence.
        replay: how the recording is replayed for as long as the speech lasts.
        blinks: where blinks come from.
    """

    torso: Literal["source", "field"] = "source"
    region: Literal["head", "lower_face"] = "head"
    frame: Literal["crop", "full"] = "crop"
    rate: Literal["source", "clip"] = "source"
    size_px: int = 0
    samples: int = 3
    feather: float = 0.02
    device: str = "auto"
    silence_fade_frames: int = 5
    silence_gate: bool = True
    replay: PoseReplayConfig = dataclasses.field(default_factory=PoseReplayConfig)
    blinks: BlinkConfig = dataclasses.field(default_factory=BlinkConfig)

    def __post_init__(self) -> None:
        require(self.size_px == 0 or (64 <= self.size_px <= 4096 and self.size_px % 2 == 0), "size_px must be even, 64 to 4096, or 0")
        require(0.0 < self.feather < 0.2, f"feather must be in (0, 0.2), not {self.feather}")
        recorded = self.torso == "source" and self.blinks.source == "recorded"
        require(self.region == "head" or recorded, "region lower_face needs torso source and blinks recorded: the rest is the recording's")


@dataclass(frozen=True, kw_only=True)
class Labels:
    """Which labels a dub gets; without one of them is on request only, and recorded."""

    credentials: bool = True
    watermark: bool = True

    @property
    def switched_off(self) -> list[str]:
        """The names of those that it does not get."""
        return [name for name, wanted in dataclasses.asdict(self).items() if not wanted]


class Dubber:
    """One speaker who says one speech after another; what all dubs have in common is loaded by the first one.

    Args:
        stage: whom to dub, and where.
        frame: overrides the section's.
        labels: all of them when None.
    """

    def __init__(self, stage: Stage, frame: Literal["crop", "full"] | None = None, labels: Labels | None = None) -> None:
        config = stage.section(DubConfig)
        self._stage, self._labels = stage, labels or Labels()
        self._config = config if frame is None else dataclasses.replace(config, frame=frame)
        self._provenance = stage.section(ProvenanceConfig, "provenance")

    def dub(self, audio_path: Path, out: Path) -> None:
        """Render the speaker saying ``audio_path`` to ``out``, with the audio as it was given.

        Raises:
            FootageError: the audio cannot be read or is silent.
            InputError: ``out`` is not an ``.mp4``, or the signer that is set is none.
            ConsentError: no valid consent record.
        """
        stage = self._stage
        if out.suffix.lower() != ".mp4":
            raise InputError(f"{out}: a dub is written as .mp4; give a name that ends so")
        stage.consent()
        gate = stage.root / ".talkhead" / "locks" / f"dubs-{stage.speaker}.lock"
        with work_folder(stage.root / "data" / stage.speaker, "dub-", gate) as folder:
            stage.consent()  # again: whoever was forgotten while this waited is not dubbed
            signer = stage_signer(stage.root, self._provenance)
            audio = read_audio(audio_path)
            if np.abs(audio).max() < _LOUDEST_SILENCE:
                raise FootageError(audio_path, "is silent", "give a recording of speech")
            silent = folder / "silent.mp4"
            self._render(audio, silent)
            origin = _origin(stage, audio_path, out, self._config, self._labels)
            _finish(silent, audio_path, out, signer if self._labels.credentials else None, origin)
            record_video(stage, out, self._labels.switched_off)

    def _render(self, audio: FloatArray, silent: Path) -> None:
        """The speaker saying ``audio`` at 16 kHz, as a video without sound; frames stream into it, however many there are."""
        speaker, config = self._speaker, self._config
        frames = max(1, math.ceil(Fraction(len(audio), SPEECH_SAMPLE_RATE_HZ) * speaker.fps))
        steps = speaker.recording.frames_per_clip_frame if config.frame == "full" and config.rate == "source" else 1
        # Speech is heard at the clip's rate, which the mouth was trained at; between its frames the mouth is on its way.
        codes = rows_at(speaker.lip_codes(audio, frames, config), finer_positions(frames, steps))
        replay = speaker.replay(frames, config).refined(steps)
        with ExitStack() as stack:
            rendered = _frames(speaker, codes, replay, config, _surroundings(speaker, replay, config, stack), self._stage.progress)
            width = height = speaker.size_px
            if config.frame == "full":
                whole = stack.enter_context(FullFrames(speaker.recording, silent.with_name("full.mkv"), speaker.visits, steps))
                width, height = whole.width, whole.height
                rendered = whole.pasted(rendered, replay.positions, head_only=config.torso == "source")
            watermark = Watermark(width, height, self._provenance.watermark_key) if self._labels.watermark else None
            with VideoWriter(silent, width=width, height=height, fps=steps * speaker.fps, encoding="delivery") as writer:
                for image, _ in rendered:
                    writer.write(watermark.marked(image) if watermark is not None else image)

    @cached_property
    def _speaker(self) -> _Speaker:
        return _Speaker(self._stage, self._config)


class _Speaker:
    """What every dub of a speaker is made from.

    Args:
        stage: whose artifacts.
        config: how large, how finely and where to render.
    """

    def __init__(self, stage: Stage, config: DubConfig) -> None:
        self._config = config
        ingest = read_json(stage.inputs("ingest") / "ingest.json")
        self.fps = Fraction(ingest["clip"]["fps"])
        self.model = SpeakerModel.load(stage.inputs("train_torso")).to(select_device(config.device))
        self.track = load_track(stage.inputs("track_head") / "track.safetensors", int(ingest["clip"]["width"]))
        self.size_px = config.size_px or (self.track.clip_px if config.frame == "full" else self.model.size_px)
        self.renderer = PortraitRenderer(self.model, self.track.camera(self.size_px), samples=config.samples, feather=config.feather)
        rotation, translation_cm = self.model.poses(self.track.rotation, self.track.translation_cm)
        self._recorded = RecordedHead(
            rotation=rotation,
            translation_cm=translation_cm,
            expression=self.model.expression(self.track.mesh_cm, self.track.shape_cm, self.track.expression),
            eye_opening=eye_opening(self.track.mesh_cm),
            shot=longest_shot([tuple(shot) for shot in ingest["shots"]], self.track.tracked),
            fps=float(self.fps),
        )
        background = cv2.imread(str(stage.inputs("segment") / "background.png"))
        self.plate = _scaled(np.asarray(cv2.cvtColor(background, cv2.COLOR_BGR2RGB), np.uint8), self.size_px)
        self.clean_clip, self.clip_labels = stage.inputs("inpaint") / "clean.mkv", stage.inputs("segment") / "labels.mkv"
        self.recording = Recording(
            stage=stage,
            crop=SquareCrop(**ingest["crop"]),
            fps=self.fps,
            clean_clip=self.clean_clip,
            first_frame_s=float(ingest["frame_source_timestamp_s"][0]),
        )
        self._denoise = stage.section(DenoiseConfig, "denoise")
        self._features, self._training = driving_speech(stage)
        self._closed = _closed_mouth(stage, self.model, self.track) if config.silence_gate else None

    def replay(self, frames: int, config: DubConfig) -> RecordingReplay:
        """What lends ``frames`` of a dub their pose, eyes and torso."""
        return replay_recording(self._recorded, frames, config.replay, config.blinks)

    @cached_property
    def visits(self) -> HandVisits:
        """The hands of the replayed shot."""
        return hand_visits(self.recording, self._recorded.shot, head_only=self._config.torso == "source")

    def lip_codes(self, audio: FloatArray, frames: int, config: DubConfig) -> FloatArray:
        """What drives the mouth ``[frames, codes]`` while ``audio`` at 16 kHz is said."""
        clean, _ = denoise(audio, self._denoise)
        codes = spoken_codes(self.model, DrivingFeatures(clean, self.fps, frames, self._features, self._training))
        if self._closed is None:
            return codes
        return gated_codes(codes, voice_activity(clean, self.fps, frames), self._closed, config.silence_fade_frames)


def _origin(stage: Stage, audio: Path, out: Path, config: DubConfig, labels: Labels) -> Origin:
    composite = config.torso == "source" or config.frame == "full"
    remarks = {} if labels.watermark else {"watermark": "switched off by --no-watermark"}
    speech = {"speech": file_sha256(audio)}
    return origin_of(stage, "dub", out.name, speech, stage.consent(), composite=composite, watermark=labels.watermark, remarks=remarks)


def _finish(silent: Path, audio: Path, out: Path, signer: Signer | None, origin: Origin) -> None:
    """Picture and sound in one file, signed unless ``signer`` is None."""
    if signer is None:
        mux(silent, audio, out)
        return
    unsigned = silent.with_name("unsigned.mp4")
    mux(silent, audio, unsigned)
    sign_file(unsigned, out, origin, signer)


def _closed_mouth(stage: Stage, model: SpeakerModel, track: HeadTrack) -> FloatArray:
    """Codes of the closed mouth: lip codes of the training frames with the least opening, or what a listening head heard in them."""
    train = np.flatnonzero(track.tracked[: held_out_start(len(track.tracked))])
    codes = model.lip_codes.encode(track.mesh_cm[train], track.shape_cm)
    opening_cm = model.lip_codes.opening_cm(codes, track.shape_cm)
    if model.lip_encoder is None:
        features = load_features(stage.inputs("speech_features") / "features.safetensors", len(track.tracked))
        codes = model.audio_codes(features)[train]
    return closed_mouth_codes(codes, opening_cm)


@dataclass(frozen=True, kw_only=True)
class _Surroundings:
    """What is seen of a dub's frame beside its head.

    Args:
        behind: ``[size, size, 3]`` in [0, 1], what shows through the head.
        around: ``[size, size, 3]`` in [0, 1].
        labels: ``[height, width]`` of the recorded frame whose clothes stay; None where the torso is rendered.
    """

    behind: FloatArray
    around: FloatArray
    labels: np.ndarray | None = None


def _surroundings(speaker: _Speaker, replay: RecordingReplay, config: DubConfig, stack: ExitStack) -> Callable[[int], _Surroundings]:
    """The surroundings of every row of the dub."""
    plate = speaker.plate
    if config.torso == "field":

        def field(row: int) -> _Surroundings:
            torso = speaker.renderer.torso(replay.rotation[row], replay.translation_cm[row], plate)
            return _Surroundings(behind=torso, around=torso)

        return field
    recorded = stack.enter_context(FrameAccess(speaker.clean_clip))
    labels = stack.enter_context(FrameAccess(speaker.clip_labels, pixels="gray"))

    def source(row: int) -> _Surroundings:
        position = replay.positions[row]
        around = _scaled(recorded.at(position), speaker.size_px)
        return _Surroundings(behind=plate, around=around, labels=labels[round(float(position))])

    return source


def _frames(
    speaker: _Speaker,
    codes: FloatArray,
    replay: RecordingReplay,
    config: DubConfig,
    surroundings: Callable[[int], _Surroundings],
    progress: Callable[[int, int, str], None],
) -> Iterator[tuple[Image, FloatArray]]:
    driven = list(zip(replay.rotation, replay.translation_cm, codes, replay.expression, strict=True))
    for row, head in enumerate(speaker.renderer.heads(driven)):
        seen = surroundings(row)
        if config.region == "lower_face":
            recorded_cm = speaker.track.mesh_cm[round(float(replay.positions[row]))]
            head = head.within(speaker.renderer.speaking(*driven[row], recorded_cm))
        if seen.labels is not None:
            head = head.without(speaker.renderer.clothes(*driven[row], seen.labels))
        yield head.over(seen.behind, seen.around), head.region[..., 0]
        progress(row + 1, len(codes), "dub")


def _scaled(image: Image, size: int) -> FloatArray:
    interpolation = cv2.INTER_AREA if image.shape[0] > size else cv2.INTER_CUBIC
    scaled = image if image.shape[0] == size else cv2.resize(image, (size, size), interpolation=interpolation)
    return scaled.astype(np.float32) / 255


def add_dub_options(parser: argparse.ArgumentParser) -> None:
    """Whom to dub, and how."""
    parser.add_argument("--speaker", required=True)
    parser.add_argument("--frame", choices=["crop", "full"], help="overrides params.yaml")
    parser.add_argument("--no-credentials", action="store_true", help="do not sign the dub; recorded in .talkhead/provenance.jsonl")
    parser.add_argument("--no-watermark", action="store_true", help="leave the invisible mark out; recorded in the dub's credentials")


def dubber_of(arguments: argparse.Namespace) -> Dubber:
    """The dubber that these options ask for, in the folder that is current."""
    stage = Stage(name="dub", speaker=check_speaker_name(arguments.speaker), root=Path.cwd())
    labels = Labels(credentials=not arguments.no_credentials, watermark=not arguments.no_watermark)
    return Dubber(stage, arguments.frame, labels)


def _main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tasks.dub")
    add_dub_options(parser)
    parser.add_argument("--audio", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--debug", action="store_true", help="show tracebacks")
    arguments = parser.parse_args()
    keep_freed_memory()
    with errors_in_one_line("dub", debug=arguments.debug):
        dubber_of(arguments).dub(arguments.audio, arguments.out)


if __name__ == "__main__":
    _main()

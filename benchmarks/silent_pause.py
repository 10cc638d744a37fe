"""What a dub's mouth does in silence: ``python -m benchmarks.silent_pause --workspace W --speaker NAME [--audio A] [--pause 2]``.

The speech (the last seconds of the speaker's own where none is given) gets a pause in its middle, in which the room is heard: noise at -60
dB full scale. A trained speaker dubs it with the silence gate on and off. The mouth's opening (distance of the inner lips over the height
of the face) is measured in both videos, in speech and in those frames of the pause that lie inside it by more than voice activity holds
and the gate fades, beside that of the speaker's own recording where nobody speaks. A row a speaker is kept in
``benchmarks/results/silent_pause.json`` and ``docs/footage.md``; the demo speaker's plot is ``docs/silence.svg``, any other's lies beside
the dubs.
"""

from __future__ import annotations

import argparse
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from benchmarks.benchmark_runs import REPOSITORY
from benchmarks.document_section import write_section
from benchmarks.machine import describe_machine
from talkhead_core.artifacts import read_arrays, read_json, whole_file, write_json
from talkhead_core.audio.denoise import DenoiseConfig, denoise
from talkhead_core.audio.voice_activity import VoiceActivityConfig, voice_activity
from talkhead_core.media.audio_file import SPEECH_SAMPLE_RATE_HZ, read_audio, write_audio
from talkhead_core.media.video_reader import read_frames, video_info
from talkhead_core.metrics.lip_sync import mouth_opening
from talkhead_core.rendering.silence_gate import fade_reach_frames, gate_weight
from talkhead_core.types import FloatArray
from tasks.dub import Dubber, DubConfig
from tasks.evaluate import found_landmarks
from tasks.stage import Stage

_RESULTS = REPOSITORY / "benchmarks" / "results" / "silent_pause.json"
_ROOM_DBFS = -60.0
_OWN_SPEECH_S = 10.0


@dataclass(frozen=True, kw_only=True)
class _GatedStage(Stage):
    """The stage ``dub`` of a speaker with the gate as it is wanted here."""

    gate: bool = True

    def section(self, config: Any, name: str | None = None) -> Any:
        found = super().section(config, name)
        return replace(found, silence_gate=self.gate, frame="crop") if config is DubConfig else found


def main() -> None:
    """Dub, measure, write."""
    arguments = _arguments()
    work = arguments.work / arguments.speaker
    work.mkdir(parents=True, exist_ok=True)
    folder = arguments.workspace / "data" / arguments.speaker
    speech = read_audio(arguments.audio or folder / "denoise" / "audio.wav")
    if arguments.audio is None:
        speech = speech[-round(_OWN_SPEECH_S * SPEECH_SAMPLE_RATE_HZ) :]
    paused, begins_s = with_pause(speech, arguments.pause)
    write_audio(work / "paused.wav", paused, SPEECH_SAMPLE_RATE_HZ)
    openings: dict[str, FloatArray] = {}
    shut_share, span = 0.0, Pause(begins_s=begins_s, seconds=arguments.pause, fps=25.0, edge_frames=0)
    for name, gate in (("gate on", True), ("gate off", False)):
        out = (work / f"{name.replace(' ', '-')}.mp4").resolve()
        stage = _GatedStage(name="dub", speaker=arguments.speaker, root=arguments.workspace.resolve(), gate=gate)
        Dubber(stage).dub(work / "paused.wav", out)
        openings[name] = mouth_opening(found_landmarks(read_frames(out), "mediapipe_face_mesh"))
        fps, fade = video_info(out).fps, stage.section(DubConfig).silence_fade_frames
        span = replace(span, fps=float(fps), edge_frames=edge_frames(float(fps), fade))
        heard, _ = denoise(paused, stage.section(DenoiseConfig, "denoise"))
        weight = gate_weight(voice_activity(heard, fps, len(openings[name])), fade)
        shut_share = float((weight[span.inside(len(weight))] == 0).mean())
    measured = {name: _figures(opening, span) for name, opening in openings.items()}
    measured["recording, silent frames"] = _recorded(folder)
    row = {
        "speech": arguments.audio.name if arguments.audio else f"its own last {_OWN_SPEECH_S:g} s", "pause_s": arguments.pause,
        "pause_begins_s": begins_s, "gate_shut_share": shut_share, "mouth_opening": measured, "machine": describe_machine(),
    }  # fmt: skip
    speakers = (read_json(_RESULTS) if _RESULTS.is_file() else {}).get("speakers", {}) | {arguments.speaker: row}
    write_json(_RESULTS, {"speakers": speakers})
    _plot(openings, span, REPOSITORY / "docs" / "silence.svg" if arguments.speaker == "demo" else work / "silence.svg")
    write_section(REPOSITORY / "docs" / "footage.md", table(speakers), "silence")


@dataclass(frozen=True, kw_only=True)
class Pause:
    """Where the pause lies in a dub.

    Args:
        begins_s: its first moment.
        seconds: its length.
        fps: the dub's rate.
        edge_frames: beside its ends: what fades there is counted neither as speech nor as silence.
    """

    begins_s: float
    seconds: float
    fps: float
    edge_frames: int

    def inside(self, frames: int) -> np.ndarray:
        """Which of so many frames lie in it, ``[frames]`` bool."""
        first, last = self._ends(frames)
        return (first >= self.begins_s + self._edge_s) & (last <= self.begins_s + self.seconds - self._edge_s)

    def outside(self, frames: int) -> np.ndarray:
        """Which of so many frames lie before or after it, ``[frames]`` bool."""
        first, last = self._ends(frames)
        return (last <= self.begins_s - self._edge_s) | (first >= self.begins_s + self.seconds + self._edge_s)

    @property
    def _edge_s(self) -> float:
        return self.edge_frames / self.fps

    def _ends(self, frames: int) -> tuple[FloatArray, FloatArray]:
        first = np.arange(frames) / self.fps
        return first, first + 1 / self.fps


def edge_frames(fps: float, fade_frames: int) -> int:
    """How many frames from its ends the gate is still open in a pause: voice activity holds, the gate fades."""
    activity = VoiceActivityConfig()
    held_s = max(activity.hold_before_ms, activity.hold_after_ms) / 1000
    return math.ceil(held_s * fps) + fade_reach_frames(fade_frames) + 1


def with_pause(speech: FloatArray, pause_s: float) -> tuple[FloatArray, float]:
    """``speech [samples]`` at 16 kHz with a pause where its middle third is quietest; and when the pause begins, s."""
    middle = _quietest_near_middle(speech)
    room = np.random.default_rng(0).normal(0, 10 ** (_ROOM_DBFS / 20), round(pause_s * SPEECH_SAMPLE_RATE_HZ))
    return np.concatenate([speech[:middle], room.astype(np.float32), speech[middle:]]), middle / SPEECH_SAMPLE_RATE_HZ


def table(speakers: dict[str, Any]) -> str:
    """The Markdown of all speakers' rows."""
    rows = [
        "Opening of the inner lips in per cent of the face's height: median, 95th percentile and (largest).",
        "",
        "| speaker | speech, and where the pause begins | video | in speech | in silence | gate shut in the pause |",
        "|---|---|---|---|---|---|",
    ]
    for speaker, row in speakers.items():
        for name, figures in row["mouth_opening"].items():
            cells = [
                f"{100 * part['median']:.2f}, {100 * part['percentile_95']:.2f} ({100 * part['largest']:.2f})" if part else "–"
                for part in (figures.get("speech"), figures.get("silence"))
            ]
            shut = f"{100 * row['gate_shut_share']:.0f} % of {figures['silence']['frames']} frames" if name == "gate on" else ""
            speech = f"{row['speech']}, {row['pause_s']:g} s at {row['pause_begins_s']:.2f} s"
            rows.append(f"| `{speaker}` | {speech} | {name} | {cells[0]} | {cells[1]} | {shut} |")
    return "\n".join(rows)


def _figures(opening: FloatArray, pause: Pause) -> dict[str, dict[str, float] | None]:
    frames = len(opening)
    return {"speech": _summary(opening[pause.outside(frames)]), "silence": _summary(opening[pause.inside(frames)])}


def _recorded(folder: Path) -> dict[str, dict[str, float] | None]:
    """The speaker's own mouth, from the landmarks of its clip, where voice activity hears speech and where not."""
    points = read_arrays(folder / "landmarks" / "landmarks.safetensors")["points"]
    opening = mouth_opening(points)
    clean = read_audio(folder / "denoise" / "audio.wav")
    fps = video_info(folder / "ingest" / "clip.mkv").fps
    active = voice_activity(clean, fps, len(opening))
    return {"speech": _summary(opening[active]), "silence": _summary(opening[~active])}


def _summary(opening: FloatArray) -> dict[str, float] | None:
    """None without a frame that shows a face: some speakers are never silent."""
    found = opening[np.isfinite(opening)]
    if not len(found):
        return None
    return {
        "median": float(np.median(found)),
        "percentile_95": float(np.percentile(found, 95)),
        "largest": float(found.max()),
        "frames": len(found),
    }


def _quietest_near_middle(speech: FloatArray) -> int:
    """The sample in the middle third around which the speech is quietest, so that no word is cut."""
    window = round(0.06 * SPEECH_SAMPLE_RATE_HZ)
    power = np.convolve(speech**2, np.ones(window), mode="same")
    third = len(speech) // 3
    return third + int(np.argmin(power[third : 2 * third]))


def _plot(openings: dict[str, FloatArray], pause: Pause, out: Path) -> None:
    figure = Figure(figsize=(8, 2.6), layout="constrained")
    axes = figure.subplots()
    axes.axvspan(pause.begins_s, pause.begins_s + pause.seconds, color="0.9", label="silence")
    for (name, opening), colour in zip(openings.items(), ("#1b6ca8", "#d1495b"), strict=True):
        axes.plot((np.arange(len(opening)) + 0.5) / pause.fps, 100 * opening, color=colour, linewidth=1.2, label=name)
    axes.set_xlabel("s")
    axes.set_ylabel("opening, % of face height")
    axes.legend(frameon=False, ncols=3)
    with whole_file(out) as temporary:
        figure.savefig(temporary, format="svg", metadata={"Date": None})


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workspace", type=Path, default=REPOSITORY, help="where the speaker is trained")
    parser.add_argument("--speaker", required=True)
    parser.add_argument("--audio", type=Path, help="speech to dub; the end of the speaker's own by default")
    parser.add_argument("--pause", type=float, default=2.0, help="seconds of silence in its middle")
    parser.add_argument("--work", type=Path, default=REPOSITORY / ".talkhead" / "silent_pause", help="where the dubs are kept")
    return parser.parse_args()


if __name__ == "__main__":
    main()

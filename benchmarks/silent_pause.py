"""What a dub's mouth does in silence: ``python -m benchmarks.silent_pause --workspace W --speaker NAME --audio A [--pause 2]``.

The speech gets a pause of digital silence in its middle and is dubbed by a trained speaker with the silence gate on and off. The mouth's
opening (distance of the inner lips over the height of the face) is measured in both videos, in speech and in the pause, beside that of the
speaker's own recording where nobody speaks. Results go to ``benchmarks/results/silent_pause.json``, table and plot to ``docs/footage.md``.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from benchmarks.benchmark_runs import REPOSITORY
from benchmarks.document_section import write_section
from benchmarks.machine import describe_machine
from talkhead_core.artifacts import read_arrays, whole_file, write_json
from talkhead_core.audio.voice_activity import voice_activity
from talkhead_core.media.audio_file import SPEECH_SAMPLE_RATE_HZ, read_audio, write_audio
from talkhead_core.media.video_reader import read_frames, video_info
from talkhead_core.metrics.lip_sync import mouth_opening
from talkhead_core.types import FloatArray
from tasks.dub import DubConfig, dub
from tasks.evaluate import found_landmarks
from tasks.stage import Stage

_EDGE_S = 0.3  # beside the pause's ends: what fades there is counted neither as speech nor as silence


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
    arguments.work.mkdir(parents=True, exist_ok=True)
    speech = read_audio(arguments.audio)
    middle = _quietest_near_middle(speech)
    silence = np.zeros(round(arguments.pause * SPEECH_SAMPLE_RATE_HZ), np.float32)
    paused = arguments.work / "paused.wav"
    write_audio(paused, np.concatenate([speech[:middle], silence, speech[middle:]]), SPEECH_SAMPLE_RATE_HZ)
    begins_s = middle / SPEECH_SAMPLE_RATE_HZ
    openings: dict[str, FloatArray] = {}
    fps = 25.0
    for name, gate in (("gate on", True), ("gate off", False)):
        out = (arguments.work / f"{name.replace(' ', '-')}.mp4").resolve()
        stage = _GatedStage(name="dub", speaker=arguments.speaker, root=arguments.workspace.resolve(), gate=gate)
        dub(stage, paused, out)
        fps = float(video_info(out).fps)
        openings[name] = mouth_opening(found_landmarks(read_frames(out), "mediapipe_face_mesh"))
    figures = {name: _figures(opening, fps, begins_s, arguments.pause) for name, opening in openings.items()}
    figures["recording, silent frames"] = _recorded(arguments.workspace / "data" / arguments.speaker)
    result = {
        "speaker": arguments.speaker, "speech": arguments.audio.name, "pause_s": arguments.pause, "pause_begins_s": begins_s,
        "mouth_opening": figures, "machine": describe_machine(),
    }  # fmt: skip
    write_json(REPOSITORY / "benchmarks" / "results" / "silent_pause.json", result)
    _plot(openings, fps, begins_s, arguments.pause, REPOSITORY / "docs" / "silence.svg")
    write_section(REPOSITORY / "docs" / "footage.md", table(result), "silence")


def table(result: dict[str, Any]) -> str:
    """The Markdown of one result."""
    rows = [
        f"`{result['speech']}` with {result['pause_s']:g} s of silence put in at {result['pause_begins_s']:.2f} s, dubbed by speaker "
        f"`{result['speaker']}`; opening of the inner lips in per cent of the face's height, median (largest).",
        "",
        "| video | in speech | in silence |",
        "|---|---|---|",
    ]
    for name, figures in result["mouth_opening"].items():
        cells = [f"{100 * part['median']:.2f} ({100 * part['largest']:.2f})" if part else "–" for part in map(figures.get, _PARTS)]
        rows.append(f"| {name} | {cells[0]} | {cells[1]} |")
    return "\n".join(rows)


_PARTS = ("speech", "silence")


def _figures(opening: FloatArray, fps: float, begins_s: float, pause_s: float) -> dict[str, dict[str, float]]:
    times = (np.arange(len(opening)) + 0.5) / fps
    silent = (times > begins_s + _EDGE_S) & (times < begins_s + pause_s - _EDGE_S)
    spoken = (times < begins_s - _EDGE_S) | (times > begins_s + pause_s + _EDGE_S)
    return {"speech": _summary(opening[spoken]), "silence": _summary(opening[silent])}


def _recorded(folder: Path) -> dict[str, dict[str, float]]:
    """The speaker's own mouth, from the landmarks of its clip, where voice activity hears speech and where not."""
    points = read_arrays(folder / "landmarks" / "landmarks.safetensors")["points"]
    opening = mouth_opening(points)
    clean = read_audio(folder / "denoise" / "audio.wav")
    fps = video_info(folder / "ingest" / "clip.mkv").fps
    active = voice_activity(clean, fps, len(opening))
    return {"speech": _summary(opening[active]), "silence": _summary(opening[~active])}


def _summary(opening: FloatArray) -> dict[str, float]:
    return {"median": float(np.nanmedian(opening)), "largest": float(np.nanmax(opening)), "frames": int(np.isfinite(opening).sum())}


def _quietest_near_middle(speech: FloatArray) -> int:
    """The sample in the middle third around which the speech is quietest, so that no word is cut."""
    window = round(0.06 * SPEECH_SAMPLE_RATE_HZ)
    power = np.convolve(speech**2, np.ones(window), mode="same")
    third = len(speech) // 3
    return third + int(np.argmin(power[third : 2 * third]))


def _plot(openings: dict[str, FloatArray], fps: float, begins_s: float, pause_s: float, out: Path) -> None:
    figure = Figure(figsize=(8, 2.6), layout="constrained")
    axes = figure.subplots()
    axes.axvspan(begins_s, begins_s + pause_s, color="0.9", label="silence")
    for (name, opening), colour in zip(openings.items(), ("#1b6ca8", "#d1495b"), strict=True):
        axes.plot((np.arange(len(opening)) + 0.5) / fps, 100 * opening, color=colour, linewidth=1.2, label=name)
    axes.set_xlabel("s")
    axes.set_ylabel("opening, % of face height")
    axes.legend(frameon=False, ncols=3)
    with whole_file(out) as temporary:
        figure.savefig(temporary, format="svg", metadata={"Date": None})


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workspace", type=Path, default=REPOSITORY, help="where the speaker is trained")
    parser.add_argument("--speaker", required=True)
    parser.add_argument("--audio", type=Path, required=True, help="speech to dub")
    parser.add_argument("--pause", type=float, default=2.0, help="seconds of silence in its middle")
    parser.add_argument("--work", type=Path, default=REPOSITORY / ".talkhead" / "silent_pause", help="where the dubs are kept")
    return parser.parse_args()


if __name__ == "__main__":
    main()

"""What noise in the driving speech, and denoising it, does to the lips of a trained speaker:

    python -m benchmarks.lips_under_noise --noises FOLDER... [--workspace .] [--speaker demo]... [--snr-db 10 5 0]

The held-out frames are driven by the speaker's own recording, by the same with noise, and by that denoised; protocol ``head``, scored as
stage ``evaluate`` scores. Each ``FOLDER`` holds ``NAME_clean.wav`` and ``NAME_noisy.wav``, whose difference is the noise. Figures go to
``benchmarks/results/lips_under_noise.json`` and the table of ``docs/denoising.md``; a speaker measured before stays.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.document_section import write_section
from benchmarks.machine import describe_machine
from benchmarks.noisy_speech import noises_in, with_noise
from talkhead_core.artifacts import read_json, write_json
from talkhead_core.audio.denoise import DenoiseConfig, denoise
from talkhead_core.audio.features.driving_features import driving_features
from talkhead_core.media.audio_file import read_audio
from talkhead_core.metrics.landmark_scores import landmark_columns
from talkhead_core.metrics.lip_sync import LMD_SIZE_PX
from talkhead_core.metrics.summary import summarise_protocol
from talkhead_core.rendering.portrait_renderer import PortraitRenderer
from talkhead_core.rendering.speaker_model import SpeakerModel
from talkhead_core.training.portrait_dataset import PortraitDataset
from talkhead_core.types import FloatArray, Image
from tasks.driving_speech import driving_speech
from tasks.evaluate import found_landmarks
from tasks.speaker_data import load_dataset, spoken_codes
from tasks.stage import Stage

REPOSITORY = Path(__file__).resolve().parents[1]
RESULT = REPOSITORY / "benchmarks" / "results" / "lips_under_noise.json"
DOCUMENT = REPOSITORY / "docs" / "denoising.md"
_METHODS = ("none", "mss", "auto")
_LANDMARKER = "mediapipe_face_mesh"
_FIGURES = ("mouth_opening_r", "mouth_opening_sd_ratio", "lmd_px512")


@dataclass(frozen=True, kw_only=True, eq=False)
class _Speaker:
    """A trained speaker with its held-out frames ready to be driven."""

    stage: Stage
    model: SpeakerModel
    dataset: PortraitDataset
    renderer: PortraitRenderer
    reference: FloatArray

    @classmethod
    def load(cls, root: Path, name: str) -> _Speaker:
        stage = Stage(name="render", speaker=name, root=root)
        model = SpeakerModel.load(stage.inputs("train_torso"))
        dataset = load_dataset(stage, model.size_px)
        renderer = PortraitRenderer(model, dataset.track.camera(model.size_px))
        reference = found_landmarks(iter(dataset.frames[dataset.held_out_ids]), _LANDMARKER)
        return cls(stage=stage, model=model, dataset=dataset, renderer=renderer, reference=reference)

    def scores(self, audio: FloatArray) -> dict[str, Any]:
        """LMD and mouth opening of the held-out frames when ``audio``, of the whole clip, drives them."""
        dataset, track = self.dataset, self.dataset.track
        features = driving_features(audio, dataset.fps, len(dataset.frames), *driving_speech(self.stage))
        codes = spoken_codes(self.model, features)
        expression = self.model.expression(track.mesh_cm, track.shape_cm, track.expression)
        behind = dataset.plate.astype(np.float32) / 255

        def rendered() -> Iterator[Image]:
            for frame in dataset.held_out_ids:
                head = self.renderer.head(track.rotation[frame], track.translation_cm[frame], codes[frame], expression[frame])
                yield head.over(behind, dataset.frames[frame].astype(np.float32) / 255)

        points = found_landmarks(rendered(), _LANDMARKER)
        columns = pd.DataFrame({"frame_id": dataset.held_out_ids, **landmark_columns(self.reference, points, LMD_SIZE_PX)})
        figures = summarise_protocol(columns, float(dataset.fps))
        return {name: round(figures[name], 3) for name in _FIGURES} | {
            f"{name}_ci95": [round(end, 3) for end in figures["ci95"].get(name, ())] for name in ("mouth_opening_r", "lmd_px512")
        }


def _measured(root: Path, name: str, noises: dict[str, FloatArray], ratios_db: list[float]) -> dict[str, Any]:
    speaker = _Speaker.load(root, name)
    speech = read_audio(speaker.stage.inputs("extract_audio") / "audio.wav")
    rows: list[dict[str, Any]] = []

    def measure(audio: FloatArray, noise: str | None, snr_db: float | None) -> None:
        for method in _METHODS:
            heard, report = denoise(audio, DenoiseConfig(method=method))
            rows.append({"noise": noise, "snr_db": snr_db, "denoise": method, "applied": report["applied"], **speaker.scores(heard)})
            print(name, rows[-1], flush=True)

    measure(speech, None, None)
    for ratio_db in ratios_db:
        for noise, sound in noises.items():
            measure(with_noise(speech, sound, ratio_db), noise, ratio_db)
    return {"frames": len(speaker.dataset.held_out_ids), "size_px": speaker.model.size_px, "rows": rows}


def table(result: dict[str, Any]) -> str:
    """Markdown: means over the noises, a row a speaker and ratio."""
    lines = [
        "| speaker | driven by | " + " | ".join(f"r, {m} | LMD, {m}" for m in ("as it is", *_METHODS[1:])) + " |",
        "|---|---|" + "---|" * 6,
    ]
    for name, measured in result["speakers"].items():
        ratios = sorted({row["snr_db"] for row in measured["rows"] if row["snr_db"] is not None}, reverse=True)
        for ratio in (None, *ratios):
            cells = []
            for method in _METHODS:
                rows = [row for row in measured["rows"] if row["snr_db"] == ratio and row["denoise"] == method]
                cells += [f"{np.mean([row[key] for row in rows]):.2f}" for key in ("mouth_opening_r", "lmd_px512")]
            what = "the recording" if ratio is None else f"with noise at {ratio:g} dB"
            lines.append(f"| {name} ({measured['frames']} frames) | {what} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main(argv: list[str] | None = None) -> int:
    """Measure, write the result and the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--noises", type=Path, nargs="+", required=True, help="folders of NAME_clean.wav and NAME_noisy.wav")
    parser.add_argument("--workspace", type=Path, default=Path(), help="where the speakers were trained")
    parser.add_argument("--speaker", action="append", help="a trained speaker; demo when left out")
    parser.add_argument("--snr-db", type=float, nargs="+", default=[10.0, 5.0, 0.0])
    arguments = parser.parse_args(argv)
    noises = noises_in(arguments.noises)
    result = read_json(RESULT) if RESULT.is_file() else {"speakers": {}}
    result |= {"machine": describe_machine(), "noises": sorted(noises)}
    for name in arguments.speaker or ["demo"]:
        result["speakers"][name] = _measured(arguments.workspace, name, noises, arguments.snr_db)
        write_json(RESULT, result)
    write_section(DOCUMENT, table(result), "lips under noise")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

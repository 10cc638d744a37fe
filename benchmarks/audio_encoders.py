"""Fully connected layers against residual blocks as encoders of noisy speech (RAE-NeRF, figure 9):

    python -m benchmarks.audio_encoders WORKSPACE SPEAKER... --noises FOLDER [--snr-db 5]

The audio encoders of ``synctalk`` (``fc``) and ``rae-nerf`` (``fc_res_block``), each with attention over eight frames and a linear readout,
learn the lip codes of the tracked mesh from the speaker's own speech with noise in it. Both give 64 numbers and see the same draws. Each
``FOLDER`` holds ``NAME_clean.wav`` and ``NAME_noisy.wav``, whose difference is the noise. Loss is the mean squared error of the codes,
which have unit variance; figures go to ``benchmarks/results/audio_encoders.json`` and the table of ``docs/model.md``.
"""

from __future__ import annotations

import argparse
import time
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.document_section import write_section
from benchmarks.machine import describe_machine
from benchmarks.noisy_speech import noises_in, with_noise
from talkhead_core.artifacts import read_json, write_json
from talkhead_core.audio.features import SpeechFeaturesConfig, channel_statistics, create_features, normalise
from talkhead_core.audio.loudness import normalise_loudness
from talkhead_core.encoders.audio_attention import ATTENTION_AFTER, ATTENTION_BEFORE, AudioAttention
from talkhead_core.encoders.audio_encoder import AudioEncoder, AudioEncoderConfig, predict_audio_codes
from talkhead_core.face.lip_codes import LipCodes
from talkhead_core.media.audio_file import read_audio
from talkhead_core.training.portrait_dataset import held_out_start, load_track

REPOSITORY = Path(__file__).resolve().parents[1]
RESULT = REPOSITORY / "benchmarks" / "results" / "audio_encoders.json"
DOCUMENT = REPOSITORY / "docs" / "model.md"
ENCODERS = ("fc", "fc_res_block")
_CODES, _FRAMES_A_STEP, _RATE = 8, 16, 1e-3


def train(
    encoder: str, features: np.ndarray, codes: np.ndarray, train_ids: np.ndarray, seed: int, checks: list[int]
) -> list[dict[str, float]]:
    """Losses on learned and on held-out frames after so many steps each."""
    torch.manual_seed(seed)
    heard = AudioEncoder(AudioEncoderConfig(encoder=encoder, window=features.shape[1], channels=features.shape[2], outputs=64))
    readout = nn.Linear(64, codes.shape[1])
    optimiser = torch.optim.AdamW([*heard.parameters(), *readout.parameters()], lr=_RATE, betas=(0.0, 0.99), weight_decay=0.0)
    padded = np.pad(features, ((ATTENTION_BEFORE, ATTENTION_AFTER), (0, 0), (0, 0))).astype(np.float32)
    generator, rows, offsets = np.random.default_rng(seed), [], np.arange(AudioAttention.frames)
    for step in range(1, checks[-1] + 1):
        frames = generator.choice(train_ids, _FRAMES_A_STEP)
        loss = _error(readout(heard.attended(torch.from_numpy(padded[frames[:, None] + offsets]))), codes[frames])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        if step in checks:
            with torch.no_grad():
                told = readout(torch.from_numpy(predict_audio_codes(heard, features)))
            last = int(train_ids.max()) + 1
            rows.append(
                {
                    "steps": step,
                    "learned": float(_error(told[train_ids], codes[train_ids])),
                    "held_out": float(_error(told[last:], codes[last:])),
                }
            )
    return rows


def _error(told: Tensor, wanted: np.ndarray) -> Tensor:
    return (told - torch.from_numpy(wanted)).square().mean()


def measured(root: Path, speaker: str, noises: dict[str, np.ndarray], snr_db: float, seeds: int, checks: list[int]) -> dict[str, Any]:
    """Both encoders on one speaker under every noise: means over noises and seeds."""
    folder = root / "data" / speaker
    clip = read_json(folder / "ingest" / "ingest.json")["clip"]
    track = load_track(folder / "track_head" / "track.safetensors", int(clip["width"]))
    train_ids = np.flatnonzero(track.tracked[: held_out_start(len(track.tracked))])
    lips = LipCodes.fit(track.mesh_cm[train_ids], track.shape_cm, _CODES)
    codes, speech = lips.encode(track.mesh_cm, track.shape_cm), read_audio(folder / "extract_audio" / "audio.wav")
    extractor = create_features(SpeechFeaturesConfig(window=16))
    found: dict[str, list[list[dict[str, float]]]] = {name: [] for name in ENCODERS}
    seconds = dict.fromkeys(ENCODERS, 0.0)
    for noise, sound in noises.items():
        raw = extractor.extract(normalise_loudness(with_noise(speech, sound, snr_db)), Fraction(clip["fps"]), int(clip["frames"]))
        features = normalise(raw, channel_statistics(raw))
        for seed in range(seeds):
            for name in ENCODERS:
                started = time.process_time()
                found[name].append(train(name, features, codes, train_ids, seed, checks))
                seconds[name] += time.process_time() - started
        print(speaker, noise, {name: found[name][-1][-1] for name in ENCODERS}, flush=True)
    rows = [
        {
            "encoder": name,
            "steps": steps,
            **{kind: round(float(np.mean([run[i][kind] for run in runs])), 4) for kind in ("learned", "held_out")},
        }
        for name, runs in found.items()
        for i, steps in enumerate(checks)
    ]
    runs = seeds * len(noises)
    return {
        "rows": rows,
        "runs": runs,
        "frames": len(codes),
        "processor_seconds_a_run": {n: round(s / runs, 2) for n, s in seconds.items()},
    }


def table(result: dict[str, Any]) -> str:
    """Markdown: a row a speaker and number of steps."""
    lines = ["| speaker | steps | FC: learned | FCResBlocks: learned | FC: held out | FCResBlocks: held out |", "|---|---|---|---|---|---|"]
    for speaker, one in result["speakers"].items():
        by = {(row["encoder"], row["steps"]): row for row in one["rows"]}
        for steps in sorted({row["steps"] for row in one["rows"]}):
            cells = [f"{by[name, steps][kind]:.3f}" for kind in ("learned", "held_out") for name in ENCODERS]
            lines.append(f"| `{speaker}` | {steps} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    """Measure, write the result and the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("workspace", type=Path)
    parser.add_argument("speaker", nargs="+")
    parser.add_argument("--noises", type=Path, nargs="+", required=True)
    parser.add_argument("--snr-db", type=float, default=5.0)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, nargs="+", default=[50, 100, 200, 400])
    arguments = parser.parse_args()
    noises = noises_in(arguments.noises)
    speakers = {
        name: measured(arguments.workspace, name, noises, arguments.snr_db, arguments.seeds, arguments.steps) for name in arguments.speaker
    }
    result = {
        "machine": describe_machine(),
        "snr_db": arguments.snr_db,
        "seeds": arguments.seeds,
        "noises": list(noises),
        "frames_a_step": _FRAMES_A_STEP,
        "speakers": speakers,
    }
    write_json(RESULT, result)
    write_section(DOCUMENT, table(result), "audio encoders")
    print(table(result))


if __name__ == "__main__":
    main()

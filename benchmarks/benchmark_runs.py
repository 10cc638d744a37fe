"""Runs of the quality benchmark: a folder each, stages skipped when they were done, the same training time for all."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from flows.stage_graph import read_stage_graph
from talkhead_core.artifacts import read_json, write_json, write_text
from talkhead_core.consent import Consent, write_consent
from talkhead_core.parameters import merged

__all__ = [
    "PREPARATION",
    "REPOSITORY",
    "RESULTS",
    "TRAINING",
    "BenchmarkRun",
    "budgeted",
    "calibration_params",
    "code_sha256",
    "file_sha256",
    "resolved",
]

REPOSITORY = Path(__file__).resolve().parents[1]
PREPARATION = ("ingest", "extract_audio", "denoise", "speech_features", "landmarks", "track_head", "segment", "flow_masks", "inpaint")
TRAINING = {"train_coarse": "head", "train_fine": "head", "train_torso": "torso"}
"""Training stage -> its section that holds ``iterations``."""
RESULTS = ("render", "evaluate")

_CALIBRATION_STEPS = 150  # the history has a row every 50 steps; the first holds the time to compile the kernels


@dataclass(frozen=True, kw_only=True)
class BenchmarkRun:
    """One folder in which stages run on one clip.

    Args:
        root: a workspace of its own.
        speaker: the name there.
        params: what its ``params.yaml`` holds.
        profile: a key of its ``profiles``.
        config: a key of its ``configs``.
        made_from: what the run rests on beside its parameters, such as the clip's hash.
        say: told what happens.
    """

    root: Path
    speaker: str
    params: Mapping[str, Any]
    profile: str
    config: str
    made_from: str
    say: Callable[[str], None]

    def prepare(self, video: Path, consent: Consent) -> None:
        """Write the workspace's own files; the clip is linked, not copied."""
        raw = self.root / "data" / self.speaker / "raw"
        raw.mkdir(parents=True, exist_ok=True)
        link = raw / f"video{video.suffix.lower()}"
        if not link.is_symlink():
            link.symlink_to(video.resolve())
        entry = {"video": f"data/{self.speaker}/raw/{link.name}", "profile": self.profile, "config": self.config}
        write_text(self.root / "speakers.yaml", yaml.safe_dump({"speakers": {self.speaker: entry}}))
        write_text(self.root / "params.yaml", yaml.safe_dump(dict(self.params), sort_keys=False))
        write_consent(raw / "consent.json", consent)

    def folder(self, stage: str) -> Path:
        """Where a stage writes."""
        return self.root / "data" / self.speaker / stage

    def use(self, other: BenchmarkRun, stages: Sequence[str]) -> None:
        """Take what another run of the same clip wrote."""
        for stage in stages:
            link = self.folder(stage)
            if not link.is_symlink():
                link.symlink_to(other.folder(stage).resolve(), target_is_directory=True)

    def run(self, stages: Sequence[str], upstream: str = "") -> str:
        """Run stages in order, each only when it was not done with the same parameters, code and inputs.

        Returns:
            A signature of all that they rest on.
        """
        signature = upstream or self.made_from
        for stage in stages:
            section = resolved(self.params, self.profile, self.config, stage)
            signature = _hash([stage, section, signature, code_sha256(stage)])
            marker = self.root / "done" / f"{stage}.json"
            if marker.is_file() and read_json(marker)["signature"] == signature:
                continue
            started = time.perf_counter()
            self._run_stage(stage)
            seconds = time.perf_counter() - started
            write_json(marker, {"signature": signature, "seconds": seconds})
            self.say(f"{stage} {seconds:.0f} s")
        return signature

    def seconds(self, stages: Sequence[str]) -> float:
        """Wall time that stages took."""
        return sum(float(read_json(self.root / "done" / f"{stage}.json")["seconds"]) for stage in stages)

    def history(self, stage: str) -> pd.DataFrame:
        """``history.parquet`` of a training stage."""
        return pd.read_parquet(self.folder(stage) / "history.parquet")

    def _run_stage(self, stage: str) -> None:
        environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
        command = [sys.executable, "-m", f"tasks.{stage}", "--speaker", self.speaker]
        result = subprocess.run(command, cwd=self.root, env=environment, capture_output=True, text=True, check=False)
        if result.returncode:
            lines = [line for line in result.stderr.splitlines() if line.strip()] or [f"exit code {result.returncode}"]
            raise RuntimeError(f"{self.root.name}: {lines[-1]}")


def resolved(params: Mapping[str, Any], profile: str, config: str, section: str) -> dict[str, Any]:
    """A section as the stages resolve it: its own values, then the profile's, then the configuration's."""
    layers = (params["profiles"][profile] or {}, params["configs"][config] or {})
    return merged(params.get(section), *(layer.get(section) for layer in layers))


def calibration_params(params: Mapping[str, Any], config: str) -> dict[str, Any]:
    """Parameters that train a little, to see how fast this machine is with this configuration."""
    short: dict[str, Any] = {stage: {section: {"iterations": _CALIBRATION_STEPS}} for stage, section in TRAINING.items()}
    short["train_coarse"]["lips"] = {"iterations": 1}
    return _with_override(params, config, short)


def budgeted(params: Mapping[str, Any], profile: str, config: str, calibration: BenchmarkRun, minutes: float) -> dict[str, Any]:
    """Parameters whose training takes about ``minutes`` on this machine, split over the stages as the profile splits its iterations.

    Args:
        params: of the repository.
        profile: a key of ``profiles``.
        config: a key of ``configs``.
        calibration: a run that was trained a little.
        minutes: for the steps of coarse, fine and torso training together.
    """
    wanted = {stage: int(resolved(params, profile, config, stage)[section]["iterations"]) for stage, section in TRAINING.items()}
    seconds_a_step = {stage: _seconds_a_step(calibration.history(stage)) for stage in TRAINING}
    scale = 60.0 * minutes / sum(wanted[stage] * seconds_a_step[stage] for stage in TRAINING)
    steps = {stage: {TRAINING[stage]: {"iterations": max(1, round(scale * wanted[stage]))}} for stage in TRAINING}
    return _with_override(params, config, steps)


def _seconds_a_step(history: pd.DataFrame) -> float:
    first, last = history.iloc[0], history.iloc[-1]
    return float((last["seconds"] - first["seconds"]) / (last["step"] - first["step"]))


def _with_override(params: Mapping[str, Any], config: str, override: Mapping[str, Any]) -> dict[str, Any]:
    return merged(params, {"configs": {config: merged(params["configs"][config], override)}})


@cache
def code_sha256(stage: str | None = None) -> str:
    """Of the code that ``dvc.yaml`` says a stage runs, or all stages: figures of one code are never mixed with another's."""
    nodes = [node for node in read_stage_graph(REPOSITORY) if stage is None or node.name == stage]
    parts = sorted({path for node in nodes for path in node.inputs if path.startswith(("talkhead_core", "tasks"))})
    digest = hashlib.sha256()
    for part in parts:
        whole = REPOSITORY / part
        for path in sorted(whole.rglob("*.py")) if whole.is_dir() else [whole]:
            digest.update(f"{path.relative_to(REPOSITORY)}\n".encode() + path.read_bytes())
    return digest.hexdigest()


def file_sha256(path: Path) -> str:
    """Of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _hash(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()

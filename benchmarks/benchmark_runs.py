"""Runs of the quality benchmark: a folder each, stages skipped when they were done, the same training time for all."""

from __future__ import annotations

import hashlib
import json
import os
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import yaml

from flows.stage_graph import read_stage_graph
from talkhead_core.artifacts import read_json, write_json, write_text
from talkhead_core.consent import Consent, write_consent
from talkhead_core.errors import InputError
from talkhead_core.parameters import merged

__all__ = [
    "PREPARATION",
    "REPOSITORY",
    "RESULTS",
    "TRAINING",
    "BenchmarkRun",
    "Clock",
    "budgeted",
    "calibration_params",
    "code_sha256",
    "file_sha256",
    "resolved",
    "training_key",
    "warm_up_params",
]

REPOSITORY = Path(__file__).resolve().parents[1]
PREPARATION = ("ingest", "extract_audio", "denoise", "speech_features", "landmarks", "track_head", "segment", "flow_masks", "inpaint")
TRAINING = {"train_coarse": "head", "train_fine": "head", "train_torso": "torso"}
"""Training stage -> its section that holds ``iterations``."""
RESULTS = ("render", "evaluate")

Clock = Literal["wall", "processor"]
"""What a minute is: of the wall, or of processor time over cores, which other work on the machine does not lengthen."""

_CALIBRATION_STEPS = 50


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

    def share(self, other: BenchmarkRun, stages: Sequence[str]) -> None:
        """Take what another run of the same clip wrote and this one would write alike."""
        mine, theirs = self.signatures(), other.signatures()
        for stage in stages:
            if mine[stage] == theirs[stage] and other._is_done(stage, theirs[stage]) and not self._is_done(stage, mine[stage]):
                self._forget(stage)
                if self.folder(stage).is_dir():
                    shutil.rmtree(self.folder(stage))
                self.folder(stage).symlink_to(other.folder(stage).resolve(), target_is_directory=True)
                write_json(self._marker(stage), read_json(other._marker(stage)))

    def run(self, stages: Sequence[str]) -> None:
        """Run stages in order, each only when it was not done with the same parameters, code and inputs."""
        signatures = self.signatures()
        for stage in stages:
            if self._is_done(stage, signatures[stage]):
                continue
            self._forget(stage)
            started, processor = time.perf_counter(), _processor_seconds()
            self._run_stage(stage)
            seconds, processor = time.perf_counter() - started, _processor_seconds() - processor
            took = {"seconds": seconds, "processor_seconds": processor, "cores": len(os.sched_getaffinity(0))}
            write_json(self._marker(stage), {"signature": signatures[stage], **took})
            self.say(f"{stage} {seconds:.0f} s")

    def has_run(self, stages: Sequence[str]) -> bool:
        """Whether stages are done, on whatever clip."""
        return all(self._marker(stage).is_file() for stage in stages)

    def signatures(self) -> dict[str, str]:
        """Of every stage: of its parameters, its code, the clip, and what it reads of earlier stages."""
        made: dict[str, str] = {}
        for node in read_stage_graph(REPOSITORY):
            section = resolved(self.params, self.profile, self.config, node.name)
            made[node.name] = _hash([node.name, section, code_sha256(node.name), self.made_from, [made[name] for name in node.upstream]])
        return made

    def seconds(self, stages: Sequence[str], clock: Clock = "wall") -> float:
        """Time that stages took."""
        return sum(float(read_json(self._marker(stage))["seconds"]) * self._idle_share(stage, clock) for stage in stages)

    def step_seconds(self, stage: str, clock: Clock = "wall") -> pd.Series:
        """Time into a training stage's steps, a row for every row of its history; loading and learning lips precede it."""
        return self.history(stage)["seconds"] * self._idle_share(stage, clock)

    def history(self, stage: str) -> pd.DataFrame:
        """``history.parquet`` of a training stage."""
        return pd.read_parquet(self.folder(stage) / "history.parquet")

    def _idle_share(self, stage: str, clock: Clock) -> float:
        """What wall time shrinks by on idle cores."""
        if clock == "wall":
            return 1.0
        took = read_json(self._marker(stage))
        return float(took["processor_seconds"]) / int(took["cores"]) / float(took["seconds"])

    def _marker(self, stage: str) -> Path:
        return self.root / "done" / f"{stage}.json"

    def _is_done(self, stage: str, signature: str) -> bool:
        return self._marker(stage).is_file() and read_json(self._marker(stage))["signature"] == signature

    def _forget(self, stage: str) -> None:
        """What this run has of a stage is of no use any more; another run's folder is only let go."""
        self._marker(stage).unlink(missing_ok=True)
        if self.folder(stage).is_symlink():
            self.folder(stage).unlink()

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
    return _with_override(params, config, {stage: _steps(stage, _CALIBRATION_STEPS) for stage in TRAINING})


def training_key(params: Mapping[str, Any], run: BenchmarkRun) -> str:
    """Of what decides how long a training step takes, whatever the clip: parameters and code of the training stages."""
    sections = [resolved(params, run.profile, run.config, stage) for stage in TRAINING]
    return _hash([sections, [code_sha256(stage) for stage in TRAINING]])[:8]


def warm_up_params(params: Mapping[str, Any], config: str) -> dict[str, Any]:
    """Parameters that hardly train: the kernels are compiled, which happens once on a machine and is nobody's training time."""
    short: dict[str, Any] = {stage: _steps(stage, 2) for stage in TRAINING}
    short["train_coarse"]["lips"] = {"iterations": 1}
    return _with_override(params, config, short)


def budgeted(
    params: Mapping[str, Any], profile: str, config: str, calibration: BenchmarkRun, minutes: float, clock: Clock = "wall"
) -> dict[str, Any]:
    """Parameters whose training takes about ``minutes`` on this machine, its steps split as the profile splits its iterations.

    Args:
        params: of the repository.
        profile: a key of ``profiles``.
        config: a key of ``configs``.
        calibration: a run that was trained a little.
        minutes: for the training stages from start to end: loading, learning lips and steps.
        clock: whose minutes.

    Raises:
        InputError: the minutes are gone before the first step.
    """
    wanted = {stage: int(resolved(params, profile, config, stage)[section]["iterations"]) for stage, section in TRAINING.items()}
    a_step = {stage: _seconds_a_step(calibration, stage, clock) for stage in TRAINING}
    before_steps = calibration.seconds(list(TRAINING), clock) - sum(a_step[stage] * _CALIBRATION_STEPS for stage in TRAINING)
    left = 60.0 * minutes - before_steps
    if left <= 0:
        raise InputError(f"{calibration.speaker}, {config}: loading and learning lips alone take {before_steps:.0f} s; give more minutes")
    scale = left / sum(wanted[stage] * a_step[stage] for stage in TRAINING)
    steps = {stage: _steps(stage, max(1, round(scale * wanted[stage]))) for stage in TRAINING}
    return _with_override(params, config, steps)


def _steps(stage: str, number: int) -> dict[str, dict[str, int]]:
    """Whatever head is trained."""
    section = TRAINING[stage]
    return {section: {"iterations": number} | ({"marched_iterations": 0} if section == "head" else {})}


def _seconds_a_step(calibration: BenchmarkRun, stage: str, clock: Clock) -> float:
    return float(calibration.step_seconds(stage, clock).iloc[-1] / calibration.history(stage)["step"].iloc[-1])


def _processor_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


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

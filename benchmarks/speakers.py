"""How good the configurations are on a folder of clips, each trained for the same time:

    python -m benchmarks.speakers --clips FOLDER --consent "who, what for" [--minutes 5] [--config talkhead]... [--profile cpu]

Every clip is prepared once; every configuration of ``params.yaml`` (or those named) is trained on it for the same minutes, rendered and
evaluated. What was done is kept in ``--work`` and skipped by the same command, so that it can be stopped at any time. Figures, machine
and versions go to ``benchmarks/results/speakers.json`` and the table to ``docs/benchmark.md``; no footage does. Without ``--clips`` the
demo speaker is the only clip.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import yaml

from benchmarks.benchmark_runs import (
    PREPARATION,
    REPOSITORY,
    RESULTS,
    TRAINING,
    BenchmarkRun,
    budgeted,
    calibration_params,
    code_sha256,
    file_sha256,
    resolved,
)
from benchmarks.machine import describe_machine
from benchmarks.speakers_table import write_table
from flows.speaker_registration import consent_from_statement
from talkhead_core.artifacts import read_json, write_json
from talkhead_core.consent import Consent
from talkhead_core.errors import InputError, TalkheadError

_SUFFIXES = {".mp4", ".mkv", ".mov", ".avi", ".webm", ".m4v"}
_FIGURES = (
    "psnr_full", "psnr_head", "psnr_face", "psnr_mouth", "psnr_torso", "ssim", "ms_ssim", "lpips", "fid", "niqe", "brisque", "lmd_px512",
    "lmd_percent", "lse_c", "lse_d", "aue", "mouth_opening_r", "mouth_opening_sd_ratio", "jitter_px512", "flicker_levels", "seam_levels",
    "frames",
)  # fmt: skip


def main(argv: list[str] | None = None) -> int:
    """Run what is missing, write the result and the table; 1 when a run failed (the others are written)."""
    arguments = _arguments(argv)
    try:
        clips, consent = _clips(arguments)
        params = yaml.safe_load((REPOSITORY / "params.yaml").read_text())
        configs = arguments.config or list(params["configs"])
        for kind, names in (("configs", configs), ("profiles", [arguments.profile])):
            if unknown := set(names) - set(params[kind]):
                raise InputError(f"params.yaml has no {', '.join(sorted(unknown))} among its {kind}; choose of {', '.join(params[kind])}")
    except TalkheadError as error:
        sys.stderr.write(f"benchmark: {error}\n")
        return 1
    machine = describe_machine()
    results: dict[str, Any] = {}
    failures: dict[str, str] = {}
    for clip in clips:
        for config in configs:
            name = f"{clip.stem} {config}"
            try:
                results.setdefault(clip.stem, {"clip": None, "runs": {}})
                results[clip.stem]["runs"][config] = _run(arguments, clip, consent, params, config)
                results[clip.stem]["clip"] = _about(arguments.work, clip)
            except (RuntimeError, TalkheadError) as error:
                failures[name] = str(error)
                print(f"{name}: {error}")
            write_json(arguments.out, _document(arguments, machine, results, failures))
    write_table(read_json(arguments.out), arguments.document)
    print(f"{arguments.out}\n{arguments.document}")
    return 1 if failures else 0


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=Path, help="a folder of portrait videos; the demo speaker's when left out")
    parser.add_argument("--consent", help='"who, what for": that the people shown have agreed to be trained')
    parser.add_argument("--minutes", type=float, default=5.0, help="training steps of each run, coarse, fine and torso together")
    parser.add_argument("--config", action="append", help="a configuration of params.yaml; all of them when left out")
    parser.add_argument("--profile", default="cpu", help="a profile of params.yaml: size, and how time is split between the stages")
    parser.add_argument("--work", type=Path, default=REPOSITORY / ".talkhead" / "benchmark", help="where runs are kept")
    parser.add_argument("--out", type=Path, default=REPOSITORY / "benchmarks" / "results" / "speakers.json")
    parser.add_argument("--document", type=Path, default=REPOSITORY / "docs" / "benchmark.md")
    return parser.parse_args(argv)


def _clips(arguments: argparse.Namespace) -> tuple[list[Path], Consent]:
    if arguments.minutes <= 0:
        raise InputError("--minutes must be above 0")
    if arguments.clips is None:
        folder = arguments.work / "demo"
        if not (folder / "video.mp4").is_file():
            command = [sys.executable, "-m", "tasks.make_demo", "--out", str(folder.resolve()), "--profile", arguments.profile]
            subprocess.run(command, cwd=REPOSITORY, check=True, stdout=subprocess.DEVNULL)
        demo = folder / "demo.mp4"
        if not demo.is_symlink():
            demo.symlink_to("video.mp4")
        return [demo], consent_from_statement("nobody, the demo speaker is no real person", synthetic=True)
    if not arguments.clips.is_dir():
        raise InputError(f"{arguments.clips}: is no folder; give a folder of portrait videos")
    clips = sorted(path for path in arguments.clips.iterdir() if path.suffix.lower() in _SUFFIXES)
    if not clips:
        raise InputError(f"{arguments.clips}: holds no video")
    if not arguments.consent:
        raise InputError('nobody is trained without having agreed: give --consent "who, what for"')
    return clips, consent_from_statement(arguments.consent)


def _run(arguments: argparse.Namespace, clip: Path, consent: Consent, params: dict[str, Any], config: str) -> dict[str, Any]:
    """Prepare, calibrate, train for the same time, render, evaluate one clip with one configuration."""
    speaker = _speaker_name(clip)
    work = arguments.work.resolve() / speaker
    preparation_key = _preparation_key(params, arguments.profile, config)

    def say(text: str) -> None:
        print(f"{clip.stem:<20} {config:<14} {text}", flush=True)

    common = {"speaker": speaker, "profile": arguments.profile, "config": config, "made_from": file_sha256(clip), "say": say}
    prepared = BenchmarkRun(root=work / f"preparation-{preparation_key}", params=params, **common)
    prepared.prepare(clip, consent)
    upstream = prepared.run(PREPARATION)
    calibration = BenchmarkRun(root=work / config / "calibration", params=calibration_params(params, config), **common)
    calibration.prepare(clip, consent)
    calibration.use(prepared, PREPARATION)
    calibration.run(list(TRAINING), upstream)
    budget = budgeted(params, arguments.profile, config, calibration, arguments.minutes)
    run = BenchmarkRun(root=work / config / f"{arguments.minutes:g}-minutes", params=budget, **common)
    run.prepare(clip, consent)
    run.use(prepared, PREPARATION)
    run.run([*TRAINING, *RESULTS], upstream)
    return _figures(run, prepared)


def _preparation_key(params: dict[str, Any], profile: str, config: str) -> str:
    """Configurations that prepare alike share the preparation."""
    alike = [
        other
        for other in params["configs"]
        if all(resolved(params, profile, other, stage) == resolved(params, profile, config, stage) for stage in PREPARATION)
    ]
    return alike[0]


def _figures(run: BenchmarkRun, prepared: BenchmarkRun) -> dict[str, Any]:
    metrics = read_json(run.folder("evaluate") / "metrics.json")
    protocols = {
        name: {key: _rounded(figures[key]) for key in _FIGURES if key in figures}
        | {"ci95": {key: [_rounded(end) for end in ends] for key, ends in figures["ci95"].items() if key in _FIGURES}}
        for name, figures in metrics["protocols"].items()
    }
    histories = {stage: run.history(stage) for stage in TRAINING}
    return {
        "protocols": protocols,
        "comparisons": {
            name: {key: _rounded(value) for key, value in figures.items() if key != "ci95"}
            | {"ci95": {key: [_rounded(end) for end in ends] for key, ends in figures.get("ci95", {}).items()}}
            for name, figures in metrics["comparisons"].items()
        },
        "not_available": {name: reason.replace(f"{run.root}/", "") for name, reason in metrics["not_available"].items()},
        "steps": {stage: int(history["step"].max()) for stage, history in histories.items()},
        "training_minutes": round(sum(float(history["seconds"].max()) for history in histories.values()) / 60, 2),
        "training_stages_wall_minutes": round(run.seconds(list(TRAINING)) / 60, 2),
        "preparation_wall_minutes": round(prepared.seconds(PREPARATION) / 60, 2),
        "render_seconds_a_frame": _rounded(read_json(run.folder("render") / "render.json")["seconds_per_frame"]),
        "size_px": int(read_json(run.folder("render") / "render.json")["size_px"]),
    }


def _about(work: Path, clip: Path) -> dict[str, Any]:
    speaker = _speaker_name(clip)
    ingest = read_json(next((work.resolve() / speaker).glob(f"preparation-*/data/{speaker}/ingest/ingest.json")))
    source, made = ingest["source"], ingest["clip"]
    return {
        "sha256": source["sha256"],
        "source_px": f"{source['width']}x{source['height']}",
        "clip_px": made["width"],
        "frames": made["frames"],
        "seconds": round(float(made["frames"] / Fraction(made["fps"])), 2),
    }


def _document(arguments: argparse.Namespace, machine: dict[str, Any], results: dict[str, Any], failures: dict[str, str]) -> dict[str, Any]:
    settings = {"minutes": arguments.minutes, "profile": arguments.profile, "code_sha256": code_sha256()}
    done = {name: result for name, result in results.items() if result["runs"]}
    return {"machine": machine, "settings": settings, "clips": done, "failures": failures}


def _speaker_name(clip: Path) -> str:
    name = re.sub(r"[^a-z0-9_-]+", "-", clip.stem.lower()).strip("-_")
    return name[:64] or "clip"


def _rounded(value: Any) -> Any:
    return round(value, 4) if isinstance(value, float) else value


if __name__ == "__main__":
    try:
        raise SystemExit(main())
    except KeyboardInterrupt:
        sys.stderr.write("benchmark: stopped; the same command picks up where it stood\n")
        raise SystemExit(130) from None

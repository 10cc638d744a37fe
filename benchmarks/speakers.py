"""How good the configurations are on a folder of clips, each trained for the same time:

    python -m benchmarks.speakers --clips FOLDER --consent "who, what for" [--minutes 5] [--config talkhead]... [--profile cpu] [--size 128]

Every clip is prepared once; every configuration of ``params.yaml`` (or those named) is trained on it for the same minutes, rendered and
evaluated. The minutes are those of the training stages from start to end, so that what a configuration learns before its first step counts
as well. ``--also-minutes`` (on ``--also-on`` clips) adds whole trainings of other lengths: quality against time. What was done is kept in
``--work`` and skipped by the same command, so that it can be stopped at any time. Figures, machine and versions go to
``benchmarks/results/speakers.json``, tables and plot to ``docs/benchmark.md`` and to a page, ``out/benchmark.html``; no footage does.
Without ``--clips`` the demo speaker is the only clip.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import ffmpeg
import yaml

from benchmarks.benchmark_runs import (
    PREPARATION,
    REPOSITORY,
    RESULTS,
    TRAINING,
    BenchmarkRun,
    Clock,
    budgeted,
    calibration_params,
    code_sha256,
    file_sha256,
    training_key,
    warm_up_params,
)
from benchmarks.machine import describe_machine
from benchmarks.speakers_page import write_page
from benchmarks.speakers_table import write_table
from flows.speaker_registration import consent_from_statement
from talkhead_core.artifacts import read_json, whole_file, write_json
from talkhead_core.consent import Consent
from talkhead_core.errors import InputError, TalkheadError
from talkhead_core.media.ffmpeg_binary import run_graph
from talkhead_core.media.probe import probe_video

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
        if arguments.size:
            params["train_coarse"]["size_px"] = arguments.size
            for profile in params["profiles"].values():
                profile["train_coarse"] = {**profile["train_coarse"], "size_px": arguments.size}
        for kind, names in (("configs", configs), ("profiles", [arguments.profile])):
            if unknown := set(names) - set(params[kind]):
                raise InputError(f"params.yaml has no {', '.join(sorted(unknown))} among its {kind}; choose of {', '.join(params[kind])}")
    except TalkheadError as error:
        sys.stderr.write(f"benchmark: {error}\n")
        return 1
    machine = describe_machine()
    results: dict[str, Any] = {}
    failures: dict[str, str] = {}
    for clip, config, minutes in _wanted(arguments, clips, configs):
        result = results.setdefault(clip.stem, {"clip": None, "runs": {}, "over_time": {}})
        try:
            figures = _run(arguments, clip, consent, params, config, minutes)
        except (RuntimeError, TalkheadError) as error:
            failures[f"{clip.stem} {config}, {minutes:g} minutes"] = str(error)
            print(f"{clip.stem} {config}, {minutes:g} minutes: {error}", flush=True)
        else:
            result["clip"] = _about(arguments.work, clip)
            if minutes == arguments.minutes:
                result["runs"][config] = figures
            if arguments.also_minutes:
                result["over_time"].setdefault(config, {})[f"{minutes:g}"] = _over_time(figures)
        write_json(arguments.out, _document(arguments, machine, results, failures))
    write_table(read_json(arguments.out), arguments.document, arguments.out.stem)
    write_page(read_json(arguments.out), arguments.page)
    print(f"{arguments.out}\n{arguments.document}\n{arguments.page}")
    return 1 if failures else 0


def _wanted(arguments: argparse.Namespace, clips: list[Path], configs: list[str]) -> list[tuple[Path, str, float]]:
    """The table's runs first, then those that show quality against time."""
    table = [(clip, config, arguments.minutes) for clip in clips for config in configs]
    curved = [clip for clip in clips if not arguments.also_on or clip.stem in arguments.also_on]
    return table + [(clip, config, minutes) for clip in curved for minutes in sorted(arguments.also_minutes) for config in configs]


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=Path, help="a folder of portrait videos; the demo speaker's when left out")
    parser.add_argument("--consent", help='"who, what for": that the people shown have agreed to be trained')
    parser.add_argument("--minutes", type=float, default=5.0, help="of training a run: its coarse, fine and torso stages from start to end")
    parser.add_argument("--also-minutes", type=float, nargs="*", default=[], help="further trainings, for quality against time")
    parser.add_argument("--also-on", action="append", help="a clip's name without suffix: further trainings on it alone; else on all")
    parser.add_argument("--clock", choices=["wall", "processor"], default="wall", help="processor: time of all cores over their number")
    parser.add_argument("--seconds", type=float, help="take only so much of a longer clip, from its beginning")
    parser.add_argument("--size", type=int, help="side of the frames trained on and rendered, px; the profile's when left out")
    parser.add_argument("--config", action="append", help="a configuration of params.yaml; all of them when left out")
    parser.add_argument("--profile", default="cpu", help="a profile of params.yaml: size, and how time is split between the stages")
    parser.add_argument("--work", type=Path, default=REPOSITORY / ".talkhead" / "benchmark", help="where runs are kept")
    parser.add_argument("--out", type=Path, default=REPOSITORY / "benchmarks" / "results" / "speakers.json")
    parser.add_argument("--document", type=Path, default=REPOSITORY / "docs" / "benchmark.md")
    parser.add_argument("--page", type=Path, default=REPOSITORY / "out" / "benchmark.html")
    return parser.parse_args(argv)


def _clips(arguments: argparse.Namespace) -> tuple[list[Path], Consent]:
    if min(arguments.minutes, *arguments.also_minutes, 1.0) <= 0:
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
    if arguments.seconds:
        clips = [_beginning(clip, arguments.seconds, arguments.work / "clips") for clip in clips]
    if not arguments.consent:
        raise InputError('nobody is trained without having agreed: give --consent "who, what for"')
    return clips, consent_from_statement(arguments.consent)


def _beginning(clip: Path, seconds: float, folder: Path) -> Path:
    """The first part of a longer clip, encoded once."""
    target = folder / f"{seconds:g}-s" / f"{clip.stem}.mp4"
    if probe_video(clip).duration_s <= seconds + 0.5:
        return clip
    if not target.is_file():
        with whole_file(target) as temporary:
            part = ffmpeg.input(f"file:{clip}", t=seconds)
            run_graph(
                ffmpeg.output(part, f"file:{temporary}", vcodec="libx264", crf=10, acodec="aac", audio_bitrate="192k", format="mp4"), clip
            )
    return target


def _run(
    arguments: argparse.Namespace, clip: Path, consent: Consent, params: dict[str, Any], config: str, minutes: float
) -> dict[str, Any]:
    """Prepare, calibrate, train for the same time, render, evaluate one clip with one configuration."""
    speaker = _speaker_name(clip)
    work = arguments.work.resolve() / speaker

    def say(text: str) -> None:
        print(f"{clip.stem:<20} {config:<14} {text}", flush=True)

    common = {"speaker": speaker, "profile": arguments.profile, "made_from": file_sha256(clip), "say": say}
    prepared = BenchmarkRun(root=work / config / "preparation", params=params, config=config, **common)
    prepared.prepare(clip, consent)
    for other in params["configs"]:
        prepared.share(BenchmarkRun(root=work / other / "preparation", params=params, config=other, **common), PREPARATION)
    prepared.run(PREPARATION)
    calibration = _calibrated(arguments.work.resolve() / "calibration", prepared, clip, consent)
    budget = budgeted(params, arguments.profile, config, calibration, minutes, arguments.clock)
    run = BenchmarkRun(root=work / config / f"{minutes:g}-minutes", params=budget, config=config, **common)
    run.prepare(clip, consent)
    run.share(prepared, PREPARATION)
    run.run([*TRAINING, *RESULTS])
    return _figures(run, prepared, arguments.clock)


def _calibrated(folder: Path, prepared: BenchmarkRun, clip: Path, consent: Consent) -> BenchmarkRun:
    """A configuration trained a little, on the first clip that asks: how fast this machine is with it, kernels compiled before."""
    stages, run = list(TRAINING), prepared
    for kind, shortened in (("warm-up", warm_up_params), ("timed", calibration_params)):
        params = shortened(prepared.params, prepared.config)
        root = folder / f"{prepared.config}-{kind}-{training_key(params, prepared)}"
        run = replace(prepared, root=root, params=params, speaker="calibration")  # read by other clips, too
        if not run.has_run(stages):
            run.prepare(clip, consent)
            run.share(prepared, PREPARATION)
            run.run(stages)
    return run


def _figures(run: BenchmarkRun, prepared: BenchmarkRun, clock: Clock) -> dict[str, Any]:
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
        "training_minutes": round(run.seconds(list(TRAINING), clock) / 60, 2),
        "step_minutes": round(sum(float(run.step_seconds(stage, clock).max()) for stage in TRAINING) / 60, 2),
        "preparation_minutes": round(prepared.seconds(PREPARATION, clock) / 60, 2),
        "render_seconds_a_frame": _rounded(read_json(run.folder("render") / "render.json")["seconds_per_frame"]),
        "size_px": int(read_json(run.folder("render") / "render.json")["size_px"]),
    }


def _over_time(figures: dict[str, Any]) -> dict[str, Any]:
    own = figures["protocols"]["head/self"]
    return {"training_minutes": figures["training_minutes"], "steps": figures["steps"], "head/self": own}


def _about(work: Path, clip: Path) -> dict[str, Any]:
    speaker = _speaker_name(clip)
    ingest = read_json(next((work.resolve() / speaker).glob(f"*/preparation/data/{speaker}/ingest/ingest.json")))
    source, made = ingest["source"], ingest["clip"]
    return {
        "sha256": source["sha256"],
        "source_px": f"{source['width']}x{source['height']}",
        "clip_px": made["width"],
        "frames": made["frames"],
        "seconds": round(float(made["frames"] / Fraction(made["fps"])), 2),
    }


def _document(arguments: argparse.Namespace, machine: dict[str, Any], results: dict[str, Any], failures: dict[str, str]) -> dict[str, Any]:
    settings = {
        "seconds": arguments.seconds,
        "minutes": arguments.minutes,
        "counted": "the training stages from start to end",
        "clock": arguments.clock,
        "profile": arguments.profile,
        "code_sha256": code_sha256(),
    }
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

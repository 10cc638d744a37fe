"""The benchmark a third party reruns: equal time, nothing done twice, consent asked for, the table made from the result alone."""

from __future__ import annotations

import argparse
import os
import re
import shlex
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from benchmarks import speakers
from benchmarks.benchmark_runs import TRAINING, BenchmarkRun, Clock, budgeted, calibration_params, code_sha256, resolved
from benchmarks.speakers_page import write_page
from benchmarks.speakers_table import tables, write_table
from flows.speaker_registration import consent_from_statement
from talkhead_core.artifacts import read_json, write_json
from talkhead_core.errors import InputError

ROOT = Path(__file__).parents[1]
PARAMS = yaml.safe_load((ROOT / "params.yaml").read_text())

_TOY = """
import pathlib, sys, yaml
name, speaker = sys.argv[0].rsplit("/", 1)[1][:-3], sys.argv[2]
if pathlib.Path("broken").exists() and name == "denoise":
    sys.exit("denoise: the toy is broken; mend it")
with open("ran.txt", "a") as log:
    log.write(name + " ")
folder = pathlib.Path("data", speaker, name)
folder.mkdir(parents=True, exist_ok=True)
(folder / "made").write_text(str(yaml.safe_load(open("params.yaml"))[name]))
"""
STAGES = ("ingest", "denoise", "landmarks")


def _run(root: Path, params: dict[str, Any], said: list[str]) -> BenchmarkRun:
    return BenchmarkRun(root=root, speaker="ada", params=params, profile="cpu", config="talkhead", made_from="clip", say=said.append)


@pytest.fixture
def toy(tmp_path: Path) -> BenchmarkRun:
    """A run whose stages are toys: `python -m` looks in the working directory first."""
    root = tmp_path / "run"
    (root / "tasks").mkdir(parents=True)
    (root / "tasks" / "__init__.py").write_text("")
    for name in (*STAGES, "segment"):
        (root / "tasks" / f"{name}.py").write_text(_TOY)
    (tmp_path / "clip.mp4").write_bytes(b"clip")
    run = _run(root, PARAMS, [])
    run.prepare(tmp_path / "clip.mp4", consent_from_statement("nobody, tests", synthetic=True))
    return run


def _ran(run: BenchmarkRun) -> list[str]:
    log = run.root / "ran.txt"
    names = log.read_text().split() if log.exists() else []
    log.unlink(missing_ok=True)
    return names


def test_what_was_done_is_not_done_again(toy: BenchmarkRun) -> None:
    (toy.root / "broken").write_text("")
    with pytest.raises(RuntimeError, match="denoise: the toy is broken; mend it"):
        toy.run(STAGES)
    assert _ran(toy) == ["ingest"]
    (toy.root / "broken").unlink()
    toy.run(STAGES)
    assert _ran(toy) == ["denoise", "landmarks"], "it picks up where it stood"
    toy.run(STAGES)
    assert _ran(toy) == []
    assert toy.seconds(STAGES) > 0 and 0 < toy.seconds(STAGES, "processor") < 2 * toy.seconds(STAGES)


def test_another_parameter_runs_what_reads_it(toy: BenchmarkRun) -> None:
    toy.run(STAGES)
    _ran(toy)
    other = _run(toy.root, {**PARAMS, "denoise": {"method": "none"}}, [])
    other.run(STAGES)
    assert _ran(toy) == ["denoise"], "landmarks do not read the sound"
    other = _run(toy.root, {**PARAMS, "ingest": {**PARAMS["ingest"], "size_px": 256}}, [])
    other.run(STAGES)
    assert _ran(toy) == ["ingest", "denoise", "landmarks"]


def test_a_run_takes_what_another_made_alike_and_makes_the_rest(toy: BenchmarkRun, tmp_path: Path) -> None:
    toy.run(STAGES)
    second = _run(tmp_path / "second", {**PARAMS, "denoise": {"method": "none"}}, [])
    second.prepare(tmp_path / "clip.mp4", consent_from_statement("nobody, tests"))
    shutil.copytree(toy.root / "tasks", second.root / "tasks")
    for _ in range(2):
        second.share(toy, STAGES)
    second.run(STAGES)
    assert _ran(second) == ["denoise"]
    assert second.folder("landmarks").is_symlink() and not second.folder("denoise").is_symlink()
    assert second.seconds(["landmarks"]) == toy.seconds(["landmarks"]), "what it would have taken"
    made = (toy.folder("landmarks") / "made").read_text()
    assert (second.folder("landmarks") / "made").read_text() == made
    assert read_json(second.folder("raw") / "consent.json")["who"] == "nobody"
    third = _run(second.root, {**PARAMS, "landmarks": {**PARAMS["landmarks"], "min_detection_confidence": 0.9}}, [])
    third.prepare(tmp_path / "clip.mp4", consent_from_statement("nobody, tests"))
    third.run(STAGES)
    assert (toy.folder("landmarks") / "made").read_text() == made != (third.folder("landmarks") / "made").read_text(), "its own, not theirs"
    second.prepare(tmp_path / "clip.mp4", consent_from_statement("nobody, tests"))
    second.share(toy, STAGES)
    assert (second.folder("landmarks") / "made").read_text() == made, "and theirs again"


def _calibrated(toy: BenchmarkRun, seconds_a_step: dict[str, float], before_s: float, processor_share: float) -> None:
    for stage, seconds in seconds_a_step.items():
        rows = {"step": [50], "seconds": [50 * seconds]}
        toy.folder(stage).mkdir(parents=True)
        pd.DataFrame(rows).to_parquet(toy.folder(stage) / "history.parquet")
        took = before_s + 50 * seconds
        times = {"seconds": took, "processor_seconds": took * processor_share * 2, "cores": 2}
        write_json(toy.root / "done" / f"{stage}.json", {"signature": "-", **times})


@pytest.mark.parametrize(("minutes", "clock", "share"), [(0.5, "wall", 0.5), (7.0, "wall", 1.0), (2.0, "processor", 0.5)])
def test_every_configuration_gets_the_same_time(toy: BenchmarkRun, minutes: float, clock: Clock, share: float) -> None:
    seconds_a_step = {"train_coarse": 0.02, "train_fine": 0.05, "train_torso": 0.01}
    _calibrated(toy, seconds_a_step, 6.0, share)
    slower = share if clock == "processor" else 1.0
    params = budgeted(PARAMS, "cpu", "talkhead", toy, minutes, clock)
    steps = {stage: resolved(params, "cpu", "talkhead", stage)[section]["iterations"] for stage, section in TRAINING.items()}
    whole = sum(6.0 + steps[stage] * seconds_a_step[stage] for stage in steps) * slower
    assert whole == pytest.approx(60 * minutes, rel=0.01), "what comes before the first step counts"
    wanted = {stage: resolved(PARAMS, "cpu", "talkhead", stage)[section]["iterations"] for stage, section in TRAINING.items()}
    assert steps["train_coarse"] / steps["train_fine"] == pytest.approx(wanted["train_coarse"] / wanted["train_fine"], rel=0.02)


def test_a_time_that_is_gone_before_the_first_step_is_refused(toy: BenchmarkRun) -> None:
    _calibrated(toy, dict.fromkeys(TRAINING, 0.02), 30.0, 1.0)
    with pytest.raises(InputError, match="alone take 90 s; give more minutes"):
        budgeted(PARAMS, "cpu", "talkhead", toy, 1.0)


def test_calibration_is_short_and_changes_nothing_else() -> None:
    short = calibration_params(PARAMS, "talkhead")
    assert resolved(short, "full", "talkhead", "train_coarse")["head"]["iterations"] == 50
    assert resolved(short, "full", "talkhead", "train_coarse")["size_px"] == resolved(PARAMS, "full", "talkhead", "train_coarse")["size_px"]
    lips = (resolved(params, "cpu", "talkhead", "train_coarse")["lips"] for params in (short, PARAMS))
    assert next(lips) == next(lips), "learning lips counts, and is timed as it is"
    assert PARAMS["configs"]["talkhead"]["train_coarse"] == {}, "the repository's parameters are left alone"


def test_a_calibration_serves_every_clip(toy: BenchmarkRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[str] = []

    def trained(run: BenchmarkRun, stages: list[str]) -> None:
        ran.append(run.speaker)
        _calibrated(run, dict.fromkeys(stages, 0.02), 1.0, 1.0)

    monkeypatch.setattr(BenchmarkRun, "run", trained)
    consent, clip = consent_from_statement("nobody, tests", synthetic=True), tmp_path / "clip.mp4"
    for speaker in ("ada", "bob"):
        prepared = replace(toy, speaker=speaker, made_from=speaker)
        calibration = speakers._calibrated(tmp_path / "calibration", prepared, clip, consent)
        assert calibration.history("train_coarse")["step"].iloc[-1] == 50
    assert len(ran) == 2, "a warm-up and a timed one, by the first clip alone"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--clips", "CLIPS"], "give --consent"),
        (["--clips", "CLIPS/none"], "is no folder"),
        (["--clips", "CLIPS/empty", "--consent", "Ada, tests"], "holds no video"),
        (["--clips", "CLIPS", "--consent", "Ada"], "who agreed and what for"),
        (["--clips", "CLIPS", "--consent", "Ada, tests", "--config", "none-such"], "params.yaml has no none-such among its configs"),
        (["--clips", "CLIPS", "--consent", "Ada, tests", "--minutes", "0"], "above 0"),
    ],
)
def test_what_cannot_work_is_one_line(words: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "a.mp4").write_bytes(b"")
    out = ["--out", str(tmp_path / "r.json"), "--document", str(tmp_path / "d.md"), "--work", str(tmp_path / "work")]
    assert speakers.main([word.replace("CLIPS", str(tmp_path)) for word in words] + out) == 1
    error = capsys.readouterr().err.strip()
    assert said in error and len(error.splitlines()) == 1
    assert not (tmp_path / "r.json").exists()


def test_code_of_another_stage_does_not_count() -> None:
    hashes = {stage: code_sha256(stage) for stage in ("ingest", "train_coarse", "report")}
    assert len({*hashes.values(), code_sha256()}) == 4 and all(len(digest) == 64 for digest in hashes.values())


def _results() -> dict[str, Any]:
    own = {"psnr_head": 28.123, "ssim": 0.9312, "ci95": {"psnr_head": [27.5, 28.9]}}
    run = {
        "protocols": {"head/self": own, "full/self": {"psnr_full": 25.5}},
        "comparisons": {"head/self - head/static_mouth": {"psnr_mouth": 1.25, "ci95": {"psnr_mouth": [0.5, 2.0]}}},
        "not_available": {"lpips": "needs weights"},
        "steps": dict.fromkeys(TRAINING, 10),
        "training_minutes": 0.5,
        "step_minutes": 0.4,
        "preparation_minutes": 0.7,
        "render_seconds_a_frame": 0.25,
        "size_px": 256,
    }
    machine = {
        "processor": "P",
        "cores": 2,
        "memory_gib": 8.0,
        "load_before": 0.1,
        "gpu": None,
        "python": "3.11.7",
        "packages": {"torch": "2"},
    }
    clip = {"sha256": "0" * 64, "source_px": "512x512", "clip_px": 512, "frames": 500, "seconds": 20.0}
    settings = {"seconds": None, "minutes": 0.5, "counted": "steps", "clock": "wall", "profile": "cpu", "code_sha256": "f" * 64}
    return {
        "machine": machine,
        "settings": settings,
        "clips": {"ada": {"clip": clip, "runs": {"talkhead": run}, "over_time": {}}},
        "failures": {"bob talkhead": "no face"},
    }


def test_the_table_names_machine_protocols_controls_and_failures(tmp_path: Path) -> None:
    text = tables(_results())
    assert "P, 2 cores, 8.0 GiB" in text and "torch 2" in text and "0.5 minutes of training each (wall time" in text
    assert "| ada | talkhead | 28.12 [27.50, 28.90] | – |" in text
    assert "mouth over head/static_mouth, dB" in text and "| – | 1.25 [0.50, 2.00] | – | – | 25.50 |" in text
    assert "lpips (needs weights)" in text and "Failed: bob talkhead: no face" in text
    widths = {block.count("|") for block in text.splitlines() if block.startswith("| ada")}
    assert len(widths) == 3, "three tables, each row as wide as its head"
    document = tmp_path / "d.md"
    write_table(_results(), document, "speakers")
    document.write_text(document.read_text() + "What to take from it: a lot.\n")
    write_table({**_results(), "failures": {}}, document, "speakers")
    assert document.read_text().endswith("What to take from it: a lot.\n") and "no face" not in document.read_text()
    write_table(_results(), document, "speakers_more")
    assert document.read_text().count("P, 2 cores, 8.0 GiB") == 2, "another result has a section of its own"


def test_quality_against_time_is_a_table_and_a_plot(tmp_path: Path) -> None:
    results = _results()
    row = {"training_minutes": 0.52, "head/self": {"psnr_face": 30.004, "lmd_px512": 1.5}}
    results["clips"]["ada"]["over_time"] = {"talkhead": {"0.5": row, "2": {**row, "training_minutes": 2.1}}, "er-nerf": {"0.5": row}}
    text = tables(results)
    assert "| configuration | face PSNR, dB: 0.5 min | face PSNR, dB: 2 min |" in text
    assert "| er-nerf | 30.00 | – | – | – | 1.50 | – |" in text
    write_table(results, tmp_path / "d.md", "speakers")
    assert "](speakers.svg)" in (tmp_path / "d.md").read_text() and "minutes of training" in (tmp_path / "speakers.svg").read_text()
    write_page(results, tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    assert "<td>30.00</td>" in page and 'scope="col">0.5 min' in page and "talkhead 30.0 dB after 2.1 minutes" in page
    assert "mouth over head/static_mouth" in page.replace("PSNR ", "").replace(", dB ↑", "") and "bob talkhead" in page
    assert not re.search(r"(?:src|href)=\"(?!#|data:)", page), "it loads nothing"
    write_table(_results(), tmp_path / "one.md", "one")
    assert not (tmp_path / "one.svg").exists(), "one length is no curve"


def test_the_documented_tables_are_the_measured_ones() -> None:
    document = (ROOT / "docs" / "benchmark.md").read_text(encoding="utf-8")
    results = sorted((ROOT / "benchmarks" / "results").glob("speakers*.json"))
    assert results
    for result in results:
        assert tables(read_json(result)) in document, f"{result.name}: run python -m benchmarks.speakers_table"


def _asked_of_make(*words: str) -> argparse.Namespace:
    """What ``make`` would ask of the benchmark."""
    environment = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MAKELEVEL")}
    command = ["make", "-n", "benchmark-speakers", *words]
    said = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True).stdout
    python, module, name, *options = shlex.split(said.replace("\\\n", " ").strip().splitlines()[-1])
    assert (python, module, name) == (".venv/bin/python", "-m", "benchmarks.speakers")
    return speakers._arguments(options)


def test_make_makes_the_tables_of_the_document() -> None:
    """Each command that stands above a table asks for what the table holds."""
    document = (ROOT / "docs" / "benchmark.md").read_text(encoding="utf-8")
    commands = re.findall(r"`make benchmark-speakers ([^`]+)`", document)
    for command, name in zip(commands, ("speakers", "speakers_talkhead"), strict=True):
        asked, result = _asked_of_make(*shlex.split(command)), read_json(ROOT / "benchmarks" / "results" / f"{name}.json")
        settings, runs = result["settings"], [run for clip in result["clips"].values() for run in clip["runs"].values()]
        assert (asked.minutes, asked.clock, asked.profile) == tuple(settings[key] for key in ("minutes", "clock", "profile"))
        profile = PARAMS["profiles"][asked.profile]["train_coarse"].get("size_px", PARAMS["train_coarse"]["size_px"])
        assert asked.seconds == settings["seconds"] and {run["size_px"] for run in runs} == {asked.size or profile}
        assert set(asked.config or PARAMS["configs"]) == {config for clip in result["clips"].values() for config in clip["runs"]}
        assert (asked.clips, asked.consent) == (Path("FOLDER"), "who, what for")


def test_make_passes_every_variable_on() -> None:
    given = ("SIZE=96", "SECONDS=12.5", "CLOCK=processor", "ALSO=1 4", "CONFIGS=er-nerf synctalk", "MINUTES=2", "PROFILE=smoke")
    asked = _asked_of_make(*given)
    assert (asked.size, asked.seconds, asked.clock, asked.also_minutes) == (96, 12.5, "processor", [1.0, 4.0])
    assert (asked.config, asked.minutes, asked.profile, asked.clips) == (["er-nerf", "synctalk"], 2.0, "smoke", None)

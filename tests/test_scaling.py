"""The simulation of many machines against cases whose answer is known."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.scaling import RESULTS, Load, MachineTimes, machines_needed, read_times, simulate, totals
from benchmarks.scaling_table import DOCUMENT, scaling_table
from benchmarks.stage_times import DubTimes, dub_figures, keep
from talkhead_core.artifacts import read_json
from tests.toy_workspace import REPOSITORY

TIMES = MachineTimes(
    prepare_fps=25,
    train_s=100,
    evaluate_fps=1e9,
    dub_fps=25,
    dub_start_s=0,
    dub_each_s=0,
    run_start_s=0,
    stage_overhead_s=0,
    speaker_bytes_per_s=1e6,
    model_bytes=0,
    dub_bytes_per_s=1e3,
)
LOAD = Load(speakers=30, retrain_days=30, footage_s=100, dubs_a_day=2400, dub_s=30, peak=1.0, dubs_per_run=1)


def test_a_day_adds_up() -> None:
    figures = totals(LOAD, TIMES)
    assert figures["trainings_a_day"] == 1
    assert figures["of_that_dubbing"] == pytest.approx(2400 * 30 / 3600)
    assert figures["of_that_training"] == pytest.approx(200 / 3600)
    assert figures["stored_gb_of_speakers"] == pytest.approx(30 * 100 * 1e6 / 1e9)


def test_one_machine_at_five_sixths_of_its_capacity_keeps_up_and_below_one_falls_behind() -> None:
    """20 hours of work a day: M/D/1 at a load of 0.835 waits rho s / (2 (1 - rho)) = 76 s on average."""
    keeps_up = simulate(LOAD, TIMES, 1, days=20, seed=1)
    assert keeps_up["busy"] == pytest.approx(0.835, abs=0.01) and keeps_up["backlog_h"] < 0.5
    assert 30 < keeps_up["wait_median_s"] < 120
    behind = simulate(replace(LOAD, dubs_a_day=3600), TIMES, 1, days=1)
    assert behind["backlog_h"] == pytest.approx(6, abs=0.5), "30 hours of work in a day of 24"


def test_needed_machines_suffice_and_one_less_than_spare_does_not() -> None:
    load = replace(LOAD, dubs_a_day=24_000, peak=2.0)
    needed = machines_needed(load, TIMES, wait_p95_s=300)
    assert simulate(load, TIMES, needed - 1)["wait_p95_s"] <= 300 < simulate(load, TIMES, needed - 2)["wait_p95_s"]


def test_a_speaker_is_loaded_once_a_run() -> None:
    times = replace(TIMES, dub_start_s=50, run_start_s=25, dub_each_s=2)
    assert times.dub_seconds(replace(LOAD, dubs_per_run=25)) == pytest.approx(30 + 2 + 50 / 25 + 25 / 25)
    assert times.dub_seconds(LOAD) == pytest.approx(30 + 2 + 50 + 25)


def test_dubs_of_two_lengths_tell_what_loading_a_frame_and_a_dub_cost() -> None:
    """A frame of 0.02 s, 1.5 s a dub, 6 s to load, 2000 bytes a frame and 30 kB whatever the length."""
    quiet = DubTimes(cold_s=6 + 1.5 + 2, short_s=1.5 + 2, long_s=1.5 + 12)
    disturbed = DubTimes(cold_s=60, short_s=7, long_s=30)
    figures = dub_figures([quiet, disturbed, quiet], (100, 230_000), (600, 1_230_000))
    assert figures == {"dub_fps": 50.0, "dub_start_s": 6.0, "dub_each_s": 1.5, "bytes_per_frame": 2000.0}


def test_measured_times_take_the_place_of_assumed_ones(tmp_path: Path) -> None:
    path = tmp_path / "stage_times.json"
    path.write_text((RESULTS / "stage_times.json").read_text())
    before = read_json(path)
    keep(path, "cpu", {"dub_fps": 12.5}, "here")
    after = read_json(path)
    assert after["cpu"].pop("dub_fps") == {"value": 12.5, "from": "measured: here"}
    del before["cpu"]["dub_fps"]
    assert after == before and len(path.read_text().splitlines()) == len((RESULTS / "stage_times.json").read_text().splitlines())


def test_every_time_says_where_it_comes_from() -> None:
    for kind in ("cpu", "gpu"):
        _, origins = read_times(kind)
        assert all(origin.startswith(("measured", "assumed")) for origin in origins.values())


def test_the_command_prints_both_kinds() -> None:
    command = [sys.executable, "-m", "benchmarks.scaling", "--speakers", "50", "--dubs-a-day", "2000"]
    result = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert "cpu machines" in result.stdout and "gpu machines" in result.stdout and "machine hours a day" in result.stdout


def test_what_is_kept_is_what_the_times_give_and_stands_in_the_document() -> None:
    kept = read_json(RESULTS / "scaling.json")
    load = Load(**kept["load"])
    for kind, figures in kept["machines"].items():
        times, origins = read_times(kind)
        assert figures["from"] == origins, "measure anew, and run 'python -m benchmarks.scaling --keep'"
        assert {name: round(value, 1) for name, value in totals(load, times).items()}.items() <= figures.items()
    assert scaling_table(kept) in DOCUMENT.read_text()

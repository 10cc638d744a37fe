"""The verdict on memory and open files: what grows is said to grow, what goes up and down is not."""

from __future__ import annotations

import numpy as np

from benchmarks.prepared_speaker import REPOSITORY
from benchmarks.soak import Course
from benchmarks.soak_page import measured, table
from talkhead_core.artifacts import read_json


def course(growth_mib_per_minute: float, leaked_files_per_minute: float) -> Course:
    """An hour of a process at 600 MiB that goes up and down by 100."""
    seconds = np.arange(0.0, 3600.0, 10.0)
    wave = 100 * np.sin(seconds / 7)
    return Course(
        seconds=seconds.tolist(),
        memory_mib=(600 + wave + growth_mib_per_minute * seconds / 60).tolist(),
        open_files=(8 + leaked_files_per_minute * seconds / 60).astype(int).tolist(),
        processes=[2] * len(seconds),
        temporary_files=[1] * len(seconds),
    )


def test_a_leak_is_found_under_what_goes_up_and_down() -> None:
    steady, leaking = course(0.0, 0.0).summary(), course(2.0, 0.2).summary()
    assert all(steady[name]["flat"] for name in ("memory_mib", "open_files", "processes", "temporary_files"))
    assert not leaking["memory_mib"]["flat"] and not leaking["open_files"]["flat"] and leaking["processes"]["flat"]
    assert abs(leaking["memory_mib"]["slope_per_minute"] - 2.0) < 0.3
    run = {"asked": 3, "made": 3, "exit_code": 0, "left": [], **leaking}
    text = table({"batch": run})
    assert "3 of 3 short dubs" in text and text.count("GROWS") == 2 and "long: not run yet" in text


def test_the_document_says_on_what_it_was_measured() -> None:
    results = read_json(REPOSITORY / "benchmarks" / "results" / "soak.json")
    document = (REPOSITORY / "docs" / "soak.md").read_text()
    assert measured(results) in document and table(results) in document
    assert f"{results['long']['side_px']} px" in measured(results) and f"{results['machine']['load_before']:.0f}" in measured(results)
    assert "say nothing of speed" in measured({"machine": {"cores": 2, "load_before": 3.0}})
    assert "nothing else" in measured({"machine": {"cores": 2, "load_before": 0.4}})

"""Whatever strikes a run, the next one ends as if nothing had happened; ``benchmarks/faults.py`` tries many more."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.fault_kinds import FAULTS, Subject
from benchmarks.faults import differences, stand_ins, strike

pytestmark = pytest.mark.slow

SPOILT_RESULTS = "artifact spoiled + artifact removed + cache object removed + run record spoiled + half-written file"
SPOILT_RECORDS = "cache object spoiled, artifact removed + dvc.lock spoiled + stage's folder removed + cache object spoiled"


@pytest.fixture(scope="module")
def subject(tmp_path_factory: pytest.TempPathFactory) -> Subject:
    return stand_ins(tmp_path_factory.mktemp("faults"), [12])


@pytest.mark.parametrize(
    ("kind", "seed"),
    [
        ("kill -9 the stage", 1),
        ("kill -9 DVC", 2),
        ("kill -9 everything", 4),
        ("disk full", 5),
        (SPOILT_RESULTS, 6),
        (SPOILT_RECORDS, 7),
    ],
)
def test_the_next_run_ends_as_if_nothing_had_happened(kind: str, seed: int, subject: Subject, tmp_path: Path) -> None:
    assert set(kind.split(" + ")) <= set(FAULTS)
    outcome = strike(subject, kind, seed, tmp_path / "struck")
    assert outcome.problems == [], outcome.detail


def test_what_is_not_as_it_was_is_noticed(subject: Subject) -> None:
    """Three stages have not run here, and a comparison that missed that would prove nothing."""
    problems = differences(subject.prepared[12], subject)
    assert sum("is missing" in problem for problem in problems) >= 3 and "dvc status" in problems[-1]

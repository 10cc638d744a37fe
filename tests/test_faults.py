"""Whatever strikes a run, the next one ends as if nothing had happened; ``benchmarks/faults.py`` tries many more."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from benchmarks import faults
from benchmarks.fault_kinds import FAULTS, Subject
from benchmarks.faults import Outcome, differences, rows_of, stand_ins, strike, tables
from talkhead_core.artifacts import read_json

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
    assert outcome.problems == [], outcome.details


def test_what_is_not_as_it_was_is_noticed(subject: Subject) -> None:
    """Three stages have not run here, and a comparison that missed that would prove nothing."""
    problems = differences(subject.prepared[12], subject)
    assert sum("is missing" in problem for problem in problems) >= 3 and "dvc status" in problems[-1]


def test_rows_hold_every_kind_as_often_and_the_same_seed_the_same_rows() -> None:
    rows = rows_of(list(FAULTS), 200, 4, seed=3)
    struck = [kind for row in rows for kind in row.split(" + ")]
    assert len(rows) == 50 and len(struck) == 200 and rows == rows_of(list(FAULTS), 200, 4, seed=3) != rows_of(list(FAULTS), 200, 4, seed=4)
    assert {struck.count(kind) for kind in FAULTS} == {200 // len(FAULTS), 200 // len(FAULTS) + 1}
    assert all("half-written file" not in row.split(" + ")[1:] or row.startswith("half-written file") for row in rows)


def test_a_stopped_run_goes_on_with_the_next_row(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    tried: list[str] = []

    def struck(subject: Subject, kind: str, seed: int, folder: Path) -> Outcome:
        tried.append(kind)
        return Outcome(kind=kind, seed=seed, stages_before=0, details=["x"] * len(kind.split(" + ")), disturbed_code=None, problems=[])

    monkeypatch.setattr(faults, "stand_ins", lambda folder, after: SimpleNamespace(unstable=frozenset()))
    monkeypatch.setattr(faults, "strike", struck)
    for seed in ("5", "5", "6"):
        given = ["--count", "12", "--minutes", "0", "--seed", seed, "--results", str(tmp_path / "faults.json")]
        monkeypatch.setattr(sys, "argv", ["faults", *given])
        faults.main()
    assert tried == [*rows_of(list(FAULTS), 12, 4, seed=5)[:2], rows_of(list(FAULTS), 12, 4, seed=6)[0]]
    (run,) = read_json(tmp_path / "faults.json")["runs"].values()
    assert run["seed"] == 6 and len(run["outcomes"]) == 1, "another seed begins anew"


def test_the_table_counts_what_struck_and_names_what_was_not_survived() -> None:
    outcomes = [
        {"kind": "disk full + kill -9 DVC", "details": ["files of 9 bytes", "missed: the run had ended"], "problems": [], "seed": 0},
        {"kind": "disk full + cache removed", "details": ["files of 8 bytes", "nothing there"], "problems": ["x differs"], "seed": 1},
    ]
    text = tables({"runs": {"toys": {"seed": 0, "outcomes": outcomes, "unstable": []}}})
    assert "toys: 1 of 2 survived, in 2 rows" in text and "| disk full | 2 | 1 | files of 9 bytes |" in text
    assert "kill -9 DVC |" not in text and "| cache removed |" not in text, "neither struck"
    assert "not survived: disk full + cache removed, seed 1" in text and "x differs" in text

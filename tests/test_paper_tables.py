"""The papers' tables: figures as printed, ours never under a name they do not have, valid Markdown and LaTeX."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from talkhead_core.artifacts import write_json
from talkhead_core.report.paper_tables import NOT_COMPARABLE, PAPER_TABLES, OurRow, filled, to_latex, to_markdown
from tasks.paper_tables import main

PAPERS = Path(__file__).parents[1].parent / "shared" / "papers"
OURS = OurRow(
    label="demo_1",
    protocols={
        "head/self": {"psnr_full": 32.5, "ssim": 0.95, "lmd_px512": 1.7, "frames": 46},
        "full/self": {"psnr_full": 28.2, "frames": 46},
    },
    training_hours=0.05,
)


@pytest.mark.parametrize("table", PAPER_TABLES, ids=lambda table: table.name)
def test_every_row_is_as_wide_as_its_head(table) -> None:  # type: ignore[no-untyped-def]
    assert len(table.keys) == len(table.heads)
    assert all(len(row) == len(table.heads) + 1 for row in table.published)


@pytest.mark.skipif(not PAPERS.is_dir(), reason="the papers' text is not here")
@pytest.mark.parametrize("table", PAPER_TABLES, ids=lambda table: table.name)
def test_published_figures_are_those_printed(table) -> None:  # type: ignore[no-untyped-def]
    paper = next(path for path in PAPERS.glob("*.txt") if table.name.startswith(path.stem))
    text = paper.read_text(encoding="utf-8")
    if "Figures" in table.caption:  # bars: their heights are in the prose alone
        assert all(figure in re.findall(r"-?\d+\.\d+", text) for _, *figures in table.published for figure in figures)
        return
    lines = [re.findall(r"(?<![\w.])\d+\.\d+(?![\w.])|(?<=\t)-(?=\t)", line) for line in text.splitlines() if "\t" in line]
    for name, *figures in table.published:
        assert figures in lines, f"{table.name}: {name} {figures}"


def test_ours_stands_under_its_protocol_and_gaps_stay_gaps() -> None:
    table = next(table for table in PAPER_TABLES if table.name == "rae-nerf-1")
    last = filled(table, [OURS]).rows[-1]
    assert last == ["talkhead (demo_1, head/self, 46 frames)", "32.500", "0.950", "n/a", "n/a"]
    torso = next(table for table in PAPER_TABLES if table.name == "wildtalker-1")
    assert filled(torso, [OURS]).rows[-1] == [
        "talkhead (demo_1, full/self, 46 frames)",
        "28.200",
        "n/a",
        "n/a",
        "n/a",
        "n/a",
        "n/a",
        "0.050",
    ]
    speech = next(table for table in PAPER_TABLES if table.protocol == "speech")
    assert len(filled(speech, [OURS]).rows) == len(speech.published), "a talking head has no PESQ"


def test_markdown_and_latex() -> None:
    table = filled(PAPER_TABLES[0], [OURS])
    markdown = to_markdown(table).splitlines()
    rows = [line for line in markdown if line.startswith("|")]
    assert len({row.count("|") for row in rows}) == 1 and NOT_COMPARABLE in markdown
    latex = to_latex(table)
    assert r"talkhead (demo\_1, full/self, 46 frames)" in latex and r"$\uparrow$" in latex and "compare with ours" in latex
    body = [line for line in latex.splitlines() if line.endswith(r"\\")]
    assert {line.count("&") for line in body} == {len(table.head) - 1}
    assert latex.count(r"\begin{") == latex.count(r"\end{")


def test_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    write_json(tmp_path / "data" / "ada" / "evaluate" / "metrics.json", {"protocols": OURS.protocols})
    assert main(["--speaker", "ada", "--table", "rae-nerf-1"]) == 0
    assert "talkhead (ada, head/self, 46 frames) | 32.500" in capsys.readouterr().out
    write_json(tmp_path / "speech.json", {"mss": {"pesq_wb": 2.64, "csig": 3.75, "cbak": 3.19, "covl": 3.18}})
    assert main(["--speech", "speech.json", "--table", "wildtalker-3", "--format", "latex", "--out", "t.tex"]) == 0
    assert "talkhead (mss) & 2.640 & 3.750 & 3.190 & 3.180" in (tmp_path / "t.tex").read_text()
    assert main(["--speaker", "bob"]) == 1
    assert "has not been evaluated" in capsys.readouterr().err

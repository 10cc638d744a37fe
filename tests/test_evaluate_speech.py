"""``talkhead evaluate`` for speech and for speakers: what is printed, what is written, what stands beside it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from talkhead_core.artifacts import write_json
from talkhead_core.media.audio_file import read_audio, write_audio
from talkhead_core.metrics.speech import COLUMNS, speech_quality, versions_beside
from tasks import evaluate_speaker, evaluate_speech
from tests.test_speech_metrics import speech

SYSTEMS = {"noisy": 0.05, "other": 0.02}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Clean references with two other systems' outputs beside them, and ours in a folder of its own."""
    root = tmp_path_factory.mktemp("speech")
    rng = np.random.default_rng(0)
    for name in ("take1", "take2"):
        clean = speech(2.0, seed=ord(name[-1]))
        write_audio(root / "clean" / f"{name}_clean.wav", clean)
        for system, level in SYSTEMS.items():
            write_audio(root / "clean" / f"{name}_{system}.wav", clean + level * rng.normal(size=len(clean)))
        write_audio(root / "ours" / f"{name}.wav", clean + 0.005 * rng.normal(size=len(clean)))
    return root / "clean", root / "ours"


def _run(folders: tuple[Path, Path], *words: str) -> int:
    return evaluate_speech.main(["--reference-audio", str(folders[0]), "--enhanced-audio", str(folders[1]), *words])


def test_a_folder_has_a_row_a_system_and_the_papers_columns(folders: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert _run(folders) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("mean of 2 recordings")
    assert lines[1].split()[:9] == ["PESQ-wb", "CSIG", "CBAK", "COVL", "SI-SDR", "SNRseg", "STOI", "MCD", "WSS"]
    means = {line.split()[0]: [float(cell) for cell in line.split()[1:]] for line in lines[2:5]}
    assert set(means) == {"enhanced", "noisy", "other"}
    assert means["noisy"][4] < means["other"][4] < means["enhanced"][4], "less noise, more SI-SDR"
    single = speech_quality(read_audio(folders[0] / "take1_clean.wav"), read_audio(folders[1] / "take1.wav"))
    each = next(line for line in lines if line.startswith("take1"))
    assert float(each.split()[1]) == pytest.approx(single["pesq_wb"], abs=6e-4)


def test_files_hold_every_figure(folders: tuple[Path, Path], tmp_path: Path) -> None:
    out = {name: tmp_path / f"s.{name}" for name in ("json", "csv", "markdown", "latex")}
    assert _run(folders, *(word for name, path in out.items() for word in (f"--{name}", str(path)))) == 0
    document = json.loads(out["json"].read_text())
    table = pd.read_csv(out["csv"])
    assert list(table.columns[:2]) == ["system", "recording"] and set(COLUMNS) < set(table.columns) and len(table) == 9
    row = table[(table["system"] == "noisy") & (table["recording"] == "take2")].iloc[0]
    assert row["stoi"] == pytest.approx(document["recordings"]["noisy"]["take2"]["stoi"])
    markdown = out["markdown"].read_text()
    assert "| MSS (WildTalker) | 3.87 |" in markdown and "| ZipEnhancer (RAE-NeRF) | 30.35 |" in markdown
    ours = document["mean"]["enhanced"]
    assert f"| enhanced (measured here, 2 recordings) | {ours['pesq_wb']:.3f} | {ours['csig']:.3f} |" in markdown
    assert f"noisy (measured here, 2 recordings) & {document['mean']['noisy']['si_sdr_db']:.3f}" in out["latex"].read_text()


def test_one_pair_and_what_lies_beside_it(folders: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert _run((folders[0] / "take1_clean.wav", folders[1] / "take1.wav")) == 0
    assert capsys.readouterr().out.splitlines()[0].startswith("mean of 1 recording;")


def test_a_system_without_every_recording_is_left_out(folders: tuple[Path, Path], tmp_path: Path) -> None:
    for file in folders[0].iterdir():
        if file.name != "take2_other.wav":
            (tmp_path / file.name).write_bytes(file.read_bytes())
    beside = versions_beside({name: tmp_path / f"{name}_clean.wav" for name in ("take1", "take2")})
    assert set(beside) == {"noisy"}, "means over other recordings do not compare"


def test_what_cannot_be_compared_is_one_line(folders: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_audio(tmp_path / "take1.wav", np.zeros(32000))
    assert _run((folders[0], tmp_path)) == 1
    error = capsys.readouterr().err.strip()
    assert len(error.splitlines()) == 1 and "take1" in error and "silent" in error
    assert _run((folders[0], tmp_path / "nowhere")) == 1


def test_a_speaker_is_printed_with_protocols_controls_and_reasons(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    figures = {"frames": 46, "psnr_full": 32.5, "psnr_face": 33.0, "ci95": {"psnr_full": [31.0, 34.0]}}
    document = {
        "protocols": {"head/self": figures, "head/static_mouth": {**figures, "psnr_full": 32.0, "ci95": {}}},
        "protocol_says": {"head/static_mouth": "control: a still mouth"},
        "comparisons": {"head/self - head/static_mouth": {"psnr_full": 0.5, "ci95": {"psnr_full": [0.2, 0.8]}}},
        "not_available": {"lpips": "needs weights"},
    }
    for name in ("ada", "bob"):
        write_json(tmp_path / "data" / name / "evaluate" / "metrics.json", document)
    words = ["--speaker", "ada", "--speaker", "bob", "--csv", "all.csv", "--json", "all.json", "--markdown", "t.md"]
    assert evaluate_speaker.main(words) == 0
    said = capsys.readouterr().out
    for part in (
        "protocol head/self",
        "protocol head/static_mouth: control: a still mouth",
        "[31.0000, 34.0000]",
        "not available: needs weights",
    ):
        assert part in said
    assert "difference head/self - head/static_mouth, frame by frame" in said
    table = pd.read_csv("all.csv")
    assert list(zip(table["name"], table["protocol"], strict=True))[1] == ("ada", "head/static_mouth") and len(table) == 4
    assert set(json.loads(Path("all.json").read_text())["pairs"]) == {"ada", "bob"}
    assert "talkhead (bob, head/self, 46 frames) | 32.500" in Path("t.md").read_text()
    assert evaluate_speaker.main(["--speaker", "eve"]) == 1
    assert "has not been evaluated" in capsys.readouterr().err

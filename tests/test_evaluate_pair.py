"""Two videos of any size and rate: aligned in time, resized, scored; folders of pairs; clear refusals."""

from __future__ import annotations

import csv
import json
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest

from talkhead_core.errors import FootageError
from talkhead_core.media.probe import probe_video
from talkhead_core.media.resampled_frames import resampled_frames
from talkhead_core.media.video_writer import VideoWriter
from talkhead_core.metrics.alignment import estimate_offset, motion_signature
from talkhead_core.report.paper_tables import NOT_COMPARABLE
from tasks.evaluate_pair import evaluate_pair, main
from tests.small_speaker import clip_frames


def _write(path: Path, frames: list[np.ndarray], fps: Fraction, size: tuple[int, int]) -> Path:
    with VideoWriter(path, width=size[0], height=size[1], fps=fps, encoding="delivery") as writer:
        for frame in frames:
            writer.write(cv2.resize(frame, size, interpolation=cv2.INTER_AREA))
    return path


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("pair")
    frames = list(clip_frames())
    reference = _write(folder / "take.mp4", frames[:36], Fraction(25), (256, 256))
    late = [frames[round(i * 25 / 50)] for i in range(10, 86)]  # 50 fps, starts at frame 5 of the reference
    return reference, _write(folder / "render.mkv", late, Fraction(50), (192, 192))


def test_a_pair_of_other_size_rate_and_start_is_aligned_and_scored(pair: tuple[Path, Path]) -> None:
    document, table = evaluate_pair(*pair)
    alignment, figures = document["alignment"], document["protocols"]["pair"]
    assert alignment["offset_frames"] == -5 and alignment["offset_certain"] and alignment["offset_s"] == pytest.approx(-0.2)
    assert alignment["frames"] == len(table) == 31
    assert list(table["frame_id"]) == list(range(5, 36)), "ids are those of the reference"
    assert figures["psnr_full"] > 24 and figures["lmd_px512"] < 1.5
    assert "psnr_head" not in figures, "no mask says where the head is"


def test_the_same_file_twice_is_perfect(pair: tuple[Path, Path]) -> None:
    document, _ = evaluate_pair(pair[0], pair[0])
    figures = document["protocols"]["pair"]
    assert (figures["psnr_full"], figures["lmd_px512"], document["alignment"]["offset_frames"]) == (100.0, 0.0, 0)


def test_json_csv_and_per_frame_files(pair: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    outs = {name: tmp_path / name for name in ("m.json", "m.csv", "f.csv")}
    paths = ["--reference", str(pair[0]), "--rendered", str(pair[1])]
    assert main([*paths, "--json", str(outs["m.json"]), "--csv", str(outs["m.csv"]), "--per-frame", str(outs["f.csv"])]) == 0
    figures = json.loads(outs["m.json"].read_text())["protocols"]["pair"]
    with outs["m.csv"].open() as file:
        row, *controls = csv.DictReader(file)
    assert float(row["psnr_full"]) == pytest.approx(figures["psnr_full"]) and row["protocol"] == "pair"
    assert [control["protocol"] for control in controls] == ["pair/wrong_time", "pair/static_mouth"]
    assert not controls[0]["psnr_full"] and float(controls[0]["lmd_px512"]) >= 0, "controls have lip figures only"
    assert len(outs["f.csv"].read_text().splitlines()) == 32
    said = capsys.readouterr().out
    assert "protocol pair" in said and "offset -5" in said


def test_a_folder_scores_what_it_can_and_names_what_it_cannot(
    pair: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    references, rendered = tmp_path / "r", tmp_path / "x"
    for folder in (references, rendered):
        folder.mkdir()
    (references / "a.mp4").write_bytes(pair[0].read_bytes())
    (rendered / "a.mkv").write_bytes(pair[1].read_bytes())
    (references / "b.mp4").write_bytes(pair[0].read_bytes())
    (rendered / "b.mp4").write_bytes(b"no video")
    (rendered / "c.mp4").write_bytes(pair[0].read_bytes())
    out = tmp_path / "m.json"
    assert main(["--reference", str(references), "--rendered", str(rendered), "--json", str(out)]) == 1
    document = json.loads(out.read_text())
    assert set(document["pairs"]) == {"a"} and set(document["errors"]) == {"b", "c"}
    assert "evaluate: b:" in capsys.readouterr().err


def test_what_is_no_video_is_one_line_and_exit_code_1(pair: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad = tmp_path / "bad.mp4"
    bad.write_text("hello")
    assert main(["--reference", str(pair[0]), "--rendered", str(bad), "--json", str(tmp_path / "m.json")]) == 1
    assert len(capsys.readouterr().err.strip().splitlines()) == 1 and not (tmp_path / "m.json").exists()


def test_another_cut_out_is_refused_before_anything_is_measured(pair: tuple[Path, Path], tmp_path: Path) -> None:
    wide = _write(tmp_path / "wide.mp4", list(clip_frames()[:5]), Fraction(25), (320, 180))
    with pytest.raises(FootageError, match="320x180 where take.mp4 is 256x256: another part of the picture.*--frame full"):
        evaluate_pair(pair[0], wide)


def test_the_papers_tables_name_the_protocol_of_a_pair(pair: tuple[Path, Path], tmp_path: Path) -> None:
    outs = {name: tmp_path / f"t.{name}" for name in ("markdown", "latex")}
    paths = ["--reference", str(pair[0]), "--rendered", str(pair[1])]
    assert main([*paths, "--markdown", str(outs["markdown"]), "--latex", str(outs["latex"])]) == 0
    text = outs["markdown"].read_text()
    assert text.count("talkhead (render, pair, 31 frames)") == 4, "the tables of images and lips"
    assert "speech enhancement" not in text and "WildTalker | 25.602" in text and text.count(NOT_COMPARABLE) == 4
    assert outs["latex"].read_text().count(r"\begin{table}") == 4


def test_resampling_keeps_time(tmp_path: Path) -> None:
    """Frame i of a 50 fps ramp has luma 2 i; at 25 fps every other one is shown."""
    ramp = [np.full((64, 64, 3), 40 + 2 * i, np.uint8) for i in range(60)]
    probe = probe_video(_write(tmp_path / "ramp.mp4", ramp, Fraction(50), (64, 64)))
    found = [float(frame.mean()) for frame in resampled_frames(probe, 32, 32, Fraction(25))]
    assert len(found) in (30, 31)
    assert found[:30] == pytest.approx([40 + 4 * i for i in range(30)], abs=3.0)


def test_offset_of_unrelated_videos_is_not_certain() -> None:
    rng = np.random.default_rng(0)
    signatures = [motion_signature(list(rng.integers(0, 255, (60, 24, 24, 3), dtype=np.uint8))) for _ in range(2)]
    assert not estimate_offset(signatures[0], signatures[1], 20).certain
    still = motion_signature([np.full((24, 24, 3), 9, np.uint8)] * 30)
    assert estimate_offset(still, still, 10).frames == 0

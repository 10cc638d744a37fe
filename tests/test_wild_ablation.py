"""The ablation of masks and inpainting: what is averaged and compared, its table, and where a report shows it."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmarks import wild_ablation
from benchmarks.wild_ablation import FULL, VARIANTS, summary
from talkhead_core.artifacts import read_json, write_json
from talkhead_core.media.video_writer import VideoWriter
from talkhead_core.report.ablation_table import ablation_table
from talkhead_core.report.speaker_artifacts import read_speaker_artifacts
from talkhead_core.report.speaker_page import ReportConfig, speaker_page

SETTINGS = {"held_out_frames": 20, "frames": 220, "size_px": 512, "seeds": 2, "torso_iterations": 5, "scored_share": 0.8}


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> dict:
    """As the benchmark writes it: each variant a known bit behind the full method, on frames of very different difficulty."""
    frames = np.arange(20)
    behind = {variant.name: 0.25 * index for index, variant in enumerate(VARIANTS)}
    rows = [
        {
            "variant": name,
            "seed": seed,
            "frame_id": frame,
            "psnr": 30 + 5 * np.sin(frame) - loss + 0.5 * seed,
            "ssim": 0.9,
            "lmd_px512": 2.0,
        }
        for name, loss in behind.items()
        for seed in (0, 1)
        for frame in frames
    ]
    path = tmp_path_factory.mktemp("ablation") / "ablation.json"
    write_json(path, {"settings": SETTINGS, "variants": summary(pd.DataFrame(rows), 25.0), "not_available": {}})
    return read_json(path)


def test_variants_are_compared_frame_by_frame(document: dict) -> None:
    assert FULL.masks and FULL.inpainting and len(VARIANTS) == 4
    for index, variant in enumerate(VARIANTS[1:], start=1):
        ahead = document["variants"][variant.name]["psnr"]["full_minus_this"]
        assert ahead["mean"] == pytest.approx(0.25 * index)
        assert np.ptp(ahead["ci95"]) == pytest.approx(0, abs=1e-9), "a hard frame is hard for both"
    full = document["variants"][FULL.name]["psnr"]
    assert "full_minus_this" not in full
    assert np.diff(full["by_seed"]) == pytest.approx(0.5)


def test_the_table_has_a_row_a_variant(document: dict) -> None:
    table = ablation_table(document)
    assert [row[0] for row in table.rows] == sorted(variant.name for variant in VARIANTS)
    assert table.rows[-1][0] == FULL.name and table.rows[-1][-2:] == ["–", "–"]
    assert all(len(row) == len(table.head) for row in table.rows)
    assert "80 %" in table.caption


def test_a_report_shows_it_and_begins_with_the_footages_verdict(document: dict, tmp_path: Path) -> None:
    findings = [{"level": "ok", "code": "a", "message": "fine"}, {"level": "warn", "code": "b", "message": "hands are in the clip"}]
    write_json(tmp_path / "ingest" / "ingest.json", {"findings": findings, "verdict": "go_with_care"})
    write_json(tmp_path / "ablation" / "ablation.json", document)
    page = speaker_page("ann", read_speaker_artifacts(tmp_path), {}, [], ReportConfig())
    header = page[page.index("<header>") : page.index("</header>")]
    assert "Footage: go with care: hands are in the clip." in header
    assert "masks on, inpainting off" in page


@pytest.mark.parametrize(("width", "height", "share"), [(108, 192, 0.5625), (192, 108, 0.5625), (128, 128, 1.0)])
def test_bars_are_not_scored(width: int, height: int, share: float, tmp_path: Path) -> None:
    path = tmp_path / "clip.mkv"
    with VideoWriter(path, width=width, height=height, fps=Fraction(25), encoding="near_lossless") as video:
        video.write(np.full((height, width, 3), 200, np.uint8))
    inside = wild_ablation._without_bars(path, 512)
    assert inside.mean() == pytest.approx(share, abs=0.02) and inside.mean() <= share
    wild_ablation._square(path, tmp_path / "square.mkv")
    square = next(iter(wild_ablation.read_frames(tmp_path / "square.mkv")))
    assert square[inside].min() > 180 and square.shape == (512, 512, 3)

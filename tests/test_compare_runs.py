"""Two runs on one page: a worse render is called worse, what differs is named, other footage is not compared; it plays in Chromium."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import yaml

from talkhead_core.artifacts import read_json, write_json
from talkhead_core.media.video_reader import read_frames
from talkhead_core.media.video_writer import VideoWriter
from talkhead_core.provenance.verification import verify_file, verify_page
from talkhead_core.report.compare_page import judge_difference
from talkhead_core.report.run_comparison import most_changed, paired_differences, shared_frames
from tasks.compare_runs import find_run, main
from tasks.evaluate import run as evaluate
from tasks.stage import Stage
from tests.headless_chromium import Browser, chromium_path
from tests.small_speaker import FPS, HELD_OUT, NAME, SIZE_PX, build_workspace


@pytest.fixture(scope="module")
def workspaces(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The same speaker twice; the second run's head is blurred more, its parameters name another seed."""
    first = tmp_path_factory.mktemp("first")
    build_workspace(first)
    second = tmp_path_factory.mktemp("second") / "w"
    shutil.copytree(first, second)
    video = second / "data" / NAME / "render" / "heldout.mkv"
    frames = [cv2.GaussianBlur(frame, (0, 0), 3.0) for frame in read_frames(video)]
    with VideoWriter(video, width=SIZE_PX, height=SIZE_PX, fps=FPS, encoding="lossless_rgb") as writer:
        for frame in frames:
            writer.write(np.asarray(frame, dtype=np.uint8))
    params = yaml.safe_load((second / "params.yaml").read_text())
    (second / "params.yaml").write_text(yaml.safe_dump({**params, "train_coarse": {"head": {"seed": 7}}}))
    for root in (first, second):
        evaluate(Stage(name="evaluate", speaker=NAME, root=root))
    return first, second


def _folder(root: Path) -> str:
    return str(root / "data" / NAME)


def test_a_worse_render_is_called_worse_frame_by_frame(workspaces: tuple[Path, Path]) -> None:
    runs = [find_run(root, _folder(root)) for root in workspaces]
    assert shared_frames(*runs) == HELD_OUT
    paired = paired_differences(*runs, "head/self", 25.0)
    tables = [pd.read_parquet(root / "data" / NAME / "evaluate" / "per_frame.parquet") for root in workspaces]
    rows = [table[table["protocol"] == "head/self"] for table in tables]
    assert paired["psnr_face"] == pytest.approx(rows[1]["psnr_face"].mean() - rows[0]["psnr_face"].mean())
    assert paired["ci95"]["psnr_face"][1] < -1.0
    verdict = judge_difference(paired, same_footage=True)
    assert verdict.level == "warn" and "worse in PSNR" in verdict.headline
    swapped = judge_difference(paired_differences(runs[1], runs[0], "head/self", 25.0), same_footage=True)
    assert swapped.level == "ok" and swapped.headline.startswith("B is better in")
    same = judge_difference(paired_differences(runs[0], runs[0], "head/self", 25.0), same_footage=True)
    assert same.headline == "No difference is certain."


def test_the_page_shows_both_and_what_differs(workspaces: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = tmp_path / "compare.html"
    monkeypatch.chdir(tmp_path)  # whose signer is made there
    assert main([_folder(workspaces[0]), _folder(workspaces[1]), "--out", str(page)]) == 0
    text = page.read_text(encoding="utf-8")
    assert "<td>7</td>" in text and "train_coarse.head.seed" in text
    assert text.count("<video") == 3 and 'data-left="A" data-right="B"' in text
    assert text.count("left to right: recording, A, B") == 2, "twenty frames hold two that lie 0.4 s apart"
    assert "(unpaired)" in text and page.stat().st_size < 15e6
    assert not re.findall(r"(?:src|href)=[\"'](?!data:|#)", text)
    for video in verify_file(page):
        assert video.watermark.found and video.credentials is not None and video.credentials.origin is not None, video.sentence()
        assert video.credentials.origin["kind"] == "comparison"
    said = verify_page(page)
    assert said.statement is not None and said.statement["origins"][0]["kind"] == "comparison" and 'class="made-by-ai"' in text
    assert said.marked == said.pictures == 5, "three players and two rows of faces"


def test_other_footage_is_shown_and_not_compared(workspaces: tuple[Path, Path], tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(workspaces[1], other)
    file = other / "data" / NAME / "ingest" / "ingest.json"
    ingest = read_json(file)
    write_json(file, {**ingest, "source": {**ingest["source"], "sha256": "another"}})
    page = tmp_path / "compare.html"
    assert main([_folder(workspaces[0]), _folder(other), "--out", str(page)]) == 0
    text = page.read_text(encoding="utf-8")
    assert "figures do not compare" in text and "<video" in text and "left to right: recording, A, B" not in text


def test_the_frames_that_lost_most_lie_apart() -> None:
    parts = [pd.DataFrame({"protocol": label, "frame_id": range(50), "psnr_face": 30.0}) for label in ("A", "B")]
    parts[1].loc[[10, 11, 30], "psnr_face"] = [20.0, 19.0, 25.0]
    assert most_changed(pd.concat(parts), "psnr_face", 2, 5) == [(11, -11.0), (30, -5.0)]


def test_runs_that_are_not_there_are_refused(
    workspaces: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "w"
    shutil.copytree(workspaces[0], root)
    monkeypatch.chdir(root)
    for operand, said in (("eve", "'eve' is not registered"), ("nowhere/data/eve", "holds no rendered run"), ("A b", "speaker name 'A b'")):
        assert main([operand, NAME]) == 1
        error = capsys.readouterr().err.strip()
        assert len(error.splitlines()) == 1 and re.search(said, error), (operand, error)
    assert main([NAME, NAME, "--label", "before", "after"]) == 0, "a speaker of this workspace by its name"
    assert "A: before, B: after" in (root / "out" / "compare.html").read_text()


@pytest.mark.skipif(chromium_path() is None, reason="Chromium is not installed")
def test_in_a_browser_the_comparison_plays_and_names_its_halves(workspaces: tuple[Path, Path], tmp_path: Path) -> None:
    page = tmp_path / "compare.html"
    assert main([_folder(workspaces[0]), _folder(workspaces[1]), "--out", str(page)]) == 0
    with Browser(tmp_path / "profile", width=390, height=800) as browser:
        browser.open(page)
        browser.wait("document.querySelector('canvas').width === 512")
        shown = "[...document.querySelectorAll('input[name=view-0] + span')].map((label) => label.textContent).join(',')"
        assert browser.run(shown) == "Side by side,A,B,Difference"
        browser.run("document.querySelector('.controls button').click()")
        browser.wait("document.querySelector('video').currentTime > 0.1")
        browser.run("document.querySelector('[data-seek]').click()")
        browser.wait("document.querySelector('video').paused")
        assert browser.run("document.documentElement.scrollWidth") <= 390
        assert not browser.errors
        assert all(request.startswith(("file:", "data:", "blob:")) for request in browser.requests)

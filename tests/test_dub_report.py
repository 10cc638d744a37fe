"""The page of a dub and the index over all of them: known faults are found, links lead somewhere, nothing is loaded."""

from __future__ import annotations

import re
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import yaml

from talkhead_core.artifacts import read_json, write_json
from talkhead_core.media.audio_file import write_audio
from talkhead_core.media.mux import mux
from talkhead_core.media.video_writer import VideoWriter
from talkhead_core.metrics.dub import change_per_frame, dub_figures, frames_to_look_at
from talkhead_core.provenance.verification import verify_page
from talkhead_core.report.dub_page import judge_dub
from tasks import evaluate_dub, report_dub, report_index
from tests.headless_chromium import Browser, chromium_path
from tests.small_speaker import clip_frames

FPS = 25.0


def _faces(opening: np.ndarray) -> np.ndarray:
    faces = np.zeros((len(opening), 478, 3))
    faces[:, 152, 1] = 200.0
    faces[:, 14, 1] = 200.0 * opening
    return faces


def _judged(opening: np.ndarray, speaking: np.ndarray, change: np.ndarray | None = None, audio_s: float | None = None) -> dict[str, str]:
    change = np.full(len(opening), 1.0) if change is None else change
    figures = dub_figures(_faces(opening), change, speaking, FPS, len(opening) / FPS if audio_s is None else audio_s)
    return {" ".join(statement.text.split()[:2]): statement.level for statement in judge_dub(figures, FPS).statements}


def test_a_good_dub_and_each_fault() -> None:
    speaking = np.arange(100) < 60
    opening = np.where(speaking, 0.04 * (1 + np.sin(np.arange(100))), 0.002)
    assert set(_judged(opening, speaking).values()) == {"ok"}
    assert _judged(np.full(100, 0.05), speaking)["In silence"] == "warn", "a mouth that stays open in silence"
    assert _judged(np.full(100, 0.002), speaking)["While somebody"] == "warn", "a mouth that stays closed in speech"
    stuck = np.where((np.arange(100) >= 20) & (np.arange(100) < 40), 0.0, 1.0)
    assert _judged(opening, speaking, change=stuck)["The picture"] == "fail", "a picture that stands still"
    assert _judged(opening, speaking, audio_s=4.2)["The video"] == "fail", "the sound is longer than the video"
    assert _judged(opening, speaking, audio_s=4.03)["The video"] == "ok", "less than a frame of difference"
    lost = np.where(np.arange(100) % 10 == 0, np.nan, opening)
    assert _judged(lost, speaking)["No face"] == "fail", "one face in ten is lost"


def test_stuck_pictures_are_counted() -> None:
    moving = list(clip_frames()[:10])
    change = change_per_frame([*moving, *[moving[-1]] * 7, *moving[::-1]])
    figures = dub_figures(_faces(np.zeros(27)), change, np.ones(27, bool), FPS, 27 / FPS)
    assert figures.longest_stuck == 8, "seven repeats, and the turn shows the last one again"


def test_the_frames_to_look_at_are_each_faults_worst_and_lie_apart() -> None:
    speaking = np.arange(100) < 60
    opening = np.where(speaking, 0.05, 0.002)
    opening[[70, 72, 90]] = [0.03, 0.029, 0.02]
    opening[20] = np.nan
    change = np.full(100, 1.0)
    change[[0, 40]] = [np.nan, 9.0]
    figures = dub_figures(_faces(opening), change, speaking, FPS, 4.0)
    found = frames_to_look_at(figures, change, FPS, count=4)
    assert [frame for frame, _ in found] == [20, 70, 40, 90], "72 shows the moment of 70"
    assert [why.split(",")[0] for _, why in found[:2]] == ["no face is recognised", "nobody speaks"]
    assert found[2][1] == "the picture changes by 9.0 levels, 1.0 being usual"
    assert frames_to_look_at(figures, change, FPS, count=0) == []


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("workspace")
    (root / "speakers.yaml").write_text(
        yaml.safe_dump({"speakers": {name: {"video": "v.mp4", "profile": "smoke", "config": "talkhead"} for name in ("ada", "bob")}})
    )
    (root / "params.yaml").write_text(yaml.safe_dump({"dub": {}, "profiles": {"smoke": {}}, "configs": {"talkhead": {}}}))
    write_json(
        root / "data" / "ada" / "evaluate" / "metrics.json", {"protocols": {"head/self": {"frames": 9, "psnr_face": 31.2, "ci95": {}}}}
    )
    report = root / "data" / "ada" / "report" / "report.html"
    report.parent.mkdir(parents=True)
    report.write_text("<title>ada</title>")
    frames = clip_frames()
    with VideoWriter(root / "silent.mp4", width=256, height=256, fps=Fraction(25), encoding="delivery") as writer:
        for frame in frames:
            writer.write(frame)
    tone = 0.2 * np.sin(2 * np.pi * 200 * np.arange(round(len(frames) / 25 * 16000)) / 16000)
    write_audio(root / "tone.wav", tone)
    (root / "out" / "ada").mkdir(parents=True)
    mux(root / "silent.mp4", root / "tone.wav", root / "out" / "ada" / "a & b.mp4")
    return root


def test_dub_page(workspace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(workspace)
    video = workspace / "out" / "ada" / "a & b.mp4"
    assert report_dub.main(["--video", str(video), "--audio", str(workspace / "tone.wav"), "--speaker", "ada"]) == 0
    page = video.with_suffix(".html")
    assert capsys.readouterr().out.strip() == str(page)
    text = page.read_text(encoding="utf-8")
    assert "a &amp; b" in text and 'src="data:video/mp4;base64,' in text and "Mouth and sound" in text
    assert "The video is 1.76 s long, the sound 1.76 s." in text
    assert "head/cross: a dub" in text and '<th scope="col">head/cross</th>' in text, "no figure without its protocol"
    assert not re.search(r'(?:src|href)="(?!data:|#)', text)
    assert report_dub.main(["--video", str(workspace / "tone.wav")]) == 1


def test_dub_figures_by_themselves(workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(workspace)
    files = {name: tmp_path / f"scores.{name}" for name in ("json", "csv")}
    options = [word for name, path in files.items() for word in (f"--{name}", str(path))]
    assert evaluate_dub.main(["--rendered", str(workspace / "out" / "ada" / "a & b.mp4"), *options]) == 0
    document = read_json(files["json"])
    assert list(document["protocols"]) == ["video/cross"], "who made it is not known"
    figures = document["protocols"]["video/cross"]
    assert (figures["frames"], figures["frames_without_face"], figures["longest_stuck_frames"]) == (44, 0, 0)
    assert figures["video_minus_audio_s"] == pytest.approx(0.0, abs=0.02), "AAC pads its last block"
    assert "psnr_full" not in figures and "mouth_late_frames" in document["not_available"], "a tone has no syllables"
    assert files["csv"].read_text().splitlines()[1].startswith("a & b,video/cross,44,")


def test_a_folder_of_dubs_scores_what_it_can(workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(workspace)
    (tmp_path / "good.mp4").write_bytes((workspace / "out" / "ada" / "a & b.mp4").read_bytes())
    (tmp_path / "bad.mp4").write_bytes(b"no video")
    assert evaluate_dub.main(["--rendered", str(tmp_path), "--speaker", "ada", "--json", str(tmp_path / "all.json")]) == 1
    document = read_json(tmp_path / "all.json")
    assert list(document["pairs"]) == ["good"] and list(document["errors"]) == ["bad"]
    assert list(document["pairs"]["good"]["protocols"]) == ["head/cross"]


def test_index_links_to_what_is_there(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(workspace)
    report_dub.write_dub_page(workspace, workspace / "out" / "ada" / "a & b.mp4", workspace / "out" / "ada" / "a & b.html")
    assert report_index.main([]) == 0
    page = workspace / "out" / "index.html"
    text = page.read_text(encoding="utf-8")
    links = [link.replace("&amp;", "&") for link in re.findall(r'(?:src|href)="(?!data:|#)([^"]*)"', text)]
    assert sorted(set(links)) == ["../data/ada/report/report.html", "ada/a & b.html", "ada/a & b.mp4"]
    assert all((page.parent / link).is_file() for link in links)
    said = verify_page(page)
    assert said.statement is not None and [origin["model"] for origin in said.statement["origins"]] == ["ada"], "bob shows nothing"
    assert 'class="made-by-ai"' in text and said.marked == said.pictures == 1, "what the player shows before it plays"
    assert "talkhead run --speaker bob" in text and "head/self: face 31.2 dB" in text


@pytest.mark.skipif(chromium_path() is None, reason="Chromium is not installed")
def test_in_a_browser_dubs_play_on_both_pages(workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(workspace)
    page = workspace / "out" / "ada" / "a & b.html"
    report_dub.write_dub_page(workspace, page.with_suffix(".mp4"), page)
    report_index.main([])
    with Browser(tmp_path / "profile", width=390, height=800) as browser:
        for path in (page, workspace / "out" / "index.html"):
            browser.open(path)
            browser.run("document.querySelector('video').play()")
            browser.wait("document.querySelector('video').currentTime > 0.1")
            assert browser.run("document.documentElement.scrollWidth") <= 390
            for role, name in browser.accessible_nodes():
                if role in ("button", "image", "img", "region", "link", "Video"):
                    assert name.strip(), f"a {role} without a name"
        browser.open(page)
        browser.run("document.querySelector('[data-time]').click()")
        moment = browser.run("Number(document.querySelector('[data-time]').dataset.time)")
        browser.wait(f"Math.abs(document.querySelector('video').currentTime - {moment}) < 0.02")
        assert not browser.errors
        assert all(request.startswith(("file:", "data:", "blob:")) for request in browser.requests)

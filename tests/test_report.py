"""The report page: self-contained, escaped, honest about what is missing; and, in Chromium, alive."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from fractions import Fraction
from html.parser import HTMLParser
from pathlib import Path

import av
import numpy as np
import pandas as pd
import pytest

from talkhead_core.artifacts import read_json, write_json
from talkhead_core.provenance.verification import verify_page
from talkhead_core.report.comparison_video import encode_comparisons, encode_side_by_side
from talkhead_core.report.pictures import cut_square, face_squares, worst_frame_ids
from talkhead_core.report.speaker_artifacts import read_speaker_artifacts
from talkhead_core.report.tables import flat_rows, licence_table, metrics_table, weights_table
from talkhead_core.report.themed_svg import themed_figure, to_svg
from talkhead_core.report.verdict import judge
from tasks.evaluate import run as evaluate
from tasks.report import run as report
from tasks.stage import Stage
from tests.headless_chromium import Browser, chromium_path
from tests.small_speaker import HELD_OUT, NAME, build_workspace

CANVAS_WIDTH_AND_MEAN = """(() => {
  const c = document.querySelector('canvas'), d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;
  let s = 0; for (let i = 0; i < d.length; i += 4) s += d[i]; return [c.width, s / d.length * 4]; })()"""
needs_chromium = pytest.mark.skipif(chromium_path() is None, reason="Chromium is not installed")


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("workspace")
    build_workspace(root)
    for stage, run in (("evaluate", evaluate), ("report", report)):
        run(Stage(name=stage, speaker=NAME, root=root))
    return root


@pytest.fixture(scope="module")
def page(workspace: Path) -> Path:
    return workspace / "data" / NAME / "report" / "report.html"


class _Outline(HTMLParser):
    """What a checker wants to know of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.ids: list[str] = []
        self.without_alt = 0
        self.headings: list[int] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.addresses += [given[name] or "" for name in ("src", "href", "poster", "srcset", "action") if name in given]
        if given.get("id"):
            self.ids.append(given["id"] or "")
        self.without_alt += tag == "img" and not given.get("alt")
        if re.fullmatch(r"h[1-6]", tag):
            self.headings.append(int(tag[1]))


def test_the_page_loads_nothing_and_is_small(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    outline = _Outline(text)
    outside = [address for address in outline.addresses if not address.startswith(("data:", "#"))]
    assert not outside, f"addresses that would be loaded or followed: {outside}"
    assert "default-src 'none'" in text and not re.search(r"@import|url\(\s*['\"]?http", text)
    assert page.stat().st_size < 15e6


def test_video_comes_first_and_headings_descend_one_by_one(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    order = [text.index(part) for part in ("<h1>", 'class="verdict"', "<video", 'id="matters"', 'id="plots"', 'id="figures"')]
    assert order == sorted(order)
    headings = _Outline(text).headings
    assert headings[0] == 1 and headings.count(1) == 1
    assert all(after <= before + 1 for before, after in zip(headings, headings[1:], strict=False))


def test_pictures_are_described_and_ids_are_unique(page: Path) -> None:
    outline = _Outline(page.read_text(encoding="utf-8"))
    assert outline.without_alt == 0
    assert len(set(outline.ids)) == len(outline.ids)


def test_what_people_wrote_is_escaped(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert "only 2 s of &lt;speech&gt;" in text and "<speech>" not in text


def test_figures_stand_beside_their_protocol(workspace: Path, page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    figures = read_json(workspace / "data" / NAME / "evaluate" / "metrics.json")["protocols"]["head/self"]
    assert f"<td>{figures['psnr_face']:.2f} <small>[" in text
    for name in ("head/self", "head/wrong_audio (control)", "head/retrieval (control)", "full/self"):
        assert f'<th scope="col">{name}</th>' in text
    sentences = re.findall(r"<span>((?:Face|The lips|The mouth opens)[^<]*)</span>", text)
    assert len(sentences) >= 3 and all("head/self" in sentence for sentence in sentences)
    assert "What was removed is filled by: temporal median 97.3 %, telea 2.7 %." in text


def test_the_page_says_that_it_is_made_and_so_do_its_pictures(workspace: Path, page: Path) -> None:
    found = verify_page(page)
    assert found.statement is not None and found.statement["origins"][0]["kind"] == "report"
    assert found.statement["origins"][0]["model"] == NAME
    text = page.read_text(encoding="utf-8")
    assert text.index('<p class="made-by-ai">This page contains AI-generated pictures, made by talkhead ') < text.index("<video")
    renders = text.count('poster="data:image/jpeg') + len(re.findall(r'alt="The face in frame', text))
    assert renders == 8 and found.marked == renders < found.pictures, "labels and masks are pictures of the recording"


def test_the_same_inputs_give_the_same_page(workspace: Path, page: Path) -> None:
    """But for the videos' signatures, which hold a random number and the time."""
    first = page.read_text(encoding="utf-8")
    report(Stage(name="report", speaker=NAME, root=workspace))
    again = page.read_text(encoding="utf-8")
    video = re.compile(r"(data:video/mp4;base64,)[^\"']+")
    assert video.search(first) and video.sub(r"\1", again) == video.sub(r"\1", first)


@pytest.mark.parametrize("gone", ["evaluate", "render", "flow_masks", "inpaint", "train_fine", "ingest", "denoise"])
def test_a_page_without_one_part_names_it(workspace: Path, tmp_path: Path, gone: str) -> None:
    shutil.copytree(workspace, tmp_path / "w", ignore=shutil.ignore_patterns("report"))
    shutil.rmtree(tmp_path / "w" / "data" / NAME / gone)
    report(Stage(name="report", speaker=NAME, root=tmp_path / "w"))
    text = (tmp_path / "w" / "data" / NAME / "report" / "report.html").read_text(encoding="utf-8")
    assert f"<li>{gone}/" in text and f"run the stage {gone}" in text


def test_a_page_of_nothing_at_all(tmp_path: Path) -> None:
    build = build_workspace(tmp_path)
    shutil.rmtree(build)
    report(Stage(name="report", speaker=NAME, root=tmp_path))
    text = (build / "report" / "report.html").read_text(encoding="utf-8")
    assert "Not evaluated yet" in text and "ingest/ingest.json is not there" in text


def test_a_broken_part_is_named_and_the_rest_is_shown(workspace: Path, tmp_path: Path) -> None:
    shutil.copytree(workspace, tmp_path / "w", ignore=shutil.ignore_patterns("report"))
    (tmp_path / "w" / "data" / NAME / "denoise" / "denoise.json").write_text("{")
    report(Stage(name="report", speaker=NAME, root=tmp_path / "w"))
    text = (tmp_path / "w" / "data" / NAME / "report" / "report.html").read_text(encoding="utf-8")
    assert "denoise/denoise.json cannot be read" in text and "<video" in text


def _pairs(frames: int, size: tuple[int, int] = (62, 65)) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    for index in range(frames):
        yield np.full((*size, 3), 40 + 5 * index, np.uint8), np.full((*size, 3), 220 - 5 * index, np.uint8)


def test_the_embedded_video_holds_both_in_step_with_sound(tmp_path: Path) -> None:
    sound = (0.3 * np.sin(2 * np.pi * 440 * np.arange(16000) / 16000)).astype(np.float32)
    data, half, count = encode_side_by_side(_pairs(20), Fraction(25), sound, 16000, 20)
    (tmp_path / "v.mp4").write_bytes(data)
    assert half == (66, 62) and count == 20, "an odd side is padded: H.264 needs even ones"
    with av.open(str(tmp_path / "v.mp4")) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
        assert container.streams.audio[0].duration * container.streams.audio[0].time_base == pytest.approx(20 / 25, abs=0.07)
    assert len(frames) == 20
    for index, frame in enumerate(frames):
        assert abs(frame[10:50, 10:50].mean() - (40 + 5 * index)) < 3 and abs(frame[10:50, 76:120].mean() - (220 - 5 * index)) < 3


def test_videos_are_squeezed_into_their_budget_and_the_last_are_dropped() -> None:
    rng = np.random.default_rng(0)
    noise = [rng.integers(0, 255, (64, 64, 3), dtype=np.uint8) for _ in range(12)]

    def pairs() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        return iter(list(zip(noise, noise[::-1], strict=True)))

    roomy = encode_comparisons({"a": pairs, "b": pairs}, Fraction(25), None, 16000, 10_000_000)
    one = len(roomy["a"][0])
    tight = encode_comparisons({"a": pairs, "b": pairs}, Fraction(25), None, 16000, int(1.2 * one))
    assert sum(len(data) for data, _, _ in tight.values()) <= 1.2 * one
    assert list(encode_comparisons({"a": pairs, "b": pairs}, Fraction(25), None, 16000, one // 8)) in (["a"], [])


def _metrics(**own: float) -> dict:
    figures = {
        "psnr_face": 33.0,
        "psnr_mouth": 27.0,
        "lmd_px512": 1.5,
        "mouth_opening_r": 0.7,
        "mouth_opening_sd_ratio": 0.9,
        "frames": 160,
    }
    gain = {"psnr_mouth": 2.5, "psnr_face": 1.0, "ci95": {"psnr_mouth": [1.9, 3.1]}}
    return {
        "protocols": {"head/self": {**figures, "ci95": {}, **own}},
        "comparisons": {"head/self - head/wrong_audio": gain, "head/self - head/retrieval": {"psnr_face": 3.0}},
    }


def test_the_verdict_names_what_is_wrong_first() -> None:
    assert judge(_metrics()).level == "ok"
    under = judge(_metrics(mouth_opening_sd_ratio=0.4))
    assert under.level == "warn" and "40 %" in under.statements[0].text and "head/self" in under.statements[0].text
    deaf = _metrics()
    deaf["comparisons"]["head/self - head/wrong_audio"] = {"psnr_mouth": 0.1, "ci95": {"psnr_mouth": [-0.2, 0.4]}}
    assert judge(deaf).level == "warn" and "not certain that the mouth follows" in judge(deaf).headline
    deaf["comparisons"]["head/self - head/wrong_audio"] = {"psnr_mouth": -0.1, "ci95": {"psnr_mouth": [-0.5, 0.3]}}
    assert judge(deaf).level == "fail" and "does not follow the speech" in judge(deaf).headline
    assert "0.1 dB [-0.3 to 0.5 dB] behind wrong audio" in judge(deaf).headline, "the interval of what is said"
    still = _metrics()
    still["comparisons"]["head/self - head/static_mouth"] = {"psnr_mouth": -0.4, "ci95": {"psnr_mouth": [-0.6, -0.1]}}
    assert judge(still).level == "fail" and "loses to one that stands still by 0.4 dB" in judge(still).headline
    still["comparisons"]["head/self - head/static_mouth"] = {"psnr_mouth": 0.1, "ci95": {"psnr_mouth": [-0.1, 0.3]}}
    assert judge(still).level == "warn"
    assert judge(_metrics(frames_without_face=40)).level == "fail"
    torso = _metrics()
    torso["protocols"]["full/self"] = {"psnr_torso": 13.5, "ci95": {}}
    assert judge(torso).level == "warn" and "torso 13.5 dB" in judge(torso).headline
    assert judge(None).level == "warn" and not judge(None).statements


def test_a_seam_is_named_with_its_frames() -> None:
    seamed = _metrics(seam_ratio=1.05, join_ratio=1.02)
    seamed["protocols"]["full/self"] = {"seam_ratio": 1.1, "join_ratio": 1.42, "ci95": {}}
    seamed["seam_frame_ids"] = {"full/self": {"join_ratio": [3, 4, 5, 9, 20, 21, 40, 50]}}
    said = judge(seamed)
    assert said.level == "warn" and "there is a seam: the picture is 1.42 times as steep where the rendered head ends" in said.headline
    assert "full/self, join_ratio; above 1.3 in 8 frames: 3 to 5, 9, 20 to 21, 40 and others" in said.headline
    seamed["protocols"]["full/self"]["join_ratio"] = 1.3
    well = judge(seamed)
    assert well.level == "ok" and any("without a seam" in statement.text for statement in well.statements)
    seamed["protocols"]["full/self"] = {"seam_ratio": None, "ci95": {}}
    assert any("1.05 times as steep across the neck line" in statement.text for statement in judge(seamed).statements)


def test_worst_frames_lie_apart_and_are_the_worst_face_and_lips_in_turn() -> None:
    table = pd.DataFrame({"protocol": "head/self", "frame_id": range(100, 200), "psnr_face": 30.0})
    table.loc[table["frame_id"].between(120, 124), "psnr_face"] = [20, 19, 18, 19, 20]
    table.loc[table["frame_id"] == 180, "psnr_face"] = 25
    table.loc[table["frame_id"] == 150, "psnr_face"] = np.nan
    assert worst_frame_ids(table, "head/self", 2, 10) == {122: "worst face", 180: "worst face"}
    table["lmd_px512"] = 1.0
    table.loc[table["frame_id"] == 125, "lmd_px512"] = 9.0
    table.loc[table["frame_id"] == 160, "lmd_px512"] = 5.0
    assert worst_frame_ids(table, "head/self", 3, 10) == {122: "worst face", 160: "worst lips", 180: "worst face"}
    assert len(worst_frame_ids(table[:12], "head/self", 5, 10)) == 5, "a short clip has five as well, nearer to each other"


def test_the_worst_frames_show_the_face(workspace: Path) -> None:
    artifacts = read_speaker_artifacts(workspace / "data" / NAME)
    (left, top, side), nowhere = (face_squares(artifacts, [30, 999], 256)[frame] for frame in (30, 999))
    assert 0.2 < side < 0.6 and 0 < left < 1 - side and 0 < top < 0.4, "the astronaut's face, not the frame"
    assert nowhere == (0.0, 0.0, 1.0)
    assert cut_square(np.zeros((100, 100, 3), np.uint8), (0.25, 0.1, 0.5)).shape == (50, 50, 3)


def test_tables() -> None:
    table = metrics_table(_metrics())
    assert table.head == ["Figure", "head/self"] and ["PSNR face, dB ↑", "33.00"] in [list(row) for row in table.rows]
    assert flat_rows({"a": {"b": 1.5, "c": [1, 2]}, "d": list(range(20))}) == [
        ("a.b", "1.5"),
        ("a.c", "1, 2"),
        ("d", "0, 1, 2, 3, … (20 values)"),
    ]
    assert any(row[0] == "numpy" and row[1] and row[2] for row in licence_table().rows)
    chosen = {"speech_features": {"method": "ave"}, "inpaint": {"method": "lama"}, "segment": {"segmenter": "selfie"}}
    rows = {row[0]: row[1:] for row in weights_table(chosen).rows}
    assert rows["ave"] == ["CC BY-NC 4.0", "no"] and rows["lama"] == ["Apache-2.0", "yes"] and "bisenet" not in rows


def test_plots_follow_the_theme_and_describe_themselves() -> None:
    with themed_figure() as figure:
        axes = figure.subplots()
        axes.plot([1, 2, 3], [1, 4, 9])
        svg = to_svg(figure, "square", 'squares & "more"')
    assert svg.startswith('<svg role="img" aria-label="squares &amp; &quot;more&quot;"')
    assert "var(--ink)" in svg or "var(--muted)" in svg
    assert not re.search(r"#0[0-9a]0[0-9a]0[0-9a]", svg) and "<metadata" not in svg


@needs_chromium
def test_in_a_browser_the_video_plays_switches_and_listens_to_keys(page: Path, tmp_path: Path) -> None:
    mean = CANVAS_WIDTH_AND_MEAN
    with Browser(tmp_path / "profile") as browser:
        browser.open(page)
        browser.wait(f"document.querySelector('video').readyState >= 2 && {mean}[1] > 20")
        width, brightness = browser.run(mean)
        assert width == 512
        for view, expected in (("render", 256), ("difference", 256)):
            browser.run(f"document.querySelector('input[value={view}]').click()")
            assert browser.run(mean)[0] == expected
        assert 0 < browser.run(mean)[1] < brightness / 2, "a blurred copy differs a little"
        browser.run("document.querySelector('.controls button').click()")
        browser.wait("document.querySelector('video').currentTime > 0.15")
        browser.run("document.querySelector('canvas').focus()")
        browser.press(" ")
        browser.wait("document.querySelector('video').paused")
        frame = "Number(document.querySelector('input[type=range]').value)"
        slide = "(() => { const s = document.querySelector('input[type=range]'); s.value = 3; s.dispatchEvent(new Event('input')); })()"
        browser.run(slide)
        browser.wait(f"{frame} === 3 && !document.querySelector('video').seeking")
        browser.press("ArrowLeft")
        browser.wait(f"{frame} === 2")
        assert browser.run("document.querySelectorAll('[data-seek]:not([hidden])').length") > 0
        browser.run("document.querySelector('[data-seek]').click()")
        browser.wait(f"{frame} === Number(document.querySelector('[data-seek]').dataset.seek)")
        assert browser.run("document.querySelector('.player p').textContent").startswith("head/self"), "the protocol that was judged"
        assert browser.run("document.querySelector('video').duration") == pytest.approx(len(HELD_OUT) / 25, abs=0.1)
        assert not browser.errors
        assert all(request.startswith(("file:", "data:", "blob:")) for request in browser.requests)


@needs_chromium
def test_in_a_browser_that_loads_no_video_before_it_plays_its_first_frame_is_shown(page: Path, tmp_path: Path) -> None:
    """As on phones; the player stood black there."""
    text = re.sub(r"(data:video/mp4;base64,)[A-Za-z0-9+/=]+", r"\1AAAA", page.read_text(encoding="utf-8"))
    (tmp_path / "page.html").write_text(text, encoding="utf-8")
    with Browser(tmp_path / "profile") as browser:
        browser.open(tmp_path / "page.html")
        browser.wait(f"{CANVAS_WIDTH_AND_MEAN}[1] > 20")
        assert browser.run(CANVAS_WIDTH_AND_MEAN)[0] == 512 and browser.run("document.querySelector('video').readyState") == 0
        browser.without_scripts()
        browser.open(tmp_path / "page.html")
        shown = browser.screenshot()[browser.box("video")]
        assert shown.mean() > 20 and shown.std() > 10, "without scripts, too"


@needs_chromium
def test_in_a_browser_it_fits_a_phone_and_a_desk_and_reads_aloud(page: Path, tmp_path: Path) -> None:
    with Browser(tmp_path / "profile") as browser:
        browser.open(page)
        seen = set()
        for width in (390, 1280):
            browser.resize(width, 900)
            assert browser.run("document.documentElement.scrollWidth") <= width, f"scrolls sideways at {width} px"
            for scheme in ("light", "dark"):
                browser.theme(scheme)
                seen.add(browser.run("getComputedStyle(document.body).backgroundColor"))
        assert len(seen) == 2, "light and dark differ"
        for role, name in browser.accessible_nodes():
            if role in ("button", "radio", "slider", "combobox", "image", "img", "region", "link"):
                assert name.strip(), f"a {role} without a name"
        stops = []
        for _ in range(17):
            browser.press("Tab")
            stops.append(browser.run("document.activeElement.tagName"))
        assert stops[0] == "A" and {"CANVAS", "BUTTON", "INPUT", "SELECT"} <= set(stops), stops


def test_findings_without_advice_or_unknown_keys_do_not_break_the_page(workspace: Path, tmp_path: Path) -> None:
    shutil.copytree(workspace, tmp_path / "w", ignore=shutil.ignore_patterns("report"))
    file = tmp_path / "w" / "data" / NAME / "ingest" / "ingest.json"
    ingest = read_json(file)
    ingest["findings"] = [{"level": "fail", "code": "x", "message": "something new"}]
    write_json(file, ingest)
    report(Stage(name="report", speaker=NAME, root=tmp_path / "w"))
    assert "something new" in (tmp_path / "w" / "data" / NAME / "report" / "report.html").read_text(encoding="utf-8")

"""Pages say that their pictures are made: to people in a line, to programs as JSON, and in the pictures themselves."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from talkhead_core.errors import InputError
from talkhead_core.provenance.credentials import Origin, sign_file
from talkhead_core.provenance.page_statement import page_evidence, page_statement
from talkhead_core.provenance.signer import local_signer
from talkhead_core.provenance.software import code_sha256, software_version
from talkhead_core.provenance.still_mark import bears_mark, marked_still
from talkhead_core.provenance.verification import verify_file, verify_page
from talkhead_core.report.html_page import render_page
from talkhead_core.report.pictures import frame_picture, jpeg_uri, picture_strip
from tasks import verify
from tasks.report_dub import write_dub_page
from tests.footage_maker import moving_portrait, plain_video, portrait

KEY = "tests"
some = settings(max_examples=50, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
ORIGIN = Origin(
    title="dub.mp4",
    kind="dub",
    model="ada",
    model_sha256="ab" * 32,
    data_sha256={"speech": "cd" * 32},
    composite=True,
    synthetic_speaker=False,
    consent_sha256="ef" * 32,
    watermark=False,
)


def bare_page(*origins: dict[str, Any], pictures: str = "") -> bytes:
    statement = page_statement(origins)
    text = render_page("index_page.html", title="t", speakers=[], protocol="p", local_media=True, statement=statement)
    return (text + pictures).encode()


def test_a_line_for_people_and_the_same_for_programs() -> None:
    statement = page_statement([ORIGIN.facts()])
    assert statement.sentence.startswith("This page contains AI-generated pictures, made by talkhead ")
    for part in (software_version(), code_sha256()[:12], "'ada'", "abababababab…"):
        assert part in statement.sentence
    assert ("speech, SHA-256", "cd" * 32) in statement.rows and ("weights, SHA-256", "ab" * 32) in statement.rows
    found = page_evidence(bare_page(ORIGIN.facts()), KEY)
    assert found.ai_generated and found.statement is not None
    assert found.statement["origins"] == [json.loads(json.dumps(ORIGIN.facts()))]
    assert "No real person" in page_statement([{**ORIGIN.facts(), "synthetic_speaker": True}]).sentence


@pytest.mark.parametrize("name", ["</script><script>alert(1)</script>", "a & <b>", "\u2028'\""])
def test_nothing_gets_out_of_the_statement(name: str) -> None:
    page = bare_page({**ORIGIN.facts(), "model": name})
    found = page_evidence(page, KEY).statement
    assert found is not None and found["origins"][0]["model"] == name
    assert b"<script>alert" not in page and page.count(b"</script>") == 2, "the statement and the player"


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8), lambda inner: st.lists(inner, max_size=3), max_leaves=6
)


@some
@given(st.dictionaries(st.sampled_from([*ORIGIN.facts(), "x"]), anything | st.dictionaries(st.text(max_size=4), anything, max_size=3)))
def test_credentials_of_any_content_make_a_page(origin: dict[str, Any]) -> None:
    found = page_evidence(bare_page(origin), KEY)
    assert found.statement is not None and found.statement["origins"] == [origin]


@some
@given(st.binary(max_size=80))
def test_a_page_that_says_nonsense_is_read_without_a_word(content: bytes) -> None:
    page = b'<script type="application/json" id="talkhead-provenance">' + content + b"</script>"
    found = page_evidence(page + b' src="data:image/jpeg;base64,' + base64.b64encode(content) + b'"', KEY)
    assert found.marked == 0 and (found.statement is None or isinstance(found.statement, dict))
    assert "\n" not in found.sentence()


def test_still_pictures_bear_a_mark_that_is_found_in_each_alone() -> None:
    face, blurred = portrait(), cv2.GaussianBlur(portrait(), (0, 0), 1.5)
    row = [face, blurred, np.clip(4 * np.abs(face.astype(int) - blurred), 0, 255).astype(np.uint8)]
    marked = [picture_strip(row, alt="a", caption="c", key=KEY), frame_picture(face, 3, 25.0, "why", KEY)]
    plain = [picture_strip(row, alt="a", caption="c"), frame_picture(face, 3, 25.0, "why")]
    page = "".join(f'<img src="{picture.uri}">' for picture in (*marked, *plain)).encode()
    found = page_evidence(page, KEY)
    assert (found.pictures, found.marked, found.ai_generated, found.statement) == (4, 2, True, None)
    assert page_evidence(page, "another key").marked == 0


def test_what_bears_the_mark_is_not_marked_again() -> None:
    once = marked_still(portrait(), KEY)
    assert bears_mark(once, KEY) and not bears_mark(portrait(), KEY)
    assert marked_still(once, KEY) is once
    assert np.abs(once.astype(int) - portrait()).max() <= 3, "as faint as in a video"


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return plain_video(tmp_path_factory.mktemp("recording") / "plain.mp4", 1.0)


def test_the_page_of_a_dub_says_what_the_dubs_credentials_say(recording: Path, tmp_path: Path) -> None:
    sign_file(recording, tmp_path / "dub.mp4", ORIGIN, local_signer(tmp_path / "signer.pem"))
    write_dub_page(tmp_path, tmp_path / "dub.mp4", tmp_path / "dub.html")
    page = verify_page(tmp_path / "dub.html")
    assert page.statement is not None and page.statement["origins"][0]["data_sha256"] == {"speech": "cd" * 32}
    assert page.pictures >= 2 and page.marked == page.pictures, "the poster and the frames to look at"
    text = (tmp_path / "dub.html").read_text()
    assert '<p class="made-by-ai">This page contains AI-generated pictures' in text and "cd" * 32 in text


def test_the_page_of_a_video_of_which_nothing_is_known_says_so(recording: Path, tmp_path: Path) -> None:
    (tmp_path / "some.mp4").write_bytes(recording.read_bytes())
    write_dub_page(tmp_path, tmp_path / "some.mp4", tmp_path / "some.html")
    page = verify_page(tmp_path / "some.html")
    assert (page.statement, page.marked, page.ai_generated) == (None, 0, False), "it may be a recording"
    assert "Nothing tells where this video comes from" in (tmp_path / "some.html").read_text()


def test_the_command_reads_a_page_without_a_video(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As that of a dub too large to be part of it."""
    monkeypatch.chdir(tmp_path)
    still = jpeg_uri(marked_still(moving_portrait(1)[0], "talkhead"))
    (tmp_path / "page.html").write_bytes(bare_page(ORIGIN.facts(), pictures=f'<img src="{still}">'))
    assert verify_file(tmp_path / "page.html") == []
    for options in ([], ["--json"]):
        monkeypatch.setattr("sys.argv", ["verify", "page.html", *options])
        verify._main()
    lines, told = capsys.readouterr().out.split("[", 1)
    assert "says (unsigned): AI-generated; 1 of 1 still pictures bear talkhead's mark" in lines and "model         ada" in lines
    (entry,) = json.loads("[" + told)
    assert entry["ai_generated"] is True and entry["page"]["still_pictures_marked"] == 1
    (tmp_path / "other.html").write_text("<p>nothing</p>")
    with pytest.raises(InputError, match="embeds no video and says nothing"):
        verify_file(tmp_path / "other.html")

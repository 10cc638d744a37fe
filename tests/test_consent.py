"""Nobody is trained or dubbed without a consent record that holds."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from flows.speaker_registration import consent_from_document, consent_from_statement
from talkhead_core.consent import Consent, read_consent, statement_hash, write_consent
from talkhead_core.errors import ConsentError, ParameterError
from tasks.stage import Stage
from tests.toy_workspace import add_speaker, make_toy_workspace, ran, talkhead

CONSENT = Consent(who="Ada", purpose="tests", given_on="2020-01-01", statement_sha256=statement_hash("yes"))


def test_record_survives_writing(tmp_path: Path) -> None:
    record = replace(CONSENT, until="2031-12-31", synthetic=True)
    write_consent(tmp_path / "consent.json", record)
    assert read_consent(tmp_path / "consent.json", "ada") == record


@pytest.mark.parametrize(
    ("changes", "today", "message"),
    [
        ({"until": "2030-01-31"}, "2030-02-01", "consent ended on 2030-01-31"),
        ({"withdrawn_on": "2025-05-05"}, "2025-05-05", "withdrew consent on 2025-05-05"),
        ({"withdrawn_on": "2025-05-05", "until": "2030-01-31"}, "2026-01-01", "withdrew"),
    ],
)
def test_consent_that_no_longer_holds(changes: dict[str, str], today: str, message: str) -> None:
    with pytest.raises(ConsentError, match=message):
        replace(CONSENT, **changes).check("ada", date.fromisoformat(today))


def test_consent_that_holds() -> None:
    CONSENT.check("ada")
    replace(CONSENT, until="2030-01-31").check("ada", date(2030, 1, 31))


@pytest.mark.parametrize(
    "changes",
    [{"who": " "}, {"purpose": ""}, {"given_on": "yesterday"}, {"until": "2030-2-1"}, {"statement_sha256": "abc"}],
)
def test_malformed_records(changes: dict[str, str]) -> None:
    with pytest.raises(ParameterError):
        replace(CONSENT, **changes)


@pytest.mark.parametrize("text", ["", "[]", '{"who": "Ada"}', '{"who": 1}', "{", '{"whom": "Ada"}'])
def test_files_that_are_no_record(tmp_path: Path, text: str) -> None:
    path = tmp_path / "consent.json"
    path.write_text(text)
    with pytest.raises(ConsentError, match="is not a consent record"):
        read_consent(path, "ada")


def test_statement_names_person_and_purpose() -> None:
    consent = consent_from_statement("Ada Lovelace, product videos, in 2030")
    assert (consent.who, consent.purpose) == ("Ada Lovelace", "product videos, in 2030")
    for incomplete in ("Ada Lovelace", "Ada,", ", videos", ""):
        with pytest.raises(ConsentError):
            consent_from_statement(incomplete)


def test_signed_document_is_hashed(tmp_path: Path) -> None:
    document = tmp_path / "signed.pdf"
    document.write_bytes(b"%PDF signed by Ada")
    assert consent_from_document(document, "Ada, tests", "ada").statement_sha256 == statement_hash(b"%PDF signed by Ada")
    with pytest.raises(ConsentError, match="is no JSON record"):
        consent_from_document(document, None, "ada")
    with pytest.raises(ConsentError, match="cannot be read"):
        consent_from_document(tmp_path / "missing.pdf", "Ada, tests", "ada")


def test_stage_reads_the_record_beside_the_video(tmp_path: Path) -> None:
    stage = Stage(name="train_coarse", speaker="ada", root=tmp_path)
    with pytest.raises(ConsentError, match="has no consent record"):
        stage.consent()
    write_consent(tmp_path / "data/ada/raw/consent.json", CONSENT)
    assert stage.consent() == CONSENT


def test_command_line_takes_a_record_and_stops_when_it_ends(tmp_path: Path) -> None:
    root = make_toy_workspace(tmp_path)
    (root / "good.mp4").write_bytes(b"good")
    record = root / "record.json"
    record.write_text(json.dumps(replace(CONSENT, until="2020-02-01").as_json()))
    run = ("run", "--speaker", "ada", "--video", "good.mp4", "--profile", "smoke")
    refused = talkhead(root, *run, "--consent", str(record))
    assert refused.returncode == 1 and "consent ended on 2020-02-01" in refused.stderr
    assert not (root / "data").exists() and ran(root) == []
    record.write_text(json.dumps(CONSENT.as_json()))
    assert talkhead(root, *run, "--consent", str(record)).returncode == 0
    assert read_consent(root / "data/ada/raw/consent.json", "ada") == CONSENT
    ran(root)
    write_consent(root / "data/ada/raw/consent.json", replace(CONSENT, withdrawn_on="2020-02-01"))
    withdrawn = talkhead(root, "run", "--speaker", "ada")
    assert withdrawn.returncode == 1 and "withdrew consent" in withdrawn.stderr and ran(root) == []


@pytest.mark.parametrize(("answers", "code"), [("Ada Lovelace\ntests\n2999-12-31\ny\n", 0), ("Ada Lovelace\ntests\n\nn\n", 1)])
def test_a_person_at_a_terminal_is_asked_once(tmp_path: Path, answers: str, code: int) -> None:
    root = make_toy_workspace(tmp_path)
    (root / "good.mp4").write_bytes(b"good")
    master, terminal = os.openpty()
    command = [sys.executable, "-m", "flows.command_line", "run", "--speaker", "ada", "--video", "good.mp4", "--profile", "smoke"]
    os.write(master, answers.encode())
    process = subprocess.run(command, cwd=root, stdin=terminal, capture_output=True, text=True, timeout=300, check=False)
    assert process.returncode == code, process.stderr
    assert "Who is shown and has agreed" in process.stderr
    if code == 0:
        assert read_consent(root / "data/ada/raw/consent.json", "ada").until == "2999-12-31"
        again = subprocess.run(command, cwd=root, stdin=terminal, capture_output=True, text=True, timeout=300, check=False)
        assert again.returncode == 0 and "agreed" not in again.stderr
    else:
        assert "needs the consent of the person shown" in process.stderr and not (root / "data").exists()
    os.close(master)
    os.close(terminal)


@pytest.mark.parametrize("stage", ["ingest", "train_coarse", "train_fine", "train_torso", "render"])
def test_stages_that_need_consent_refuse_by_themselves(tmp_path: Path, stage: str) -> None:
    """Also when started by hand, past the command line."""
    root = make_toy_workspace(tmp_path)
    add_speaker(root, "ada")
    (root / "data/ada/raw/consent.json").unlink()
    (root / f"tasks/{stage}.py").write_text(
        'from tasks.stage import main\n\nif __name__ == "__main__":\n    main(lambda stage: print("worked"))\n'
    )
    command = [sys.executable, "-m", f"tasks.{stage}", "--speaker", "ada"]
    result = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert result.returncode == 1 and "has no consent record" in result.stderr and "worked" not in result.stdout


def test_dub_refuses_without_consent(tmp_path: Path) -> None:
    root = make_toy_workspace(tmp_path)
    add_speaker(root, "ada")
    (root / "speech.wav").write_bytes(b"speech")
    assert talkhead(root, "run", "--speaker", "ada").returncode == 0
    write_consent(root / "data/ada/raw/consent.json", replace(CONSENT, withdrawn_on="2020-02-01"))
    result = talkhead(root, "dub", "--speaker", "ada", "--audio", "speech.wav", "--out", "x.mp4")
    assert result.returncode == 1 and "withdrew consent" in result.stderr and not (root / "x.mp4").exists()

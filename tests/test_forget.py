"""A speaker who is forgotten leaves nothing behind, and takes nothing that is another's."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from flows.child_process import child_environment
from flows.forgetting import forget
from flows.speaker_registration import consent_from_statement
from flows.stage_runs import reproduce
from flows.workspace import Workspace
from talkhead_core.consent import read_consent, write_consent
from talkhead_core.errors import InputError, TalkheadError
from talkhead_core.speakers import read_speakers, write_speakers
from tests.toy_workspace import add_speaker, commit_all, make_toy_workspace, ran, talkhead

STAGES = ("ingest", "extract_audio", "denoise")


def dvc(root: Path, *arguments: str) -> str:
    command = ["dvc", *arguments]
    return subprocess.run(command, cwd=root, env=child_environment(), capture_output=True, text=True, check=True).stdout


def objects(store: Path) -> set[str]:
    return {str(path.relative_to(store)) for path in store.rglob("*") if path.is_file()}


def traces(folder: Path, *needles: str) -> list[str]:
    """Files below ``folder`` with one of ``needles`` in their name or content."""
    found = []
    for path in folder.rglob("*"):
        content = path.read_bytes() if path.is_file() else b""
        if any(needle in str(path.relative_to(folder)) or needle.encode() in content for needle in needles):
            found.append(str(path.relative_to(folder)))
    return found


@pytest.fixture(scope="module")
def trained_workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ada and Bob, each with results of their own, in DVC's cache and in a remote."""
    folder = tmp_path_factory.mktemp("trained")
    root = make_toy_workspace(folder)
    for name in ("ada", "bob"):
        add_speaker(root, name)
        record = root / "data" / name / "raw" / "consent.json"
        write_consent(record, replace(read_consent(record, name), who=name))
        list(reproduce(Workspace(root), name, STAGES))
    dvc(root, "remote", "add", "-d", "shared", "../remote")
    dvc(root, "push", "--run-cache", "-q")
    return folder


@pytest.fixture
def root(trained_workspace: Path, tmp_path: Path) -> Path:
    """A copy of it, with a dub of Ada far away."""
    shutil.copytree(trained_workspace, tmp_path / "copy", symlinks=True)
    root = tmp_path / "copy" / "workspace"
    video = tmp_path / "elsewhere" / "ada.mp4"
    video.parent.mkdir()
    video.write_bytes(b"a dub of ada")
    line = {"speaker": "ada", "video": str(video), "sha256": hashlib.sha256(b"a dub of ada").hexdigest(), "switched_off": []}
    moved = {**line, "video": str(tmp_path / "elsewhere" / "moved.mp4")}
    theirs = {**line, "speaker": "bob", "video": str(tmp_path / "elsewhere" / "bob.mp4")}
    (root / ".talkhead" / "provenance.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in (line, moved, theirs)) + "{cut")
    for name in ("out/ada", "checkpoints/ada/train_coarse", ".talkhead/logs/ada"):
        (root / name).mkdir(parents=True, exist_ok=True)
        (root / name / "x").write_text("of ada")
    ran(root)
    return root


def twin(root: Path, name: str, of: str) -> None:
    """A speaker whose results are, to the byte, those of another: the same recording registered twice."""
    shutil.copytree(root / "data" / of, root / "data" / name)
    speakers = read_speakers(root / "speakers.yaml")
    video = speakers[of].video.replace(f"data/{of}/", f"data/{name}/")
    write_speakers(root / "speakers.yaml", {**speakers, name: replace(speakers[of], video=video)})
    lock = yaml.safe_load((root / "dvc.lock").read_text())
    for stage in [stage for stage in lock["stages"] if stage.endswith(f"@{of}")]:
        text = json.dumps(lock["stages"][stage]).replace(f"data/{of}/", f"data/{name}/").replace(f"--speaker {of}", f"--speaker {name}")
        lock["stages"][stage.replace(f"@{of}", f"@{name}")] = json.loads(text)
    (root / "dvc.lock").write_text(yaml.safe_dump(lock, sort_keys=False))


def test_nothing_is_left_and_the_other_speaker_is_whole(root: Path, tmp_path: Path) -> None:
    cache, remote = root / ".dvc" / "cache", root.parent / "remote"
    before = objects(cache), objects(remote)
    assert before[0] == before[1]
    result = talkhead(root, "forget", "--speaker", "ada", "--yes", "--json")
    assert result.returncode == 0, result.stderr
    gone = json.loads(result.stdout)
    assert gone["left"] == [] and gone["shared"] == []
    assert any("data/ada/raw/video.mp4" in name for name in gone["files"]) and str(tmp_path / "elsewhere" / "ada.mp4") in gone["files"]
    assert gone["changed"] == [str(tmp_path / "elsewhere" / "moved.mp4")]
    for name, store, held in (("DVC's cache", cache, before[0]), ("remote 'shared'", remote, before[1])):
        assert {str(Path(file).relative_to(store)) for file in gone["objects"][name]} == held - objects(store)
        assert len(held - objects(store)) == len(held) / 2, "as many of Ada's as of Bob's"
        assert traces(store, "data/ada/") == []
    assert not (tmp_path / "elsewhere" / "ada.mp4").exists()
    own = ("data", "out", "checkpoints", ".talkhead", ".dvc/cache", "speakers.yaml", "dvc.lock")
    left = {name for name in traces(root, "/ada", "@ada", "-ada", "ada:", '"ada"') if name.startswith(own)}
    assert {Path(name).parent.name for name in left} == {"forgotten"}, "nothing but the proof"
    assert "up to date" in dvc(root, "status", *(f"{stage}@bob" for stage in STAGES))
    list(reproduce(Workspace(root), "bob", STAGES))
    assert ran(root) == []
    again = talkhead(root, "forget", "--speaker", "ada", "--yes")
    assert again.returncode == 1 and "nothing is kept of a speaker 'ada'" in again.stderr


def test_what_two_speakers_share_stays_for_the_other(root: Path) -> None:
    twin(root, "eve", of="ada")
    before = objects(root / ".dvc" / "cache")
    gone = forget(Workspace(root), "ada")
    assert len(gone.shared) >= 3 and gone.left == []
    assert traces(root / ".dvc" / "cache", "data/ada/") == []
    assert {name for name in before - objects(root / ".dvc" / "cache") if not name.startswith("runs")} == set(), "all of it is Eve's too"
    assert "up to date" in dvc(root, "status", *(f"{stage}@eve" for stage in STAGES))


def test_results_that_only_git_remembers_go_too(root: Path) -> None:
    subprocess.run(["git", "add", "-f", "dvc.lock"], cwd=root, check=True)
    commit_all(root)
    lock = yaml.safe_load((root / "dvc.lock").read_text())
    lock["stages"] = {name: entry for name, entry in lock["stages"].items() if name.endswith("@bob")}
    (root / "dvc.lock").write_text(yaml.safe_dump(lock))
    (root / ".talkhead" / "dvc.lock.good").unlink(missing_ok=True)
    shutil.rmtree(root / ".dvc/cache/runs")
    shutil.rmtree(root / "data" / "ada" / "denoise")
    before = objects(root / ".dvc/cache")
    assert forget(Workspace(root), "ada").left == []
    assert len(objects(root / ".dvc/cache")) == len(before) / 2


def test_a_remote_that_does_not_answer_stops_it_before_anything_is_removed(root: Path) -> None:
    """And what it takes to reach it is not told to anybody."""
    dvc(root, "remote", "add", "far", "s3://bucket/prefix")
    with (root / ".dvc" / "config.local").open("a") as file:
        file.write("['remote \"far\"']\n    endpointurl = http://127.0.0.1:9\n    connect_timeout = 1\n    access_key_id = key\n")
        file.write("    secret_access_key = verysecret\n")
    before = objects(root / "data"), objects(root / ".dvc/cache")
    result = talkhead(root, "forget", "--speaker", "ada", "--yes", AWS_MAX_ATTEMPTS="1")
    assert result.returncode == 1 and "remote 'far' cannot be read" in result.stderr
    assert result.stderr.count("\n") == 1 and "verysecret" not in result.stderr + result.stdout
    assert (objects(root / "data"), objects(root / ".dvc/cache")) == before


def test_killed_half_way_it_goes_on(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    removed: list[Path] = []

    def killed(path: Path) -> None:
        if len(removed) == 3:
            raise KeyboardInterrupt
        removed.append(path)
        shutil.rmtree(path) if path.is_dir() else path.unlink()

    monkeypatch.setattr("flows.forgetting._remove", killed)
    with pytest.raises(KeyboardInterrupt):
        forget(Workspace(root), "ada")
    monkeypatch.undo()
    assert forget(Workspace(root), "ada").left == []
    assert not (root / "data" / "ada").exists() and "ada" not in read_speakers(root / "speakers.yaml")


def test_it_is_never_done_unasked(root: Path) -> None:
    result = talkhead(root, "forget", "--speaker", "ada")
    assert result.returncode == 1 and "--yes" in result.stderr and (root / "data/ada").is_dir()
    for name in ("../bob", "nobody", ""):
        with pytest.raises(InputError):
            forget(Workspace(root), name)
    assert (root / "data/bob/raw/video.mp4").is_file()


def test_it_waits_for_nobody_at_work(root: Path) -> None:
    with Workspace(root).locked("run-ada"), pytest.raises(TalkheadError, match="at work on speaker 'ada'"):
        forget(Workspace(root), "ada")
    assert (root / "data/ada").is_dir()


def test_consent_is_shown_and_withdrawn(root: Path) -> None:
    shown = json.loads(talkhead(root, "consent", "--speaker", "ada", "--json").stdout)
    assert shown["who"] == "ada" and shown["state"] == "holds"
    assert "withdrew consent" in talkhead(root, "consent", "--speaker", "ada", "--withdraw").stdout
    refused = talkhead(root, "run", "--speaker", "ada")
    assert refused.returncode == 1 and "withdrew consent" in refused.stderr and ran(root) == []
    assert talkhead(root, "consent", "--speaker", "nobody").returncode == 1


def test_consent_ends_on_the_day_that_was_said(root: Path) -> None:
    (root / "good.mp4").write_bytes(b"good")
    run = ("run", "--speaker", "new", "--video", "good.mp4", "--profile", "smoke", "--i-have-consent", "Ada, tests")
    over = talkhead(root, *run, "--consent-until", "2020-01-31")
    assert over.returncode == 1 and "consent ended on 2020-01-31" in over.stderr and not (root / "data/new").exists()
    wrong = talkhead(root, *run, "--consent-until", "tomorrow")
    assert wrong.returncode == 1 and "must be a date" in wrong.stderr
    assert consent_from_statement("Ada, tests", until="2999-01-31").until == "2999-01-31"


def test_what_lies_on_another_disk_goes_too(root: Path, tmp_path: Path) -> None:
    """A speaker's folder, or one in it, is a link out of the workspace: what it leads to is the speaker's, and is gone."""
    disk = tmp_path / "disk"
    disk.mkdir()
    shutil.move(root / "data" / "ada", disk / "ada")
    (root / "data" / "ada").symlink_to(disk / "ada")
    shutil.move(root / "data" / "bob" / "raw", disk / "raw")
    (root / "data" / "bob" / "raw").symlink_to(disk / "raw")
    gone = forget(Workspace(root), "ada")
    assert gone.left == [] and str(disk / "ada" / "raw" / "video.mp4") in gone.files
    assert not (disk / "ada").exists() and (disk / "raw" / "video.mp4").is_file()
    forget(Workspace(root), "bob")
    assert list(disk.iterdir()) == [] and not (root / "data" / "bob").exists()


def test_a_link_to_more_than_the_speaker_is_left_to_people(root: Path) -> None:
    (root / "out" / "ada" / "all").symlink_to(root.parent)
    with pytest.raises(TalkheadError, match="holds more than this speaker"):
        forget(Workspace(root), "ada")
    assert (root / "data/ada/raw/video.mp4").is_file() and (root / "speakers.yaml").is_file()

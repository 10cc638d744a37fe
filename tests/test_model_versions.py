"""Versions of a model: promoted when as good, dubbed from while another is trained, rolled back; with toy stages."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from flows.incoming import arrivals, remember, remembered, take_in
from flows.model_versions import add_version, is_trained, read_history
from flows.promotion import PromotionRule, promote_if_as_good, shortcomings
from flows.speaker_registration import Registration, register
from flows.speaker_runs import bring_up_to_date
from flows.stage_runs import StageEvent
from flows.version_workspace import make_version_workspace
from flows.workspace import Workspace
from talkhead_core.consent import Consent, read_consent, statement_hash, write_consent
from talkhead_core.errors import ConsentError, InputError, ParameterError
from tests.toy_workspace import make_toy_workspace, ran, set_parameter, talkhead

CONSENT = Consent(who="Ida", purpose="tests", given_on="2020-01-01", statement_sha256=statement_hash("yes"))
RULE = PromotionRule()


def _train(workspace: Workspace, content: str) -> None:
    video = workspace.root / "new.mp4"
    video.write_text(content)
    request = Registration(speaker="ida", video=video, profile="smoke", replace=True)
    register(workspace, request, lambda: CONSENT, lambda event: None)
    bring_up_to_date(workspace, "ida", lambda event: None)


def _dubbed(root: Path) -> str:
    result = talkhead(root, "dub", "--speaker", "ida", "--audio", "speech.wav", "--out", "check.mp4")
    assert result.returncode == 0, result.stderr
    return (root / "check.mp4").read_text()


@pytest.mark.slow
def test_a_model_is_promoted_when_it_is_as_good_and_rolled_back(tmp_path: Path) -> None:
    workspace = Workspace(make_toy_workspace(tmp_path))
    root = workspace.root
    (root / "speech.wav").write_bytes(b"speech")
    _train(workspace, "good 31")
    before_any = _dubbed(root)
    first = promote_if_as_good(workspace, "ida", "test", RULE)
    assert first.taken and first.version.number == 1 and first.version.scores["psnr_face"] == 31
    assert _dubbed(root) == before_any, "the first version is what was trained"
    _train(workspace, "good 30.5 others 31")
    second = promote_if_as_good(workspace, "ida", "test", RULE)
    assert not second.taken and second.reasons == ("psnr_face is 30.5 (in use: 31)",)
    assert _dubbed(root) == before_any, "the old model stays in use while the new one lies beside it"
    assert promote_if_as_good(workspace, "ida", "test", replace(RULE, tolerance=0.1)).taken, "within the tolerance"
    _train(workspace, "good 31.5")
    third = promote_if_as_good(workspace, "ida", "test", RULE)
    assert third.taken and third.version.number == 3
    assert promote_if_as_good(workspace, "ida", "test", RULE).version == third.version, "the same model is no new version"
    newest = _dubbed(root)
    assert newest != before_any
    for words, number in (((), 2), (("--to", "1"), 1)):
        result = talkhead(root, "versions", "rollback", "--speaker", "ida", *words, "--json")
        assert result.returncode == 0 and json.loads(result.stdout)["version"] == number, result.stderr
    assert _dubbed(root) == before_any
    again = talkhead(root, "versions", "rollback", "--speaker", "ida")
    assert again.returncode == 1 and "there is none to go back to" in again.stderr
    listed = json.loads(talkhead(root, "versions", "list", "--speaker", "ida", "--json").stdout)
    assert [(row["version"], row["in_use"], row["scores"]["psnr_face"]) for row in listed] == [
        (1, True, 31),
        (2, False, 30.5),
        (3, False, 31.5),
    ]
    assert talkhead(root, "run", "--speaker", "ida").returncode == 0
    assert read_history(workspace, "ida").current == 3, "who runs it by hand wants what it makes"  # type: ignore[union-attr]
    _versions_outlive_what_happens_around_them(workspace, before_any)


def _versions_outlive_what_happens_around_them(workspace: Workspace, first_dub: str) -> None:
    """DVC's cache is collected, the consent is withdrawn."""
    root = workspace.root
    for path in (root / ".dvc/cache/files").rglob("*"):
        if path.is_file():
            path.unlink()
    assert talkhead(root, "versions", "rollback", "--speaker", "ida", "--to", "1").returncode == 0
    assert _dubbed(root) == first_dub
    path = workspace.stage_folder("ida", "raw") / "consent.json"
    write_consent(path, replace(read_consent(path, "ida"), withdrawn_on="2020-02-02"))
    result = talkhead(root, "dub", "--speaker", "ida", "--audio", "speech.wav", "--out", "check.mp4")
    assert result.returncode == 1 and "withdrew consent" in result.stderr


@pytest.mark.slow
def test_models_of_two_recordings_are_compared_on_the_new_one(tmp_path: Path) -> None:
    workspace = Workspace(make_toy_workspace(tmp_path))
    _train(workspace, "good 31")
    first = promote_if_as_good(workspace, "ida", "test", RULE).version
    _train(workspace, "good 28 others 25")
    ran(workspace.root)
    held = promote_if_as_good(workspace, "ida", "test", replace(RULE, on_changed_recording="hold"))
    assert held.version == first and "another recording than version 1's" in held.reasons[0] and "promote --speaker ida" in held.reasons[0]
    events: list[StageEvent] = []
    harder = promote_if_as_good(workspace, "ida", "test", RULE, events.append)
    assert harder.taken, "it scores 28 where the old model scores 25, though that one scored 31 on a recording of its own"
    assert harder.compared == "version 1 on the new recording's held-out frames (psnr_face 25, lmd_px512 2)"
    assert harder.version.reason == f"test: {harder.compared}" and harder.version.scores["psnr_face"] == 28
    assert [event.stage for event in events if event.outcome] == ["render", "evaluate"] and ran(workspace.root) == []
    _train(workspace, "good 29 others 30")
    worse = promote_if_as_good(workspace, "ida", "test", RULE)
    assert not worse.taken and worse.reasons == ("psnr_face is 29 (in use: 30)",)
    assert not list((workspace.root / "data/ida/versions").glob("*-on-*")), "what was mixed for the comparison is gone"
    listed = json.loads(talkhead(workspace.root, "versions", "list", "--speaker", "ida", "--json").stdout)
    assert len({row["recording_sha256"] for row in listed}) == 2
    set_parameter(workspace.root, "speech_features", "x", "other")
    bring_up_to_date(workspace, "ida", lambda event: None)
    deaf = promote_if_as_good(workspace, "ida", "test", replace(RULE, tolerance=0.5))
    assert not deaf.taken and "hears other speech features" in deaf.reasons[0]
    assert promote_if_as_good(workspace, "ida", "test", replace(RULE, on_changed_recording="promote")).version.number == 3


@pytest.mark.slow
def test_a_version_keeps_its_own_parameters_but_todays_way_of_dubbing(tmp_path: Path) -> None:
    import yaml

    workspace = Workspace(make_toy_workspace(tmp_path))
    _train(workspace, "good 31")
    version = add_version(workspace, "ida", "test")
    set_parameter(workspace.root, "speech_features", "x", "other")
    set_parameter(workspace.root, "dub", "torso", "field")
    params = yaml.safe_load((make_version_workspace(workspace, "ida", version).root / "params.yaml").read_text())
    assert params["speech_features"]["x"] == 1 and params["dub"]["torso"] == "field"


def test_versions_of_nobody(tmp_path: Path) -> None:
    workspace = Workspace(make_toy_workspace(tmp_path))
    assert not is_trained(workspace, "ida")
    for command in ("list", "promote", "rollback"):
        result = talkhead(workspace.root, "versions", command, "--speaker", "ida")
        assert result.returncode == 1 and "'ida' is not registered" in result.stderr


@pytest.mark.parametrize(
    ("new", "reasons"),
    [
        ({"psnr_face": 31.0, "lmd_px512": 2.0}, 0),
        ({"psnr_face": 32.0, "lmd_px512": 1.0}, 0),
        ({"psnr_face": 30.9, "lmd_px512": 2.1}, 2),
        ({"lmd_px512": 2.0}, 1),
        ({}, 2),
    ],
)
def test_what_counts_as_good(new: dict[str, float], reasons: int) -> None:
    old = {"psnr_face": 31.0, "lmd_px512": 2.0}
    assert len(shortcomings(old, new, RULE)) == reasons
    assert shortcomings({}, new, RULE) == ()


def test_rules_that_mean_nothing_are_refused() -> None:
    for options in ({"higher": (), "lower": ()}, {"tolerance": -0.1}, {"tolerance": 1.0}, {"on_changed_recording": "x"}):
        with pytest.raises(ParameterError):
            PromotionRule(**options)  # type: ignore[arg-type]


def test_arrivals_are_looked_at_once_and_refused_by_name(tmp_path: Path) -> None:
    workspace = Workspace(make_toy_workspace(tmp_path))
    assert arrivals(workspace, "incoming") == []
    folder = workspace.root / "incoming" / "ida"
    folder.mkdir(parents=True)
    (folder / "video.mp4").write_text("good")
    (folder / "notes.txt").write_text("anything")
    (arrival,) = arrivals(workspace, "incoming")
    with pytest.raises(ConsentError, match="consent.json"):
        take_in(workspace, arrival)
    write_consent(folder / "consent.json", CONSENT)
    (folder / "speaker.yaml").write_text("profile: smoke\n")
    (arrival,) = arrivals(workspace, "incoming")
    assert (take_in(workspace, arrival).profile, remembered(workspace, arrival)) == ("smoke", None)
    remember(workspace, arrival, "taken")
    assert remembered(workspace, arrival) == "taken"
    (folder / "notes.txt").write_text("other")
    assert remembered(workspace, arrivals(workspace, "incoming")[0]) == "taken", "what is no part of it does not count"
    (folder / "video.mp4").write_text("good, and new")
    assert remembered(workspace, arrivals(workspace, "incoming")[0]) is None
    (folder / "second.mov").write_text("good")
    with pytest.raises(InputError, match="2 videos"):
        take_in(workspace, arrivals(workspace, "incoming")[0])
    (workspace.root / "incoming" / "No Name").mkdir()
    (workspace.root / "incoming" / "No Name" / "video.mp4").write_text("good")
    with pytest.raises(InputError, match="speaker name"):
        take_in(workspace, arrivals(workspace, "incoming")[0])

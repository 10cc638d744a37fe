"""Two clones that share a store: what one has made, the other need not; on a real S3 server, with toy stages."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from flows.child_process import child_environment
from flows.code_version import check_code_version, code_version
from flows.dub_batch import BatchRow, batch_rows
from flows.dub_delivery import deliver_dub
from flows.incoming import arrivals, remember, remembered, take_in
from flows.model_versions import add_version, read_history
from flows.object_store import ObjectStore, ObjectStoreConfig, ObjectUri
from flows.object_transfer import upload
from flows.shared_cache import SharedCache
from flows.shared_results import restore_results
from flows.speaker_exchange import fetch_speaker, publish_report, publish_speaker, shared_objects
from flows.stage_graph import read_stage_graph
from flows.stage_runs import Outcome, reproduce
from flows.store_settings import object_store, shared_store
from flows.version_workspace import make_version_workspace
from flows.workspace import Workspace
from talkhead_core.artifacts import read_json
from talkhead_core.consent import read_consent, write_consent
from talkhead_core.errors import InputError, TalkheadError
from tests.prefect_server import without_prefect
from tests.s3_servers import ACCESS_KEY, SECRET_KEY, installed, s3_server
from tests.toy_workspace import REPOSITORY, add_speaker, make_toy_workspace, ran, set_parameter, talkhead

STAGES = [node.name for node in read_stage_graph(REPOSITORY)]
ADDRESS = "s3://shared/talkhead"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server that refuses a wrong key, with credentials for it in the environment."""
    if reason := installed("rclone"):
        pytest.skip(reason)
    with s3_server("rclone", tmp_path_factory.mktemp("store")) as url, pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY)
        patch.setenv("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        empty = tmp_path_factory.mktemp("aws") / "config"
        empty.write_text("")
        patch.setenv("AWS_CONFIG_FILE", str(empty))
        patch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(empty))
        yield url


@pytest.fixture(scope="module")
def clones(endpoint: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[Workspace, Workspace]:
    """The control workspace with a registered speaker, and a machine's, which has run the speaker's graph."""
    folder = tmp_path_factory.mktemp("clones")
    control, machine = (Workspace(make_toy_workspace(folder / name)) for name in ("control", "machine"))
    add_speaker(control.root, "ada", video=b"good 31")
    options = ["--endpoint-url", endpoint, "--json"]
    missing = talkhead(control.root, "store", "use", ADDRESS, *options)
    assert missing.returncode == 1 and "NoSuchBucket" in missing.stderr and not (control.root / ".talkhead/store.json").exists()
    _bucket(endpoint)
    assert json.loads(talkhead(control.root, "store", "use", ADDRESS, *options).stdout)["role"] == "control"
    assert json.loads(talkhead(machine.root, "store", "use", ADDRESS, *options, "--machine").stdout)["role"] == "machine"
    with pytest.raises(InputError, match="'ada' is not in s3://shared/talkhead/speakers"):
        fetch_speaker(machine, "ada")
    publish_speaker(control, "ada")
    _run_on(machine, "ada")
    assert ran(machine.root) == [f"{stage}@ada" for stage in STAGES]
    return control, machine


def _bucket(endpoint: str) -> None:
    ObjectStore(ObjectStoreConfig(endpoint_url=endpoint)).client.create_bucket(Bucket="shared")


def _run_on(workspace: Workspace, speaker: str) -> dict[str, Outcome]:
    """What ``talkhead-speaker`` does on a machine, without Prefect around it."""
    fetch_speaker(workspace, speaker)
    shared = SharedCache(workspace, speaker)
    shared.fetch()
    outcomes: dict[str, Outcome] = {}
    for event in reproduce(workspace, speaker, STAGES, pull=True):
        if event.outcome is not None:
            outcomes[event.stage] = event.outcome
            shared.push_later(f"{event.stage}@{speaker}")
    shared.finish()
    return outcomes


def test_results_come_to_the_control_workspace_without_running(clones: tuple[Workspace, Workspace]) -> None:
    control, machine = clones
    assert restore_results(control, "ada") is Outcome.RESTORED
    assert ran(control.root) == []
    for name in ("report/report.html", "train_torso/model.safetensors"):
        assert (control.root / "data/ada" / name).read_bytes() == (machine.root / "data/ada" / name).read_bytes()
    assert restore_results(control, "ada") is Outcome.UNCHANGED
    published = publish_report(machine, "ada")
    assert published is not None and str(published) == f"{ADDRESS}/reports/ada/report.html"
    assert object_store(control).read(published) == (machine.root / "data/ada/report/report.html").read_bytes()


def test_plain_dvc_finds_the_results_too(clones: tuple[Workspace, Workspace], endpoint: str, tmp_path: Path) -> None:
    control, _ = clones
    third = Workspace(make_toy_workspace(tmp_path))
    assert talkhead(third.root, "store", "use", ADDRESS, "--endpoint-url", endpoint, "--machine").returncode == 0
    fetch_speaker(third, "ada")
    for command in (["dvc", "fetch", "--run-cache"], ["dvc", "repro", "--pull"]):
        result = subprocess.run(command, cwd=third.root, env=child_environment(), capture_output=True, text=True, check=False)
        assert result.returncode == 0, result.stderr
    assert ran(third.root) == []
    assert (third.root / "data/ada/report/report.html").read_bytes() == (control.root / "data/ada/report/report.html").read_bytes()


def test_next_machine_runs_only_what_changed(clones: tuple[Workspace, Workspace], endpoint: str, tmp_path: Path) -> None:
    next_one = Workspace(make_toy_workspace(tmp_path))
    assert talkhead(next_one.root, "store", "use", ADDRESS, "--endpoint-url", endpoint, "--machine").returncode == 0
    set_parameter(next_one.root, "evaluate", "x", 2)
    outcomes = _run_on(next_one, "ada")
    assert ran(next_one.root) == ["evaluate@ada", "report@ada"]
    assert {stage for stage, outcome in outcomes.items() if outcome is Outcome.RESTORED} == set(STAGES) - {"evaluate", "report"}


def test_restore_refuses_to_run_what_nobody_has_made(clones: tuple[Workspace, Workspace]) -> None:
    control, _ = clones
    set_parameter(control.root, "report", "x", 99)
    with pytest.raises(TalkheadError, match="report of ada is not in the shared store"):
        restore_results(control, "ada")
    set_parameter(control.root, "report", "x", 1)
    assert restore_results(control, "ada") in (Outcome.UNCHANGED, Outcome.RESTORED)


def test_withdrawn_consent_reaches_the_machine(clones: tuple[Workspace, Workspace]) -> None:
    control, machine = clones
    path = control.stage_folder("ada", "raw") / "consent.json"
    given = read_consent(path, "ada")
    write_consent(path, replace(given, withdrawn_on="2020-02-02"))
    publish_speaker(control, "ada")
    fetch_speaker(machine, "ada")
    there = read_consent(machine.stage_folder("ada", "raw") / "consent.json", "ada")
    assert there.withdrawn_on == "2020-02-02"
    write_consent(path, given)
    publish_speaker(control, "ada")
    fetch_speaker(control, "ada")
    assert read_consent(path, "ada") == given, "the control workspace takes nothing from the store"
    fetch_speaker(machine, "ada")


def test_versions_are_laid_out_on_a_machine_that_never_trained(clones: tuple[Workspace, Workspace], endpoint: str, tmp_path: Path) -> None:
    control, _ = clones
    restore_results(control, "ada")
    version = add_version(control, "ada", "test")
    publish_speaker(control, "ada")
    other = Workspace(make_toy_workspace(tmp_path))
    assert talkhead(other.root, "store", "use", ADDRESS, "--endpoint-url", endpoint, "--machine").returncode == 0
    fetch_speaker(other, "ada")
    history = read_history(other, "ada")
    assert history is not None and history.version() == version
    laid_out = make_version_workspace(other, "ada", version)
    model = "data/ada/train_torso/model.safetensors"
    assert (laid_out.root / model).read_bytes() == (control.root / model).read_bytes()
    (other.root / "speech.wav").write_bytes(b"speech")
    dubbed = talkhead(other.root, "dub", "--speaker", "ada", "--audio", "speech.wav", "--out", "dub.mp4")
    assert dubbed.returncode == 0 and (other.root / "dub.mp4").is_file(), dubbed.stderr


def test_store_commands(clones: tuple[Workspace, Workspace], tmp_path: Path) -> None:
    control, _ = clones
    told = json.loads(talkhead(control.root, "store", "status", "--json").stdout)
    assert told["address"] == ADDRESS and told["objects"] > len(STAGES)
    none = talkhead(control.root, "store", "lifecycle")
    assert none.returncode == 1 and "no lifecycle rules" in none.stderr
    alone = Workspace(make_toy_workspace(tmp_path))
    assert shared_store(alone) is None
    refused = talkhead(alone.root, "store", "status")
    assert refused.returncode == 1 and "talkhead store use" in refused.stderr


def test_no_secret_is_written_anywhere(clones: tuple[Workspace, Workspace]) -> None:
    for workspace in clones:
        for path in [*(workspace.root / ".dvc").glob("config*"), *(workspace.root / ".talkhead").rglob("*")]:
            assert not path.is_file() or SECRET_KEY.encode() not in path.read_bytes(), path


def test_wrong_secret_changes_nothing(clones: tuple[Workspace, Workspace], endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    control, _ = clones
    before = read_json(control.root / ".talkhead/store.json")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    result = talkhead(control.root, "store", "use", "s3://shared/other", "--endpoint-url", endpoint)
    assert result.returncode == 1 and "SignatureDoesNotMatch" in result.stderr and len(result.stderr.splitlines()) == 1
    assert read_json(control.root / ".talkhead/store.json") == before


def test_machines_with_other_code_refuse(clones: tuple[Workspace, Workspace]) -> None:
    control, machine = clones
    check_code_version(machine, code_version(control))
    set_parameter(machine.root, "report", "x", 7)
    with pytest.raises(TalkheadError, match="same commit"):
        check_code_version(machine, code_version(control))


def test_layout_is_dvcs_own(clones: tuple[Workspace, Workspace]) -> None:
    control, _ = clones
    shared = shared_store(control)
    assert shared is not None and shared.dvc == ObjectUri.parse(f"{ADDRESS}/dvc")
    kinds = {info.uri.key.split("/")[2] for info in shared.store.list(shared.dvc)}
    assert kinds == {"files", "runs"}


def test_dubs_come_from_the_store_and_go_there_once(clones: tuple[Workspace, Workspace], tmp_path: Path) -> None:
    control, _ = clones
    store = object_store(control)
    speech = tmp_path / "one.wav"
    speech.write_bytes(b"speech")
    upload(store, speech, ObjectUri.parse("s3://shared/in/ada/one.wav"))
    rows = batch_rows(store, control.root, manifest=None, audio="s3://shared/in", speakers=[], out="s3://shared/out")
    assert [(row.speaker, row.audio, row.out) for row in rows] == [("ada", "s3://shared/in/ada/one.wav", "s3://shared/out/ada/one.mp4")]
    outcomes: list[Outcome | None] = []
    for _ in range(2):
        deliver_dub(
            control, store, rows[0], lambda event: outcomes.append(event.outcome) if event.outcome and event.stage == "dub" else None
        )
    assert outcomes == [Outcome.RAN, Outcome.UNCHANGED]
    speech.write_bytes(b"other speech")
    upload(store, speech, ObjectUri.parse("s3://shared/in/ada/one.wav"))
    deliver_dub(control, store, rows[0], lambda event: outcomes.append(event.outcome) if event.outcome and event.stage == "dub" else None)
    assert outcomes[-1] is Outcome.RAN, "other speech is another dub"


def test_recordings_arrive_in_the_store(clones: tuple[Workspace, Workspace], tmp_path: Path) -> None:
    control, _ = clones
    store, folder = object_store(control), ObjectUri.parse("s3://shared/incoming") / "zoe"
    video, consent = tmp_path / "video.mov", control.stage_folder("ada", "raw") / "consent.json"
    video.write_bytes(b"good 30")
    upload(store, video, folder / "video.mov")
    upload(store, consent, folder / "consent.json")
    (arrival,) = arrivals(control, "s3://shared/incoming")
    recording = take_in(control, arrival)
    assert (
        arrival.speaker == "zoe" and recording.video.read_bytes() == b"good 30" and recording.consent.read_bytes() == consent.read_bytes()
    )
    remember(control, arrival, "taken")
    assert remembered(control, arrivals(control, "s3://shared/incoming")[0]) == "taken"


def test_nightly_run_trains_what_arrives_in_the_store(clones: tuple[Workspace, Workspace], endpoint: str, tmp_path: Path) -> None:
    """The flow called as a function, without a server or machines: all of it runs in this workspace."""
    site, store = Workspace(make_toy_workspace(tmp_path)), object_store(clones[0])
    assert talkhead(site.root, "store", "use", "s3://shared/nightly", "--endpoint-url", endpoint).returncode == 0
    video, consent = tmp_path / "video.mp4", clones[0].stage_folder("ada", "raw") / "consent.json"
    for name, content in (("max", b"good 32"), ("yan", b"no face")):
        video.write_bytes(content)
        folder = ObjectUri.parse("s3://shared/arrived") / name
        upload(store, video, folder / "video.mp4")
        upload(store, consent, folder / "consent.json")
    code = "from flows.retrain_flow import talkhead_retrain; talkhead_retrain(incoming='s3://shared/arrived')"
    environment = {**without_prefect(), "PREFECT_HOME": str(tmp_path / "prefect")}
    night = subprocess.run([sys.executable, "-c", code], cwd=site.root, env=environment, capture_output=True, text=True, check=False)
    assert night.returncode == 1 and "1 of 2 speakers: yan: refused" in night.stderr and "holds no face" in night.stderr, night.stderr
    assert sorted(ran(site.root)) == sorted(f"{stage}@max" for stage in STAGES)
    history = read_history(site, "max")
    assert history is not None and history.current == 1 and history.version().scores["psnr_face"] == 32
    shared = shared_store(site)
    assert shared is not None and store.read(shared.address / "reports" / "max" / "report.html")
    assert [remembered(site, arrival) == "taken" for arrival in arrivals(site, "s3://shared/arrived")] == [True, False]


def test_forgotten_speaker_is_gone_from_the_store_too(clones: tuple[Workspace, Workspace], endpoint: str, tmp_path: Path) -> None:
    """The last of all: it takes the speaker from the control workspace."""
    control, machine = clones
    shared = shared_store(control)
    assert shared is not None and shared_objects(control, "ada")
    published = ObjectUri.parse("s3://shared/published")
    here, there, replaced = (published / f"{name}.mp4" for name in ("here", "there", "replaced"))
    speech, store = tmp_path / "speech.wav", object_store(control)
    speech.write_bytes(b"speech")
    for workspace, uri in ((control, here), (machine, there), (control, replaced)):
        deliver_dub(workspace, store, BatchRow(speaker="ada", audio=str(speech), out=str(uri)), lambda event: None)
    store.write(replaced, b"somebody else's video")
    assert {info.uri.name for info in store.list(published)} == {
        "here.mp4",
        "here.html",
        "there.mp4",
        "there.html",
        "replaced.mp4",
        "replaced.html",
    }
    result = talkhead(control.root, "forget", "--speaker", "ada", "--yes", "--json")
    assert result.returncode == 0, result.stderr
    gone = json.loads(result.stdout)
    assert {str(here), str(there)} < set(gone["objects"]["delivered"]) and gone["changed"] == [str(replaced)]
    assert [info.uri for info in store.list(published)] == [replaced], "of what was published, only what is not hers is left"
    assert shared_objects(control, "ada") == []
    assert list(store.list(shared.address / "delivered")) == list(store.list(shared.address / "reports")) == []
    left = {info.uri.key for info in shared.store.list(shared.dvc)}
    assert left == set(), "nothing of the only speaker is left in DVC's remote"
    fresh = Workspace(make_toy_workspace(tmp_path))
    assert talkhead(fresh.root, "store", "use", ADDRESS, "--endpoint-url", endpoint, "--machine").returncode == 0
    with pytest.raises(InputError, match="'ada' is not in"):
        fetch_speaker(fresh, "ada")

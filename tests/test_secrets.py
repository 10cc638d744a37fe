"""A secret that a user gave is found nowhere that others read; what leaves a folder is refused."""

from __future__ import annotations

import inspect
import re
import subprocess
from pathlib import Path, PurePosixPath

import pytest
import yaml

from flows.dub_batch import batch_rows
from flows.dubbing import read_manifest
from flows.manifest import inside_folder
from flows.object_store import ObjectStore, ObjectStoreConfig, ObjectUri
from talkhead_core.errors import InputError, NotAvailableError, ParameterError, without_password
from talkhead_core.inpaint.lama import LamaInpainter
from talkhead_core.provenance.signer import local_signer
from talkhead_core.weights.store import Origin, pull, weight_set
from tests.toy_workspace import REPOSITORY, make_toy_workspace, talkhead

CANARY = "c4n4ry-that-must-not-sing"
ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": f"id-{CANARY}",
    "AWS_SECRET_ACCESS_KEY": CANARY,
    "AWS_SESSION_TOKEN": CANARY,
    "PREFECT_API_AUTH_STRING": f"admin:{CANARY}",
    "PREFECT_SERVER_API_AUTH_STRING": f"admin:{CANARY}",
}


@pytest.fixture(scope="module")
def used(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A workspace with secrets all around it, after a run, dubs, failures of many kinds; and all that was printed."""
    root = make_toy_workspace(tmp_path_factory.mktemp("secrets"))
    (root / "good.mp4").write_bytes(b"good")
    (root / "speech.wav").write_bytes(b"speech")
    (root / "empty.wav").write_bytes(b"")
    local_signer(root / ".talkhead" / "signer.pem")
    far = f"['remote \"far\"']\n    url = https://user:{CANARY}@127.0.0.1:9/prefix\n    password = {CANARY}\n"
    (root / ".dvc" / "config.local").write_text(far)
    run = ("run", "--speaker", "ada", "--profile", "smoke")
    commands = [
        (*run, "--video", "good.mp4", "--audio", "speech.wav", "--i-have-consent", "Ada, tests", "--json"),
        ("dub", "--speaker", "ada", "--audio", "empty.wav", "--out", "x.mp4"),
        ("status", "--speaker", "ada"),
        ("models", "pull", "hubert", "--mirror", f"http://user:{CANARY}@127.0.0.1:9/weights"),
        ("store", "use", f"s3://id:{CANARY}@bucket/prefix"),
        ("store", "use", "s3://bucket/prefix", "--endpoint-url", f"http://id:{CANARY}@127.0.0.1:9"),
        ("store", "use", "s3://bucket/prefix", "--endpoint-url", "http://127.0.0.1:9"),
        ("forget", "--speaker", "ada", "--yes"),
    ]
    done = [talkhead(root, *command, AWS_MAX_ATTEMPTS="1", **ENVIRONMENT) for command in commands]
    done.append(talkhead(root, *run, TOY_FAILS="render", **ENVIRONMENT))
    assert done[0].returncode == 0, done[0].stderr
    assert all(result.returncode != 0 for result in (done[1], *done[3:7])), [result.stderr for result in done]
    assert all("Traceback" not in result.stderr for result in done)
    return root, "\n".join(result.stdout + result.stderr for result in done)


def test_secrets_are_never_printed(used: tuple[Path, str]) -> None:
    assert CANARY not in used[1]


def test_secrets_are_in_no_file_but_their_own(used: tuple[Path, str]) -> None:
    """No log, no report, no record of a run, no lock file, no setting of DVC that git keeps."""
    root, _ = used
    own = {root / ".dvc" / "config.local"}
    files = [path for path in root.rglob("*") if path.is_file() and path not in own]
    assert {"dvc.lock", "speakers.yaml"} <= {path.name for path in files} and any("logs" in path.parts for path in files)
    assert [str(path) for path in files if CANARY.encode() in path.read_bytes()] == []
    key = next(line for line in (root / ".talkhead" / "signer.pem").read_text().splitlines() if not line.startswith("-"))
    assert [path.name for path in files if key.encode() in path.read_bytes()] == ["signer.pem"]


def test_git_keeps_no_file_that_holds_secrets(used: tuple[Path, str]) -> None:
    root, _ = used
    for name in (".dvc/config.local", ".talkhead/signer.pem", "infra/.env"):
        ignored = subprocess.run(["git", "check-ignore", "-q", name], cwd=REPOSITORY, check=False).returncode == 0
        assert ignored, name
    assert subprocess.run(["git", "grep", "-q", CANARY], cwd=root, check=False).returncode == 1


def test_flows_take_no_secret_as_a_parameter() -> None:
    """What Prefect keeps of a run is its parameters: names, places and numbers."""
    from prefect import Flow

    import flows.dub_flow
    import flows.retrain_flow
    import flows.speaker_flow
    import flows.talkhead_flow

    deployments = yaml.safe_load((REPOSITORY / "prefect.yaml").read_text())["deployments"]
    given = {name for deployment in deployments for name in deployment.get("parameters", {})}
    modules = (flows.dub_flow, flows.retrain_flow, flows.speaker_flow, flows.talkhead_flow)
    found = [value for module in modules for value in vars(module).values() if isinstance(value, Flow)]
    assert len(found) >= 4
    given |= {name for flow in found for name in inspect.signature(flow.fn).parameters}
    assert not [name for name in given if re.search("secret|password|passwd|token|credential|auth|key", name)], given


@pytest.mark.parametrize("text", [f"http://a:{CANARY}@host/x", f"cannot reach s3://{CANARY}@bucket/key now", f"//{CANARY}@h"])
def test_addresses_are_told_without_their_password(text: str) -> None:
    told = without_password(text)
    assert CANARY not in told and told.replace("//", "") and ("host" in told or "bucket" in told or "h" in told)


def test_settings_of_the_store_take_no_password() -> None:
    with pytest.raises(ParameterError, match="no password"):
        ObjectStoreConfig(endpoint_url=f"https://id:{CANARY}@store")


def test_mirrors_are_named_without_their_password(tmp_path: Path) -> None:
    for offline in (True, False):
        with pytest.raises(NotAvailableError) as caught:
            pull(tmp_path, weight_set("hubert"), origin=Origin(mirror=f"http://user:{CANARY}@127.0.0.1:9", offline=offline))
        assert CANARY not in str(caught.value) and "127.0.0.1" in str(caught.value)


# -------------------------------------------------------------------------------------------------- leaving one's folder


@pytest.mark.parametrize("key", ["../x.wav", "a/../../x.wav", "a/../b.wav"])
def test_keys_do_not_leave_the_output_folder(key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key may hold anything: whoever can write to a bucket must not choose where videos go."""
    with pytest.raises(InputError, match="leaves"):
        ObjectUri.parse(f"s3://bucket/in/{key}")
    listed = [type("Info", (), {"uri": ObjectUri("bucket", f"in/{key}")})()]
    monkeypatch.setattr(ObjectStore, "list", lambda store, prefix: iter(listed))
    with pytest.raises(InputError, match="leaves"):
        batch_rows(ObjectStore(), tmp_path, manifest=None, audio="s3://bucket/in", speakers=["ada"], out="out")


def test_links_do_not_lead_out_of_the_output_folder(tmp_path: Path) -> None:
    out = tmp_path / "out"
    (out / "real").mkdir(parents=True)
    (out / "link").symlink_to(tmp_path)
    (out / "circle").symlink_to(out / "circle")
    assert inside_folder(out, PurePosixPath("real/a.mp4")) == out / "real" / "a.mp4"
    for name in ("link/a.mp4", "circle/a.mp4", "a\0b.mp4"):
        with pytest.raises(InputError):
            inside_folder(out, PurePosixPath(name))
    (tmp_path / "batch.csv").write_text("speaker,audio,out\nada,a.wav,link/a.mp4\n")
    with pytest.raises(InputError, match="by a link"):
        read_manifest(tmp_path / "batch.csv", out)
    through = tmp_path / "larger disk"
    through.symlink_to(out)
    (tmp_path / "batch.csv").write_text("speaker,audio,out\nada,a.wav,real/a.mp4\n")
    assert read_manifest(tmp_path / "batch.csv", through)[0].out == through / "real" / "a.mp4", "the folder itself may be a link"


# ------------------------------------------------------------------------------------------------- who may use the server


def test_every_server_and_every_worker_of_the_deployments_has_a_password() -> None:
    """And compose does not start without one."""
    compose = yaml.safe_load((REPOSITORY / "infra" / "compose.yaml").read_text())["services"]
    environments = {name: service.get("environment") or {} for name, service in compose.items() if service.get("image") == "talkhead"}
    assert {"server", "control", "machine"} <= environments.keys()
    for name, environment in environments.items():
        variable = "PREFECT_SERVER_API_AUTH_STRING" if name == "server" else "PREFECT_API_AUTH_STRING"
        assert re.fullmatch(r"\$\{PREFECT_AUTH(:\?.+)?\}", environment[variable]), name
    assert any(":?" in str(environment) for environment in environments.values())
    documents = [yaml.safe_load_all(path.read_text()) for path in sorted((REPOSITORY / "infra" / "k8s" / "base").glob("*.yaml"))]
    containers = [
        container
        for document in (one for many in documents for one in many if one)
        for container in document.get("spec", {}).get("template", {}).get("spec", {}).get("containers", [])
        if "talkhead" in container["image"]
    ]
    assert len(containers) >= 4
    for container in containers:
        secret = {entry["name"]: entry.get("valueFrom", {}).get("secretKeyRef") for entry in container["env"]}
        assert secret.get("PREFECT_SERVER_API_AUTH_STRING") or secret.get("PREFECT_API_AUTH_STRING"), container["name"]


# ------------------------------------------------------------------------------------------------------- what is run as it is


def test_a_program_that_changed_since_it_was_fetched_is_not_run(tmp_path: Path) -> None:
    import torch

    torch.jit.script(torch.nn.Identity()).save(str(tmp_path / "big-lama.pt"))
    LamaInpainter(str(tmp_path))
    pull(tmp_path, weight_set("lama"))  # it is there: only its hash is kept
    LamaInpainter(str(tmp_path))
    torch.jit.script(torch.nn.ReLU()).save(str(tmp_path / "big-lama.pt"))
    with pytest.raises(NotAvailableError, match="has changed since it was fetched"):
        LamaInpainter(str(tmp_path))

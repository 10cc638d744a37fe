"""The files in ``infra/``: valid by their own schemas, with the names that the code uses, and what a container starts."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from flows.child_process import child_environment
from flows.object_store import ObjectStoreConfig
from flows.server_setup import POOLS
from flows.stage_graph import read_stage_graph
from talkhead_core.parameters import from_mapping
from tests.toy_workspace import REPOSITORY, commit_all, make_toy_workspace

INFRA = REPOSITORY / "infra"
KUBECTL = shutil.which("kubectl")


def _compose() -> dict[str, Any]:
    return dict(yaml.safe_load((INFRA / "compose.yaml").read_text()))


def _kubernetes(folder: str) -> list[dict[str, Any]]:
    """The documents as kustomize builds them, or as they stand where it is not installed."""
    if KUBECTL:
        text = subprocess.run([KUBECTL, "kustomize", str(INFRA / "k8s" / folder)], capture_output=True, text=True, check=True).stdout
        return list(yaml.safe_load_all(text))
    files = sorted(path for path in (INFRA / "k8s" / folder).glob("*.yaml") if path.name != "kustomization.yaml")
    return [document for path in files for document in yaml.safe_load_all(path.read_text())]


def test_compose_file_is_valid() -> None:
    pytest.importorskip("check_jsonschema", reason="needs the extra 'dev'")
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(INFRA / "compose.yaml")]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize("folder", ["base", "gpu"])
def test_kubernetes_files_are_valid(folder: str) -> None:
    validate = pytest.importorskip("kubernetes_validate", reason="needs the extra 'dev'")
    documents = _kubernetes(folder)
    for document in documents:
        validate.validate(document, "1.32", strict=True)
    if KUBECTL:
        assert {"Namespace", "StatefulSet", "Deployment", "Job", "NetworkPolicy"} <= {document["kind"] for document in documents}
        machine = next(d for d in documents if d["kind"] == "StatefulSet" and d["metadata"]["name"] == "machine")
        limits = machine["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"]
        assert ("nvidia.com/gpu" in limits) == (folder == "gpu")


def test_workflow_yaml_is_clean() -> None:
    pytest.importorskip("yamllint", reason="needs the extra 'dev'")
    rules = "{extends: default, rules: {line-length: {max: 140}, document-start: disable, braces: disable, comments: disable}}"
    files = [str(INFRA), str(REPOSITORY / "prefect.yaml")]
    result = subprocess.run([sys.executable, "-m", "yamllint", "-d", rules, *files], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout


def test_roles_and_pools_are_those_of_the_code() -> None:
    script = (INFRA / "start.sh").read_text()
    asked = {service["command"][0] for service in _compose()["services"].values() if service.get("image") == "talkhead"}
    asked |= {
        container["args"][0]
        for document in _kubernetes("base")
        for container in document.get("spec", {}).get("template", {}).get("spec", {}).get("containers", [])
        if "talkhead" in container["image"]
    }
    assert (
        asked
        == {"server", "setup", "control", "machine"}
        == {line[:-1] for line in script.splitlines() if line.endswith(")") and " " not in line and line != "*)"}
    )
    used = {entry["work_pool"]["name"] for entry in yaml.safe_load((REPOSITORY / "prefect.yaml").read_text())["deployments"]}
    assert used == set(POOLS)
    assert all(f"--pool {pool}" in script for pool in POOLS)


def test_deployments_name_flows_that_exist() -> None:
    entries = yaml.safe_load((REPOSITORY / "prefect.yaml").read_text())["deployments"]
    code = (
        "import importlib, json, sys; print(json.dumps([getattr(importlib.import_module(m), f).name for m, f in json.loads(sys.argv[1])]))"
    )
    import json

    targets = [(e["entrypoint"].split(":")[0].removesuffix(".py").replace("/", "."), e["entrypoint"].split(":")[1]) for e in entries]
    found = subprocess.run([sys.executable, "-c", code, json.dumps(targets)], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    names = [f"{flow}/{entry['name']}" for flow, entry in zip(json.loads(found.stdout), entries, strict=True)]
    assert sorted(names) == [
        "talkhead-dub-share/machine", "talkhead-dub/batch", "talkhead-retrain/nightly", "talkhead-speaker/machine", "talkhead/full",
    ]  # fmt: skip


def test_nothing_listens_to_the_world_and_no_secret_is_in_the_files() -> None:
    services = _compose()["services"]
    assert all(port.startswith("127.0.0.1:") for service in services.values() for port in service.get("ports", []))
    for service in services.values():
        for name, value in (service.get("environment") or {}).items():
            if any(word in name for word in ("PASSWORD", "SECRET", "AUTH", "ACCESS_KEY")):
                assert str(value).startswith("${"), name
    example = dict(line.split("=", 1) for line in (INFRA / "example.env").read_text().splitlines() if "=" in line and line[0] != "#")
    assert set(example.values()) == {""}


def test_object_store_settings_are_those_of_the_code() -> None:
    values = yaml.safe_load((INFRA / "object_store.yaml").read_text())
    config = from_mapping(ObjectStoreConfig, values, where="object_store.yaml")
    assert set(values) == set(ObjectStoreConfig.__dataclass_fields__) and config.part_mib == 16


def test_every_stage_has_retries_and_a_time_limit() -> None:
    for node in read_stage_graph(REPOSITORY):
        assert node.retries >= 1 and node.timeout_s and node.timeout_s >= 3600, node.name


def test_container_makes_its_workspace_and_keeps_its_speakers(tmp_path: Path) -> None:
    """``start.sh`` for real, with a ``prefect`` that says what it is asked instead of waiting for work."""
    code = make_toy_workspace(tmp_path / "image")
    shutil.copytree(INFRA, code / "infra")
    commit_all(code)
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "prefect").write_text('#!/bin/sh\necho "$PWD: $*"\n')
    (programs / "prefect").chmod(0o755)
    root = tmp_path / "volume"
    root.mkdir()
    environment = {**child_environment(), "TALKHEAD_ROOT": str(root), "TALKHEAD_CODE": str(code)}
    environment["PATH"] = os.pathsep.join([str(programs), environment["PATH"]])

    def start(role: str) -> subprocess.CompletedProcess[str]:
        command = ["sh", str(INFRA / "start.sh"), role]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    assert start("machine").stdout == f"{root}: worker start --pool machines --limit 1\n"
    (root / "speakers.yaml").write_text("speakers: {}\n# mine\n")
    (root / "data").mkdir()
    (code / "tasks" / "new.py").write_text("# a newer image\n")
    commit_all(code)
    assert start("control").stdout == f"{root}: worker start --pool control --limit 20\n"
    assert (root / "tasks/new.py").is_file() and (root / "data").is_dir()
    assert (root / "speakers.yaml").read_text().endswith("# mine\n")
    assert start("cook").returncode == 2

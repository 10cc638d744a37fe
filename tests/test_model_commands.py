"""``talkhead models`` and ``--commercial-safe``, as a user runs them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from flows.model_commands import refuse_non_commercial
from flows.workspace import Workspace
from talkhead_core.errors import ParameterError

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    (tmp_path / "tasks").mkdir()
    (tmp_path / "dvc.yaml").write_text("stages: {}\n")
    speaker = {"video": "data/ada/raw/video.mp4", "profile": "p", "config": "c"}
    (tmp_path / "speakers.yaml").write_text(yaml.safe_dump({"speakers": {"ada": speaker, "bob": {**speaker, "config": "d"}}}))
    params = {
        "landmarks": {"landmarker": "face_landmarker"},
        "speech_features": {"method": "log_mel"},
        "profiles": {"p": {}},
        "configs": {"c": {}, "d": {"speech_features": {"method": "ave"}}},
    }
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params))
    return Workspace(tmp_path)


def talkhead(workspace: Workspace, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "flows.command_line", *arguments]
    variables = {**os.environ, "TALKHEAD_ROOT": str(workspace.root), "PYTHONPATH": str(REPOSITORY), **environment}
    return subprocess.run(command, env=variables, capture_output=True, text=True, check=False)


def test_a_configuration_whose_weights_forbid_it_is_refused(workspace: Workspace) -> None:
    refuse_non_commercial(workspace, ["ada"])
    with pytest.raises(ParameterError, match=r"speech_features\.method is 'ave'.*CC BY-NC"):
        refuse_non_commercial(workspace, ["ada", "bob"])
    (workspace.root / "speech.wav").touch()
    result = talkhead(workspace, "dub", "--speaker", "bob", "--audio", "speech.wav", "--out", "o.mp4", "--commercial-safe")
    assert result.returncode == 1 and "may not be used commercially" in result.stderr and result.stderr.count("\n") == 1


def test_weights_come_from_a_mirror_and_never_from_the_network_when_offline(workspace: Workspace, tmp_path: Path) -> None:
    offline = talkhead(workspace, "models", "pull", "niqe", TALKHEAD_OFFLINE="1")
    assert offline.returncode == 1 and "offline" in offline.stderr
    (tmp_path / "mirror").mkdir()
    (tmp_path / "mirror" / "niqe_pris_params.npz").write_bytes(b"parameters")
    pulled = talkhead(workspace, "models", "pull", "niqe", TALKHEAD_MIRROR=str(tmp_path / "mirror"), TALKHEAD_OFFLINE="1")
    assert pulled.returncode == 0, pulled.stderr
    assert (workspace.weights / "niqe_pris_params.npz").read_bytes() == b"parameters"
    listed = {row["name"]: row for row in json.loads(talkhead(workspace, "models", "list", "--json").stdout)}
    assert listed["niqe"]["present"] and listed["niqe"]["used_by"] == ["evaluate"]
    assert not listed["ave"]["commercial_use"] and listed["ave"]["used_by"] == ["speech_features.method: ave"]

"""Experiments over seeds and configurations with ``dvc exp run -S``, as docs/evaluation.md has them, on the real graph with toy stages."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path

import pytest
import yaml

from flows.child_process import child_environment
from flows.stage_graph import read_stage_graph
from tests.toy_workspace import REPOSITORY, add_speaker, commit_all, make_toy_workspace, ran, talkhead

pytestmark = pytest.mark.slow

DOCUMENT = (REPOSITORY / "docs" / "evaluation.md").read_text()
METRICS = "data/ada/evaluate/metrics.json"
SEED = "dvc exp run --name seed-1 -S train_coarse.head.seed=1"
CONFIGURATION = "dvc exp run --name er-nerf -S speakers.yaml:speakers.ada.config=er-nerf"
BACK = "git restore params.yaml speakers.yaml dvc.lock"
QUEUED = "dvc exp run --queue --copy-paths data/ada/raw -S 'train_coarse.head.seed=range(2,4)'"
FROM_TRAINING_ON = ["train_coarse", "train_fine", "train_torso", "render", "evaluate", "report"]


def _run(root: Path, command: str) -> str:
    environment = child_environment()
    done = subprocess.run(command, shell=True, cwd=root, env=environment, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, f"{command}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run, committed, and two experiments in it."""
    root = make_toy_workspace(tmp_path_factory.mktemp("experiments"))
    params = yaml.safe_load((root / "params.yaml").read_text())
    params["train_coarse"]["head"] = {"seed": 0}
    params["configs"]["er-nerf"]["train_coarse"] = {"head": {"kind": "er-nerf"}}
    (root / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    add_speaker(root, "ada")
    assert talkhead(root, "run", "--speaker", "ada").returncode == 0
    ran(root)
    commit_all(root)
    return root


@pytest.fixture(scope="module")
def stages_run(root: Path) -> dict[str, list[str]]:
    """Experiment -> the stages that ran for it."""
    found = {}
    for name, command in (("seed-1", SEED), ("er-nerf", CONFIGURATION)):
        ran(root)
        _run(root, command)
        found[name] = [line.partition("@")[0] for line in ran(root)]
        _run(root, BACK)
    return found


def test_the_commands_are_those_of_the_document() -> None:
    assert all(command in DOCUMENT for command in (SEED, CONFIGURATION, BACK, QUEUED, "dvc queue start"))


def test_a_seed_runs_what_is_trained_and_what_follows(stages_run: dict[str, list[str]]) -> None:
    assert stages_run["seed-1"] == FROM_TRAINING_ON


def test_a_configuration_runs_every_stage(root: Path, stages_run: dict[str, list[str]]) -> None:
    """Each reads its own part of it."""
    assert sorted(stages_run["er-nerf"]) == sorted(node.name for node in read_stage_graph(root))


def test_each_experiment_has_figures_of_its_own(root: Path, stages_run: dict[str, list[str]]) -> None:
    figures = {}
    for name in stages_run:
        changes = json.loads(_run(root, f"dvc metrics diff HEAD {name} --json"))[METRICS]["toy"]
        figures |= {"HEAD": changes["old"], name: changes["new"]}
    assert len(set(figures.values())) == 3, figures
    seeds = json.loads(_run(root, "dvc params diff HEAD seed-1 --json"))["params.yaml"]
    assert seeds == {"train_coarse.head.seed": {"old": 0, "new": 1, "diff": 1}}
    speakers = json.loads(_run(root, "dvc params diff HEAD er-nerf --json"))["speakers.yaml"]
    assert (speakers["speakers.ada.config"]["old"], speakers["speakers.ada.config"]["new"]) == ("talkhead", "er-nerf")


def test_experiments_that_were_queued_run_in_folders_of_their_own(root: Path, stages_run: dict[str, list[str]]) -> None:
    before = _run(root, "git status --porcelain")
    _run(root, QUEUED)
    _run(root, "dvc queue start")
    end = time.monotonic() + 240
    while (status := _run(root, "dvc queue status")).count("Success") < 2:
        assert "Failed" not in status and time.monotonic() < end, status
        time.sleep(0.5)
    experiments = _run(root, "dvc exp list --name-only").split()
    assert len(experiments) == 4
    digests = [json.loads(_run(root, f"dvc metrics diff HEAD {name} --json"))[METRICS]["toy"]["new"] for name in experiments]
    assert len(set(digests)) == 4 and _run(root, "git status --porcelain") == before

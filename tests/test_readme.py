"""Every command of the README works: it is run here, or stands here with the test that runs it."""

from __future__ import annotations

import ast
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from flows.child_process import child_environment
from talkhead_core.artifacts import write_json
from talkhead_core.speakers import Speaker, write_speakers
from tests.real_workspace import make_workspace
from tests.test_speech_metrics import speech
from tests.toy_workspace import REPOSITORY, make_toy_workspace

README = (REPOSITORY / "README.md").read_text()
COMMANDS = [line for block in re.findall(r"```sh\n(.*?)```", README, flags=re.DOTALL) for line in block.strip().splitlines()]

# The commands that take minutes, run by other tests at the smoke profile or with toy stages; `make` itself is checked below.
RUN_ELSEWHERE = {
    "make demo": "test_end_to_end.py::test_demo_ends_with_a_video_and_a_report",
    "make up": "test_flow_deployment.py::served",
    "prefect deployment run talkhead/full -p speaker=demo": "prefect_server.py::run_deployment",
    "make down": "test_flow_deployment.py::served",
    "talkhead verify dubbed.mp4": "test_provenance.py::test_the_command_tells_programs_and_people",
    "talkhead forget --speaker ada": "test_forget.py::test_nothing_is_left_and_the_other_speaker_is_whole",
    "make benchmark": "test_readme.py::test_benchmark_on_a_short_clip",
    "talkhead compare ada@HEAD ada@seed-1": "test_end_to_end.py::test_two_runs_are_compared_on_a_page",
}
MAKE_RUNS = {
    "make demo": ".venv/bin/talkhead demo",
    "make test": ".venv/bin/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder",  # what runs this
    "make lint": ".venv/bin/ruff check .",
    "make audit": ".venv/bin/python -m pip check",
    "make up": ".venv/bin/python -m flows.server up --port 4200",
    "make down": ".venv/bin/python -m flows.server down",
    "make benchmark": ".venv/bin/python -m benchmarks.preparation",
}
# With the real stages, or on toy ones, which share the graph, the command line and DVC.
REAL = tuple(f"talkhead {name}" for name in ("doctor", "denoise", "evaluate --re", "models", "report --dub", "tables", "index"))
TOY = ("talkhead run", "talkhead dub", "talkhead status", "talkhead stages", "talkhead consent", "talkhead evaluate --speaker", "dvc ")


def _kind(command: str) -> str:
    if command in MAKE_RUNS:
        return "make"
    if command in RUN_ELSEWHERE:
        return "elsewhere"
    if command == ". .venv/bin/activate":
        return "activate"
    return "real" if command.startswith(REAL) else "toy" if command.startswith(TOY) else "nowhere"


def _of_kind(kind: str) -> list[str]:
    return [command for command in COMMANDS if _kind(command) == kind]


def _run(command: str, root: Path) -> subprocess.CompletedProcess[str]:
    """The command as written, with this environment's programs and the workspace's code."""
    environment = {**child_environment(), "PYTHONPATH": str(root)}
    words = shlex.split(command)
    if words[0] == "talkhead":
        words = [sys.executable, "-m", "flows.command_line", *words[1:]]
    return subprocess.run(
        words, cwd=root, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=600, check=False
    )


def test_every_command_is_run_somewhere() -> None:
    assert len(COMMANDS) > 15
    assert _of_kind("nowhere") == []
    assert set(RUN_ELSEWHERE) <= set(COMMANDS) and set(MAKE_RUNS) == {command for command in COMMANDS if command.startswith("make ")}


@pytest.mark.parametrize("command", RUN_ELSEWHERE)
def test_the_test_that_runs_it_exists(command: str) -> None:
    file, name = RUN_ELSEWHERE[command].split("::")
    tree = ast.parse((REPOSITORY / "tests" / file).read_text())
    assert name in {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("command", _of_kind("make"))
def test_make_runs_what_is_tested(command: str) -> None:
    environment = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MAKELEVEL", "WORKERS")}
    result = subprocess.run([*command.split(), "-n"], cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=True)
    assert MAKE_RUNS[command] in result.stdout.splitlines()


def test_files_that_the_readme_names_exist() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert target.startswith("http") or (REPOSITORY / target).exists(), target
    for folder in re.findall(r"^\| `(\w+)/` \|", README, flags=re.MULTILINE):
        assert (REPOSITORY / folder).is_dir(), folder


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A toy workspace with the files that the README's user has."""
    root = make_toy_workspace(tmp_path_factory.mktemp("readme_toy"))
    (root / "my_video.mp4").write_bytes(b"good")
    (root / "speech.wav").write_bytes(b"speech")
    (root / "batch.csv").write_text("speaker,audio,out\nada,speech.wav,first.mp4\n")
    return root


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real workspace with a recording and a dub of it (the recording again)."""
    root = make_workspace(tmp_path_factory.mktemp("readme_real"))
    command = [sys.executable, "-m", "tasks.make_demo", "--out", "made", "--profile", "smoke"]
    subprocess.run(command, cwd=root, check=True, capture_output=True)
    for name in ("my_video.mp4", "dubbed.mp4", "recording.mp4", "render.mp4"):
        (root / name).write_bytes((root / "made/video.mp4").read_bytes())
    (root / "speech.wav").write_bytes((root / "made/speech.wav").read_bytes())
    for name, level in (("studio.wav", 0.0), ("enhanced.wav", 0.01)):
        soundfile.write(root / name, speech() + level * np.random.default_rng(0).normal(size=len(speech())), 16_000)
    figures = {"frames": 9, "psnr_full": 31.2, "ci95": {}}
    write_json(root / "data" / "ada" / "evaluate" / "metrics.json", {"protocols": {"head/self": figures}})
    write_speakers(root / "speakers.yaml", {"ada": Speaker(video="data/ada/raw/video.mp4", profile="smoke", config="talkhead")})
    soundfile.write(root / "noisy.wav", np.random.default_rng(0).normal(0, 0.01, 32_000), 16_000)
    return root


def test_commands_of_the_pipeline(toy: Path) -> None:
    """In the order of the README, as a user types them."""
    for command in _of_kind("toy"):
        result = _run(command, toy)
        assert result.returncode == 0, f"{command}\n{result.stderr}"
    for made in ("data/ada/report/report.html", "out/ada/speech.mp4", "dubbed.mp4", "dubbed.html", "dubs/first.mp4", "scores.csv"):
        assert (toy / made).is_file(), made


@pytest.mark.slow
@pytest.mark.parametrize("command", dict.fromkeys(_of_kind("real")))
def test_tools(real: Path, command: str) -> None:
    result = _run(command, real)
    assert result.returncode == 0, f"{command}\n{result.stderr}"
    assert result.stdout.strip()
    for made in re.findall(r"clean\.wav|scores\.json|tables\.tex", command):
        assert (real / made).stat().st_size > 0


@pytest.mark.slow
def test_benchmark_on_a_short_clip(real: Path) -> None:
    result = _run("python -m benchmarks.preparation --video my_video.mp4 --repeats 1 --out figures.json", real)
    assert result.returncode == 0, result.stderr
    assert (real / "figures.json").is_file()

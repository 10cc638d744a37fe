"""The layers of the architecture, held by import-linter and by reading the source."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
CORE = sorted((REPOSITORY / "talkhead_core").rglob("*.py"))
ALL = [path for folder in ("talkhead_core", "tasks", "flows") for path in sorted((REPOSITORY / folder).rglob("*.py"))]

FORBIDDEN_IN_CORE = {
    "os.environ": "the environment",
    "os.getenv": "the environment",
    "os.getcwd": "the working directory",
    "os.chdir": "the working directory",
    "Path.cwd": "the working directory",
    "sys.argv": "the command line",
    "sys.stdout": "the terminal",
}
UNSAFE = {
    "pickle.load", "pickle.loads", "pd.read_pickle", "joblib.load", "dill.load", "marshal.loads", "shelve.open", "np.load", "torch.load",
    "yaml.load", "yaml.unsafe_load", "shutil.unpack_archive", "tarfile.open", "pd.read_hdf", "torch.jit.load", "os.system", "os.popen",
    "subprocess.getoutput", "eval", "exec",
}  # fmt: skip


def _relative(path: Path) -> str:
    return str(path.relative_to(REPOSITORY))


def _dotted(node: ast.AST) -> str:
    if isinstance(node, ast.Attribute):
        return f"{_dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def test_import_contracts_hold() -> None:
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command; lint_imports_command()", "--no-logo"]
    result = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "0 broken" in result.stdout


@pytest.mark.parametrize("path", CORE, ids=_relative)
def test_core_knows_no_environment_and_no_terminal(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Attribute):
            reason = FORBIDDEN_IN_CORE.get(_dotted(node))
            assert reason is None, f"{_relative(path)}:{node.lineno} reads {reason}; take it as an argument"
        if isinstance(node, ast.Call):
            assert _dotted(node.func) != "print", f"{_relative(path)}:{node.lineno} prints; report through Progress"


@pytest.mark.parametrize("path", ALL, ids=_relative)
def test_nothing_unpickles_or_passes_through_a_shell(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.Call):
            continue
        name = _dotted(node.func)
        keywords = {keyword.arg: keyword.value for keyword in node.keywords}
        weights_only = isinstance(value := keywords.get("weights_only"), ast.Constant) and value.value is True
        safe = (name == "yaml.load" and _dotted(keywords["Loader"]) == "_LOADER") or (name == "torch.load" and weights_only)
        safe |= name == "np.load" and isinstance(value := keywords.get("allow_pickle"), ast.Constant) and value.value is False
        safe |= name == "torch.jit.load" and path.name == "lama.py"  # which comes as nothing else, and is checked before
        assert name not in UNSAFE or safe, f"{_relative(path)}:{node.lineno} calls {name}"
        assert not name.endswith(".extractall"), f"{_relative(path)}:{node.lineno} unpacks an archive by the names in it"
        assert not (name.startswith("subprocess.") and "shell" in keywords), f"{_relative(path)}:{node.lineno} starts a shell"


def test_command_line_loads_nothing_heavy() -> None:
    code = "import sys, flows.command_line; print([m for m in ('torch', 'cv2', 'mediapipe', 'prefect', 'dvc') if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_tasks_import_only_the_core_and_the_stage() -> None:
    for path in sorted((REPOSITORY / "tasks").glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            names = (
                [node.module or ""]
                if isinstance(node, ast.ImportFrom)
                else [a.name for a in node.names]
                if isinstance(node, ast.Import)
                else []
            )
            for name in names:
                assert not name.startswith(("prefect", "dvc", "typer", "flows")), f"{_relative(path)}:{node.lineno} imports {name}"

"""A workspace of the working tree as it is, in a folder of its own, to run the real stages in."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from tests.toy_workspace import REPOSITORY, commit_all

__all__ = ["make_workspace"]


def make_workspace(folder: Path) -> Path:
    """Copy what git knows of, or would know of, and make a git repository of it; returns its root.

    What has been compiled comes along: it is valid for files that look as old, and kernels take half a minute to compile.
    """
    root = folder / "workspace"
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listed = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout
    for name in filter(None, listed.split("\0")):
        if (REPOSITORY / name).is_file() and name != "dvc.lock":
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(REPOSITORY / name, root / name)
    being_written = shutil.ignore_patterns("*.tmp.*", "*.pyc.*")
    for package in ("flows", "tasks", "talkhead_core"):
        for compiled in (REPOSITORY / package).glob("**/__pycache__"):
            shutil.copytree(compiled, root / compiled.relative_to(REPOSITORY), ignore=being_written)
    (root / "speakers.yaml").write_text("speakers: {}\n")
    commit_all(root)
    return root

"""What a run wrote at another revision: its outputs out of DVC's cache, beside the parameters that it had."""

from __future__ import annotations

import subprocess
from pathlib import Path

from flows.workspace import Workspace
from talkhead_core.errors import InputError

__all__ = ["check_out_run"]

_SHOWN_STAGES = ("ingest", "denoise", "landmarks", "train_coarse", "train_fine", "train_torso", "render", "evaluate")


def check_out_run(workspace: Workspace, speaker: str, revision: str, target: Path) -> Path:
    """Put what a page about a run shows into ``target``, laid out as a workspace.

    Args:
        workspace: a git repository with DVC.
        speaker: the speaker's name.
        revision: a commit, a tag, or the name of an experiment of DVC.
        target: an empty folder.

    Returns:
        The speaker's folder in it.

    Raises:
        InputError: there is no such revision, or it holds no rendered run in DVC's cache.
    """
    commit = _commit(workspace.root, revision)

    from dvc.api import DVCFileSystem  # a second, spent only where a revision is asked for
    from dvc.exceptions import DvcException
    from scmrepo.exceptions import SCMError

    folder = target / "data" / speaker
    try:
        files = DVCFileSystem(url=str(workspace.root), rev=commit)
        for name in ("params.yaml", "speakers.yaml"):
            (target / name).write_text(files.read_text(name), encoding="utf-8")
        for stage in _SHOWN_STAGES:
            if files.isdir(f"data/{speaker}/{stage}"):
                files.get(f"data/{speaker}/{stage}", str(folder / stage), recursive=True)
    except (DvcException, SCMError, OSError) as error:
        raise InputError(f"{speaker}@{revision}: cannot be taken from DVC's cache ({' '.join(str(error).split())})") from error
    if not (folder / "render" / "render.json").is_file():
        raise InputError(f"{speaker}@{revision}: that revision holds no rendered run; name an experiment of 'dvc exp show'")
    return folder


def _commit(root: Path, revision: str) -> str:
    """The commit of a revision; an experiment of DVC is a reference under ``refs/exps`` that ends in its name."""
    listed = _git(root, "for-each-ref", "--format=%(objectname) %(refname)", "refs/exps")
    for line in listed.stdout.splitlines():
        commit, _, reference = line.partition(" ")
        if reference.endswith(f"/{revision}"):
            return commit
    found = _git(root, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
    if found.returncode:
        raise InputError(f"revision {revision!r} is no commit, tag or experiment here; see 'dvc exp show' and 'git log'")
    return found.stdout.split()[-1]


def _git(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=False)  # noqa: S603, S607

"""A page with two runs side by side: ``python -m tasks.compare_runs A B [--out PAGE.html]``.

A run is a speaker of this workspace, ``SPEAKER@REVISION`` (a commit, a tag or an experiment of DVC, whose outputs are taken from DVC's
cache), or the folder ``data/SPEAKER`` of any workspace.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from talkhead_core.artifacts import write_text
from talkhead_core.errors import InputError, TalkheadError
from talkhead_core.report.compare_page import compare_page
from talkhead_core.report.run_comparison import Run
from talkhead_core.report.speaker_artifacts import TRAINING_STAGES, read_speaker_artifacts
from talkhead_core.speakers import check_speaker_name, read_yaml, registered_speaker
from tasks.stage import resolve_section

__all__ = ["find_run"]

_NEEDED = ("ingest", "denoise", *TRAINING_STAGES, "render", "evaluate")


def find_run(root: Path, name: str, scratch: Path) -> Run:
    """The run that ``name`` means.

    Args:
        root: the workspace.
        name: a speaker, ``SPEAKER@REVISION``, or a speaker's folder.
        scratch: an empty folder for what is taken from DVC's cache.

    Raises:
        InputError: there is no such run.
    """
    if "/" in name:
        folder = Path(name)
        if not (folder / "render" / "render.json").is_file():
            raise InputError(f"{folder}: holds no rendered run; give the folder data/SPEAKER of a workspace")
        return _run(name, folder.parents[1], folder.name, folder)
    speaker, _, revision = name.partition("@")
    check_speaker_name(speaker)
    if revision:
        _checked_out(root, speaker, revision, scratch)
        return _run(name, scratch, speaker, scratch / "data" / speaker)
    registered_speaker(root / "speakers.yaml", speaker)
    folder = root / "data" / speaker
    if not (folder / "render" / "render.json").is_file():
        raise InputError(f"speaker {speaker!r} has not been rendered; run 'talkhead run --speaker {speaker}'")
    return _run(name, root, speaker, folder)


def _run(label: str, root: Path, speaker: str, folder: Path) -> Run:
    artifacts = read_speaker_artifacts(folder)
    return Run(label=label, artifacts=artifacts, parameters=_parameters(root, speaker))


def _parameters(root: Path, speaker: str) -> dict[str, Any]:
    if not ((root / "params.yaml").is_file() and (root / "speakers.yaml").is_file()):
        return {}
    try:
        sections = [name for name in read_yaml(root / "params.yaml") if name not in ("profiles", "configs", "no_override")]
        return {name: resolve_section(root, speaker, name) for name in sections}
    except TalkheadError:  # a folder that was copied out of its workspace
        return {}


def _checked_out(root: Path, speaker: str, revision: str, target: Path) -> None:
    """What a run wrote at a revision, and its parameters, into ``target``."""
    from dvc.api import DVCFileSystem  # a second, spent only where a revision is asked for
    from dvc.exceptions import DvcException
    from scmrepo.exceptions import SCMError

    commit = _commit(root, revision)
    try:
        files = DVCFileSystem(url=str(root), rev=commit)
        for name in ("params.yaml", "speakers.yaml"):
            (target / name).write_text(files.read_text(name), encoding="utf-8")
        for stage in _NEEDED:
            if files.isdir(f"data/{speaker}/{stage}"):
                files.get(f"data/{speaker}/{stage}", str(target / "data" / speaker / stage), recursive=True)
    except (DvcException, SCMError, OSError) as error:
        raise InputError(f"{speaker}@{revision}: cannot be taken from DVC's cache ({' '.join(str(error).split())})") from error
    if not (target / "data" / speaker / "render" / "render.json").is_file():
        raise InputError(f"{speaker}@{revision}: that revision holds no rendered run; name an experiment of 'dvc exp show'")


def _commit(root: Path, revision: str) -> str:
    """The commit of a revision; an experiment of DVC is a reference under ``refs/exps`` that ends in its name."""
    if revision.startswith("-"):
        raise InputError(f"revision {revision!r}: give a commit, a tag or an experiment's name")
    found = subprocess.run(
        ["git", "for-each-ref", "--format=%(objectname) %(refname)", "refs/exps"], cwd=root, capture_output=True, text=True
    )  # noqa: S603, S607
    for line in found.stdout.splitlines():
        commit, _, reference = line.partition(" ")
        if reference.endswith(f"/{revision}"):
            return commit
    parsed = subprocess.run(["git", "rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}"], cwd=root, capture_output=True, text=True)  # noqa: S603, S607
    if parsed.returncode:
        raise InputError(f"revision {revision!r} is no commit, tag or experiment here; see 'dvc exp show' and 'git log'")
    return parsed.stdout.strip()


def main(argv: list[str] | None = None) -> int:
    """Entry point; prints the page's path, 1 when a run cannot be found."""
    parser = argparse.ArgumentParser(prog="talkhead compare", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("first")
    parser.add_argument("second")
    parser.add_argument("--out", type=Path, default=Path("out/compare.html"))
    arguments = parser.parse_args(argv)
    try:
        with tempfile.TemporaryDirectory(prefix="compare-") as scratch:
            runs = []
            for side in ("first", "second"):
                folder = Path(scratch) / side
                folder.mkdir()
                runs.append(find_run(Path.cwd(), getattr(arguments, side), folder))
            write_text(arguments.out, compare_page(runs[0], runs[1]))
    except TalkheadError as error:
        sys.stderr.write(f"compare: {error}\n")
        return 1
    sys.stdout.write(f"{arguments.out}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

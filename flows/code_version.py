"""Whether two clones would compute the same: a hash of the graph, the parameters and the code of the stages."""

from __future__ import annotations

import hashlib

from flows.workspace import Workspace
from talkhead_core.errors import TalkheadError

__all__ = ["check_code_version", "code_version"]


def code_version(workspace: Workspace) -> str:
    """Twelve hexadecimal digits that change with ``dvc.yaml``, ``params.yaml``, ``tasks/`` and ``talkhead_core/``."""
    root = workspace.root
    digest = hashlib.sha256()
    code = [path for folder in ("tasks", "talkhead_core") for path in (root / folder).rglob("*.py")]
    for path in [root / "dvc.yaml", root / "params.yaml", *sorted(code)]:
        digest.update(f"{path.relative_to(root)} {hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return digest.hexdigest()[:12]


def check_code_version(workspace: Workspace, wanted: str | None) -> None:
    """Refuse to compute for another clone with code of our own.

    Raises:
        TalkheadError: this clone is at another version than the one that asks.
    """
    found = code_version(workspace)
    if wanted not in (None, found):
        raise TalkheadError(
            f"{workspace.root}: its code or params.yaml is not that of the control workspace ({found}, not {wanted}); "
            "bring this machine's clone to the same commit"
        )

"""DVC's command line for ``repro --pull``, taking the run cache as it lies here: ``python -m flows.dvc_with_fetched_runs repro ...``.

``dvc repro --pull`` first copies the records of every run of every speaker there ever was from the remote, for each stage again.
Those of the speaker at hand have been fetched (``flows.shared_cache``); results are still pulled by DVC, as a stage wants them.
"""

from __future__ import annotations

import sys
from typing import Any

__all__ = ["main"]


def main() -> int:
    """Run DVC; returns its exit code."""
    from dvc.cli import main as dvc
    from dvc.stage.cache import StageCache

    def nothing_to_copy(self: StageCache, remote: str | None, odb: Any = None) -> list[tuple[str, str]]:
        return []

    StageCache.pull = nothing_to_copy
    return int(dvc(sys.argv[1:]))


if __name__ == "__main__":
    raise SystemExit(main())

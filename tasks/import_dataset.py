"""Turn a dataset of the AD-NeRF family into a recording that carries its poses: ``python -m tasks.import_dataset --dir D --out V``."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from talkhead_core.interop.ad_nerf_import import read_ad_nerf, write_recording
from talkhead_core.progress import Progress, silent
from tasks.stage import errors_in_one_line, print_progress


def import_dataset(folder: Path, out: Path, progress: Progress = silent) -> dict[str, Any]:
    """Write the recording ``out``; returns what it holds.

    Raises:
        InputError: the folder is not in the layout.
    """
    dataset = read_ad_nerf(folder)
    write_recording(dataset, out, progress)
    return {
        "frames": len(dataset.images),
        "posed_frames": len(dataset.poses.frame_id),
        "missing_images": dataset.missing,
        "width": dataset.poses.width,
        "height": dataset.poses.height,
    }


def _main() -> None:
    parser = argparse.ArgumentParser(prog="talkhead import")
    parser.add_argument("--dir", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    with errors_in_one_line("import_dataset"):
        sys.stdout.write(json.dumps(import_dataset(arguments.dir, arguments.out, print_progress)) + "\n")


if __name__ == "__main__":
    _main()

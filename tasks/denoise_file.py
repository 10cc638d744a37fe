"""Denoise one sound file: ``python -m tasks.denoise_file IN OUT --method mss``."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from talkhead_core.audio.denoise import DenoiseConfig, denoise
from talkhead_core.media.audio_file import read_audio, write_audio
from talkhead_core.parameters import from_mapping, merged
from talkhead_core.speakers import read_yaml
from tasks.stage import errors_in_one_line


def denoise_file(source: Path, target: Path, method: str, root: Path) -> dict[str, Any]:
    """Write ``source`` without its noise as 16 kHz mono WAV; returns what ``denoise.json`` would hold.

    Raises:
        TalkheadError: the file holds no sound, or the method is not available.
    """
    config = from_mapping(DenoiseConfig, merged(read_yaml(root / "params.yaml").get("denoise"), {"method": method}), where="denoise")
    cleaned, report = denoise(read_audio(source), config)
    write_audio(target, cleaned)
    return report


def _main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tasks.denoise_file")
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("--method", default="auto")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    arguments = parser.parse_args()
    with errors_in_one_line("denoise"):
        report = denoise_file(arguments.source, arguments.target, arguments.method, Path.cwd())
        why = "; ".join(report["reasons"])
        line = f"{arguments.target}  ({report['applied']}: {why})" if why else f"{arguments.target}  ({report['applied']})"
        sys.stdout.write((json.dumps(report, indent=2) if arguments.json else line) + "\n")


if __name__ == "__main__":
    _main()

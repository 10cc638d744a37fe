"""Check the installation, or whether a video can be trained on: ``python -m tasks.doctor [--video V] [--json]``."""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from typing import Any

from talkhead_core.errors import NotAvailableError, TalkheadError
from talkhead_core.footage.clip import IngestConfig
from talkhead_core.footage.finding import Finding, verdict
from talkhead_core.footage.report import examine_footage
from talkhead_core.media.ffmpeg_binary import ffmpeg_path
from talkhead_core.parameters import from_mapping
from talkhead_core.progress import silent
from talkhead_core.speakers import read_yaml
from tasks.back_ends import back_ends
from tasks.stage import errors_in_one_line, print_progress

_PACKAGES = ("av", "cv2", "dvc", "librosa", "mediapipe", "numba", "prefect", "safetensors", "scipy", "skimage", "torch")
_MARKS = {"ok": "ok  ", "warn": "care", "fail": "FAIL"}
_FREE_GB = 5.0


def examine_video(video: Path, root: Path, progress: Any = silent) -> dict[str, Any]:
    """Verdict, findings and figures of a video, by the limits that the stage ``ingest`` will apply."""
    config = from_mapping(IngestConfig, read_yaml(root / "params.yaml").get("ingest") or {}, where="ingest")
    report = examine_footage(video, config.footage, progress)
    return {"video": str(video), **report.to_json()}


def examine_installation(root: Path) -> dict[str, Any]:
    """Whether everything that a run needs is here."""
    findings = [_python(), *(_package(name) for name in _PACKAGES), _ffmpeg(), _disk(root), _cores(), _gpu()]
    found = [asdict(back_end) for back_end in back_ends(root / "weights")]
    return {"verdict": verdict(findings), "findings": [finding.to_json() for finding in findings], "back_ends": found}


def _python() -> Finding:
    version = platform.python_version()
    good = sys.version_info[:2] == (3, 11)
    advice = "" if good else "make the environment again with Python 3.11: 'make clean demo'"
    return Finding(level="ok" if good else "fail", code="python", message=f"Python {version}", advice=advice)


def _package(name: str) -> Finding:
    try:
        module = import_module(name)
    except Exception as error:  # noqa: BLE001 - a package can break on import in any way, and that is what is asked
        message = f"{name} cannot be imported ({type(error).__name__}: {' '.join(str(error).split())})"
        return Finding(level="fail", code="package", message=message, advice="install again: 'make clean demo'")
    return Finding(level="ok", code="package", message=f"{name} {getattr(module, '__version__', '')}".rstrip())


def _ffmpeg() -> Finding:
    try:
        command = [ffmpeg_path(), "-hide_banner", "-encoders"]
        encoders = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout  # noqa: S603
        if "libx264" not in encoders:
            raise NotAvailableError("it has no H.264 encoder")
    except (OSError, subprocess.SubprocessError, RuntimeError, NotAvailableError) as error:
        return Finding(level="fail", code="ffmpeg", message=f"ffmpeg does not run ({error})", advice="install again: 'make clean demo'")
    return Finding(level="ok", code="ffmpeg", message=f"ffmpeg {Path(command[0]).name}")


def _disk(root: Path) -> Finding:
    free_gb = shutil.disk_usage(root).free / 1e9
    good = free_gb >= _FREE_GB
    advice = "" if good else f"free {_FREE_GB:g} GB, or remove unused results with 'dvc gc --workspace'"
    return Finding(level="ok" if good else "warn", code="disk", message=f"{free_gb:.1f} GB free", advice=advice)


def _cores() -> Finding:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return Finding(level="ok", code="cores", message=f"{cores} CPU cores")


def _gpu() -> Finding:
    import torch

    if torch.cuda.is_available():
        return Finding(level="ok", code="gpu", message=f"GPU {torch.cuda.get_device_name(0)}")
    return Finding(level="ok", code="gpu", message="no GPU; profiles smoke, demo and cpu are made for that")


def _line(finding: dict[str, str]) -> str:
    advice = f"; {finding['advice']}" if finding["advice"] else ""
    return f"{_MARKS[finding['level']]}  {finding['message']}{advice}"


def _back_end_lines(result: dict[str, Any]) -> list[str]:
    """One line a kind with what works, then one for each choice that needs something, which a run can do without."""
    found = result.get("back_ends", [])
    kinds = dict.fromkeys(back_end["kind"] for back_end in found)
    here = {kind: [each["name"] for each in found if each["kind"] == kind and not each["needs"]] for kind in kinds}
    lines = [f"ok    {kind}: {', '.join(names)}" for kind, names in here.items() if names]
    missing = [each for each in found if each["needs"]]
    if missing:
        lines.append("optional, and not here (what each brings, and how it is chosen: docs/back_ends.md):")
    for each in missing:
        forbidden = "" if each["commercial"] else " (not for commercial use)"
        lines.append(f"-     {each['kind']} {each['name']}{forbidden} needs: {each['needs']}")
    return lines


def _main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tasks.doctor")
    parser.add_argument("--video", type=Path)
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    parser.add_argument("--progress", action="store_true", help="print progress, and no findings")
    arguments = parser.parse_args()
    root = Path.cwd()
    with errors_in_one_line("doctor"):
        if arguments.video is None:
            result = examine_installation(root)
        else:
            result = examine_video(arguments.video, root, print_progress if arguments.progress else silent)
        if not arguments.progress:
            told = f"verdict: {result['verdict'].replace('_', ' ')}"
            lines = [*(_line(finding) for finding in result["findings"]), *_back_end_lines(result), told]
            sys.stdout.write((json.dumps(result, indent=2) if arguments.json else "\n".join(lines)) + "\n")
            sys.stdout.flush()
        bad = next((finding for finding in result["findings"] if finding["level"] == "fail"), None)
        if bad is not None:
            where = f"{arguments.video}: " if arguments.video else ""
            raise TalkheadError(f"{where}{bad['message']}; {bad['advice']}")


if __name__ == "__main__":
    _main()

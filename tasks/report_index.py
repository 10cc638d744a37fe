"""The page over all speakers and dubs of the workspace: ``python -m tasks.report_index [--out out/index.html]``."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any

from talkhead_core.artifacts import read_json, write_text
from talkhead_core.errors import FootageError, TalkheadError
from talkhead_core.media.video_reader import read_frames
from talkhead_core.provenance.page_statement import page_statement
from talkhead_core.report.index_page import DubEntry, SpeakerEntry, index_page
from talkhead_core.report.pictures import poster_uri
from talkhead_core.report.verdict import MODEL, judge
from talkhead_core.speakers import read_speakers
from tasks.provenance import provenance_config, workspace_origin

__all__ = ["write_index"]

_FIGURES = (
    ("psnr_face", "face", "dB", 1),
    ("psnr_mouth", "mouth", "dB", 1),
    ("lmd_px512", "LMD", "px", 2),
    ("mouth_opening_r", "r", "", 2),
)


def write_index(root: Path, page: Path) -> None:
    """Write the index of a workspace; speakers without a report are listed with what to run."""
    key = provenance_config(root).watermark_key
    entries = [_entry(root, name, page.parent, key) for name in sorted(read_speakers(root / "speakers.yaml"))]
    shown = [entry.name for entry in entries if entry.picture or entry.dubs]
    origins = [workspace_origin(root, name, "index", "speakers and dubs").facts() for name in shown]
    write_text(page, index_page(entries, page_statement(origins) if origins else None))


def _entry(root: Path, name: str, base: Path, key: str) -> SpeakerEntry:
    folder = root / "data" / name
    metrics, report, video = folder / "evaluate" / "metrics.json", folder / "report" / "report.html", folder / "render" / "heldout_full.mkv"
    document: dict[str, Any] | None = read_json(metrics) if metrics.is_file() else None
    figures = (document or {}).get("protocols", {}).get(MODEL, {})
    return SpeakerEntry(
        name=name,
        verdict=judge(document),
        picture=poster_uri(next(iter(read_frames(video))), key) if video.is_file() else None,
        figures=[(label, f"{figures[key]:.{digits}f} {unit}".strip()) for key, label, unit, digits in _FIGURES if key in figures],
        report=_link(report, base) if report.is_file() else None,
        dubs=[_dub(path, base, key) for path in sorted((root / "out" / name).glob("*.mp4"))],
    )


def _dub(video: Path, base: Path, key: str) -> DubEntry:
    page = video.with_suffix(".html")
    try:
        poster = poster_uri(next(iter(read_frames(video))), key)
    except (FootageError, StopIteration):  # a dub that cannot be read is listed all the same
        poster = None
    return DubEntry(name=video.stem, video=_link(video, base), report=_link(page, base) if page.is_file() else None, poster=poster)


def _link(target: Path, base: Path) -> str:
    return Path(os.path.relpath(target.resolve(), base.resolve())).as_posix()


def main(argv: list[str] | None = None) -> int:
    """Entry point; prints the page's path."""
    parser = argparse.ArgumentParser(prog="python -m tasks.report_index", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("out/index.html"))
    arguments = parser.parse_args(argv)
    try:
        write_index(Path.cwd(), arguments.out)
    except TalkheadError as error:
        sys.stderr.write(f"report_index: {error}\n")
        return 1
    sys.stdout.write(f"{arguments.out}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

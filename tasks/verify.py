"""Say where a video comes from: ``python -m tasks.verify FILE [--trust ROOTS.pem] [--json]``."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from talkhead_core.errors import InputError
from talkhead_core.progress import silent
from talkhead_core.provenance.page_statement import PageEvidence
from talkhead_core.provenance.signer import read_signer
from talkhead_core.provenance.verification import VideoEvidence, is_page, verify_file, verify_page
from tasks.provenance import LOCAL_SIGNER, provenance_config
from tasks.stage import errors_in_one_line

_SHOWN = ("model", "model_sha256", "data_sha256", "software", "synthetic_speaker", "consent_sha256", "remarks")


def verify(path: Path, root: Path, trust: Path | None) -> tuple[list[VideoEvidence], PageEvidence | None]:
    """What ``path`` tells: its videos, and the page that they stand on, if any.

    The workspace's own signer is trusted, and so are the roots in ``trust``.

    Raises:
        TalkheadError: not a video or report, or ``trust`` cannot be read.
    """
    config = provenance_config(root)
    own = root / (config.signer or LOCAL_SIGNER)
    roots = read_signer(own).root if own.is_file() else b""
    if trust is not None:
        try:
            roots += trust.read_bytes()
        except OSError as error:
            raise InputError(f"{trust}: cannot be read ({error.strerror}); give root certificates in PEM") from error
    videos = verify_file(path, roots=roots or None, key=config.watermark_key, progress=silent)
    return videos, verify_page(path, config.watermark_key) if is_page(path) else None


def _as_json(path: Path, videos: list[VideoEvidence], page: PageEvidence | None) -> list[dict[str, Any]]:
    """One entry a video; a page without one is an entry itself."""
    about = {"page": page.as_json()} if page is not None else {}
    if page is not None and not videos:
        bare = {"name": str(path), "ai_generated": page.ai_generated, "tampered": False, "credentials": None, "watermark": None}
        return [{**bare, "verdict": page.sentence(), **about}]
    return [evidence.as_json() | about for evidence in videos]


def _page_lines(path: Path, page: PageEvidence | None) -> list[str]:
    if page is None:
        return []
    origins = (page.statement or {}).get("origins")
    lines = [f"{path}: {page.sentence()}"]
    for origin in origins if isinstance(origins, list) else ():
        lines += _origin_lines(origin) if isinstance(origin, dict) else []
    return lines


def _origin_lines(origin: Mapping[str, Any]) -> list[str]:
    return [f"  {name:<13} {_text(origin[name])}" for name in _SHOWN if origin.get(name) not in (None, {})]


def _lines(evidence: VideoEvidence) -> list[str]:
    mark, credentials = evidence.watermark, evidence.credentials
    lines = [f"{evidence.name}: {evidence.sentence()}"]
    lines.append(f"  mark         {'found' if mark.found else 'not found'} (score {mark.score:.1f} in {mark.frames} frames)")
    if credentials is not None:
        lines.append(f"  credentials  {credentials.state}, signed by {credentials.signed_by or 'nobody named'}")
        lines += [f"  {'problem':<13}{problem}" for problem in credentials.problems]
        lines += _origin_lines(credentials.origin or {})
    return lines


def _text(value: object) -> str:
    return ", ".join(f"{name} {item}" for name, item in value.items()) if isinstance(value, dict) else str(value)


def _main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tasks.verify")
    parser.add_argument("file", type=Path)
    parser.add_argument("--trust", type=Path, help="PEM file with root certificates to trust")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    arguments = parser.parse_args()
    with errors_in_one_line("verify"):
        videos, page = verify(arguments.file, Path.cwd(), arguments.trust)
        lines = [*_page_lines(arguments.file, page), *(line for evidence in videos for line in _lines(evidence))]
        text = json.dumps(_as_json(arguments.file, videos, page), indent=2) if arguments.json else "\n".join(lines)
        sys.stdout.write(text + "\n")
    said = [evidence.ai_generated and not evidence.tampered for evidence in videos]
    if not all(said) or (not said and page is not None and not page.ai_generated):
        raise SystemExit(1)


if __name__ == "__main__":
    _main()

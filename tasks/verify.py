"""Say where a video comes from: ``python -m tasks.verify FILE [--trust ROOTS.pem] [--json]``."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from talkhead_core.errors import InputError
from talkhead_core.parameters import from_mapping
from talkhead_core.progress import silent
from talkhead_core.provenance.signer import read_signer
from talkhead_core.provenance.verification import VideoEvidence, verify_file
from talkhead_core.speakers import read_yaml
from tasks.provenance import LOCAL_SIGNER, ProvenanceConfig
from tasks.stage import errors_in_one_line

_SHOWN = ("model", "model_sha256", "data_sha256", "software", "synthetic_speaker", "consent_sha256", "remarks")


def verify(path: Path, root: Path, trust: Path | None) -> list[VideoEvidence]:
    """What ``path`` tells; the workspace's own signer is trusted, and so are the roots in ``trust``.

    Raises:
        TalkheadError: not a video or report, or ``trust`` cannot be read.
    """
    config = from_mapping(ProvenanceConfig, read_yaml(root / "params.yaml").get("provenance") or {}, where="provenance")
    own = root / (config.signer or LOCAL_SIGNER)
    roots = read_signer(own).root if own.is_file() else b""
    if trust is not None:
        try:
            roots += trust.read_bytes()
        except OSError as error:
            raise InputError(f"{trust}: cannot be read ({error.strerror}); give root certificates in PEM") from error
    return verify_file(path, roots=roots or None, key=config.watermark_key, progress=silent)


def _lines(evidence: VideoEvidence) -> list[str]:
    mark, credentials = evidence.watermark, evidence.credentials
    lines = [f"{evidence.name}: {evidence.sentence()}"]
    lines.append(f"  mark         {'found' if mark.found else 'not found'} (score {mark.score:.1f} in {mark.frames} frames)")
    if credentials is not None:
        lines.append(f"  credentials  {credentials.state}, signed by {credentials.signed_by or 'nobody named'}")
        lines += [f"  {'problem':<13}{problem}" for problem in credentials.problems]
        origin = credentials.origin or {}
        lines += [f"  {name:<13} {_text(origin[name])}" for name in _SHOWN if origin.get(name) not in (None, {})]
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
        found = verify(arguments.file, Path.cwd(), arguments.trust)
        text = json.dumps([evidence.as_json() for evidence in found], indent=2) if arguments.json else None
        sys.stdout.write((text or "\n".join(line for evidence in found for line in _lines(evidence))) + "\n")
    if any(evidence.tampered or not evidence.ai_generated for evidence in found):
        raise SystemExit(1)


if __name__ == "__main__":
    _main()

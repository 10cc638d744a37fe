"""A page with two runs side by side: ``python -m tasks.compare_runs A B [--out PAGE.html]``.

A run is a speaker of this workspace, or the folder ``data/SPEAKER`` of any workspace.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from talkhead_core.artifacts import write_text
from talkhead_core.consent import read_consent
from talkhead_core.errors import InputError, TalkheadError
from talkhead_core.parameters import from_mapping
from talkhead_core.provenance.software import file_sha256
from talkhead_core.provenance.video_label import VideoLabel
from talkhead_core.report.compare_page import compare_page
from talkhead_core.report.run_comparison import Run
from talkhead_core.report.speaker_artifacts import read_speaker_artifacts
from talkhead_core.speakers import check_speaker_name, read_yaml, registered_speaker
from tasks.provenance import ProvenanceConfig, origin_of, stage_signer
from tasks.stage import Stage, resolve_section

__all__ = ["find_run"]


def find_run(root: Path, name: str, label: str | None = None) -> Run:
    """The run that ``name`` means.

    Args:
        root: the workspace.
        name: a speaker, or a speaker's folder.
        label: what to call it; its name when None.

    Raises:
        InputError: there is no such run.
    """
    if "/" in name:
        folder = Path(name)
        if not (folder / "render" / "render.json").is_file():
            raise InputError(f"{folder}: holds no rendered run; give the folder data/SPEAKER of a workspace")
        root, speaker = folder.parents[1], folder.name
    else:
        speaker = check_speaker_name(name)
        registered_speaker(root / "speakers.yaml", speaker)
        folder = root / "data" / speaker
        if not (folder / "render" / "render.json").is_file():
            raise InputError(f"speaker {speaker!r} has not been rendered; run 'talkhead run --speaker {speaker}'")
    return Run(label=label or name, artifacts=read_speaker_artifacts(folder), parameters=_parameters(root, speaker))


def _parameters(root: Path, speaker: str) -> dict[str, Any]:
    if not ((root / "params.yaml").is_file() and (root / "speakers.yaml").is_file()):
        return {}
    try:
        sections = [name for name in read_yaml(root / "params.yaml") if name not in ("profiles", "configs", "no_override")]
        return {name: resolve_section(root, speaker, name) for name in sections}
    except TalkheadError:  # a folder that was copied out of its workspace
        return {}


def _label(root: Path, first: Run, second: Run) -> VideoLabel:
    """What the videos' credentials say: both runs' models, and this workspace's signer."""
    parameters = read_yaml(root / "params.yaml") if (root / "params.yaml").is_file() else {}
    provenance = from_mapping(ProvenanceConfig, parameters.get("provenance") or {}, where="provenance")
    folder, other = first.artifacts.folder, second.artifacts.folder / "train_torso" / "model.safetensors"
    stage = Stage(name="compare", speaker=folder.name, root=folder.parents[1])
    models = {"other_model": file_sha256(other)} if other.is_file() else {}
    record = folder / "raw" / "consent.json"  # not with a folder that was copied out of its workspace
    consent = read_consent(record, stage.speaker) if record.is_file() else None
    title = f"{first.label} and {second.label}"
    origin = origin_of(stage, "comparison", title, models, consent, composite=True, watermark=True)
    return VideoLabel(origin=origin, signer=stage_signer(root, provenance), watermark_key=provenance.watermark_key)


def main(argv: list[str] | None = None) -> int:
    """Entry point; prints the page's path, 1 when a run cannot be found."""
    parser = argparse.ArgumentParser(prog="talkhead compare", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs=2)
    parser.add_argument("--label", nargs=2, default=[None, None], help="what to call them; their names by default")
    parser.add_argument("--out", type=Path, default=Path("out/compare.html"))
    arguments = parser.parse_args(argv)
    try:
        first, second = (find_run(Path.cwd(), name, label) for name, label in zip(arguments.runs, arguments.label, strict=True))
        write_text(arguments.out, compare_page(first, second, label=_label(Path.cwd(), first, second)))
    except TalkheadError as error:
        sys.stderr.write(f"compare: {error}\n")
        return 1
    sys.stdout.write(f"{arguments.out}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

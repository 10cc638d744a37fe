"""Stage ``report``: one page that shows a person everything about a speaker, and its plots as tables for ``dvc plots``."""

from __future__ import annotations

from typing import Any

from talkhead_core.artifacts import read_json, write_text
from talkhead_core.consent import Consent
from talkhead_core.parameters import from_mapping
from talkhead_core.provenance.video_label import VideoLabel
from talkhead_core.report.plot_series import plot_series
from talkhead_core.report.speaker_artifacts import read_speaker_artifacts
from talkhead_core.report.speaker_page import ReportConfig, speaker_page
from tasks.provenance import ProvenanceConfig, origin_of, stage_signer
from tasks.stage import Stage, main, resolve_section

_SECTIONS = (
    "ingest", "denoise", "speech_features", "landmarks", "track_head", "segment", "flow_masks", "inpaint",
    "train_coarse", "train_fine", "train_torso", "render", "evaluate",
)  # fmt: skip


def run(stage: Stage) -> None:
    """Write ``report.html`` and the tables that ``dvc plots`` draws."""
    config = stage.section(ReportConfig)
    parameters: dict[str, Any] = {name: resolve_section(stage.root, stage.speaker, name) for name in _SECTIONS}
    dubs = [(path.stem, f"../../../out/{stage.speaker}/{path.name}") for path in sorted((stage.root / "out" / stage.speaker).glob("*.mp4"))]
    artifacts = read_speaker_artifacts(stage.root / "data" / stage.speaker)
    page = speaker_page(stage.speaker, artifacts, parameters, dubs, config, stage.progress, _label(stage))
    write_text(stage.out / "report.html", page)
    for name, table in plot_series(artifacts).items():
        write_text(stage.out / name, table.to_csv(index=False))
    stage.progress(4, 4)


def _label(stage: Stage) -> VideoLabel:
    """Recording and render stand side by side in a report's videos, so they are composites."""
    provenance = stage.section(ProvenanceConfig, "provenance")
    ingest = stage.inputs("ingest") / "ingest.json"
    record = read_json(ingest).get("consent") if ingest.is_file() else None  # a page is made of what there is
    consent = from_mapping(Consent, record, where="ingest.json, consent") if record else None
    origin = origin_of(stage, "report", f"{stage.speaker}: recording and render", {}, consent, composite=True, watermark=True)
    return VideoLabel(origin=origin, signer=stage_signer(stage.root, provenance), watermark_key=provenance.watermark_key)


if __name__ == "__main__":
    main(run)

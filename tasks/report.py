"""Stage ``report``: one page that shows a person everything about a speaker, and its plots as tables for ``dvc plots``."""

from __future__ import annotations

from typing import Any

from talkhead_core.artifacts import write_text
from talkhead_core.report.plot_series import plot_series
from talkhead_core.report.speaker_artifacts import read_speaker_artifacts
from talkhead_core.report.speaker_page import ReportConfig, speaker_page
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
    page = speaker_page(stage.speaker, artifacts, parameters, dubs, config, stage.progress)
    write_text(stage.out / "report.html", page)
    for name, table in plot_series(artifacts).items():
        write_text(stage.out / name, table.to_csv(index=False))
    stage.progress(4, 4)


if __name__ == "__main__":
    main(run)
